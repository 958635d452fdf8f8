"""NVIDIA LS10 NVSwitches, and the protected-PCIe topology of a whole HGX board.

What it proves, and what it does not: docs/attestation/nvidia-nvswitch.md.
"""
