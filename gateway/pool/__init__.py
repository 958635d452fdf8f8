"""Choosing among nodes."""
