"""TPM 2.0: quotes over PCRs by an attestation key whose certificate leads to a pinned root."""
