"""Arm Confidential Compute Architecture: platform and realm tokens."""
