"""What Intel's SGX and TDX quotes share: Data Center Attestation Primitives (DCAP)."""
