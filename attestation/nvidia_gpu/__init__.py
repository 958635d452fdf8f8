"""NVIDIA GPUs in confidential-computing mode: Hopper and Blackwell.

What it proves, and what it does not: docs/attestation/nvidia-gpu.md.
"""
