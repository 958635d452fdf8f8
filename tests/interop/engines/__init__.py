"""Engines of others, run as they are behind the node's adapter."""
