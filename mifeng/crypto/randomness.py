"""The system's random numbers. Everything of ours that needs randomness takes it from here."""

import os


def random_bytes(size: int) -> bytes:
    """Return `size` bytes from the operating system's generator (getrandom on Linux)."""
    return os.urandom(size)
