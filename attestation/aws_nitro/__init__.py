"""AWS Nitro Enclaves: attestation documents of the Nitro Security Module."""
