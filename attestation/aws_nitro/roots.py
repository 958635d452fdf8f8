"""The root certificate of AWS Nitro Enclaves, pinned as a whole certificate.

Provenance: `AWS_NitroEnclaves_Root-G1`, published by AWS at
`https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip`. How checked: its SHA-256
is the fingerprint in AWS's documentation ("Verifying the root of trust"),
64:1A:03:21:…:EE:4B, it verifies itself, and documents of real enclaves verify up to it.

Only `attestation.registry` passes `ROOTS` to a verifier.
"""

from base64 import b64decode
from typing import Final

from attestation import x509
from attestation.x509 import Certificate


def pin(der: bytes) -> Certificate:
    """Return the certificate of one pinned root."""
    return x509.load_certificate(der, what="Nitro root", code="aws-nitro.root")


# SHA-256 of the certificate 641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b
# SHA-256 of its public key   f2caf5ecc6190b4a8399b78bc58a2bbcd0382375db8a1bfd78a82743874fd225
_G1: Final = b64decode(
    "MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTELMAkGA1UEBhMCVVMxDzANBgNVBAoM"
    "BkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYDVQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcN"
    "NDkxMDI4MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQLDANBV1MxGzAZBgNVBAMM"
    "EmF3cy5uaXRyby1lbmNsYXZlczB2MBAGByqGSM49AgEGBSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy"
    "2YlES1BR5TSksfbb48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZEh8l5YoQwTcU/"
    "9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkFR+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGG"
    "MAoGCCqGSM49BAMDA2kAMGYCMQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPWrfMC"
    "MQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6NIwLz3/Y="
)

ROOTS: Final = (pin(_G1),)
