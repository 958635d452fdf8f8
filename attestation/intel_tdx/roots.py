"""SGX and TDX share one root; see `attestation.dcap.roots`."""

from attestation.dcap.roots import ROOTS

__all__ = ["ROOTS"]
