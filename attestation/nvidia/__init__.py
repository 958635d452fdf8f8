"""What NVIDIA's GPUs and NVSwitches have in common.

Both deliver an SPDM measurement report signed by a five-certificate chain, and both are judged
by reference integrity manifests (RIM) and OCSP responses stapled to them. The two verifiers,
`attestation.nvidia_gpu` and `attestation.nvidia_nvswitch`, put these parts together.
"""
