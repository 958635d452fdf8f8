"""What Hygon's CPU and accelerator reports share: SM2 certificates and the way to the root."""
