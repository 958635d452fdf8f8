"""Hygon DCU accelerators: attestation reports signed by the chip's endorsement key."""
