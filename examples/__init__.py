"""Workloads that partners run, each with its real input."""
