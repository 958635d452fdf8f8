"""One question to a vendor, as a value that can be a cache key.

Source: docs/collateral.md §2.
"""

from dataclasses import dataclass
from typing import Final, Self

from attestation.evidence import Role
from mifeng.crypto import sm3

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
PEM: Final = "application/x-pem-file"
OCSP_REQUEST: Final = "application/ocsp-request"
OCSP_RESPONSE: Final = "application/ocsp-response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask, where, and what the answer is for."""

    role: Role
    url: str
    media_type: str
    """What is asked for in `Accept`; vendors label answers loosely, so it is not compared."""

    body: bytes = b""
    """An OCSP request to be posted; empty for GET."""

    chain: str = ""
    """Response header that holds the signer's certificates, percent-encoded PEM; Intel only."""

    @classmethod
    def get(cls, role: Role, url: str, media_type: str, *, chain: str = "") -> Self:
        """Return a question without a body."""
        return cls(role=role, url=url, media_type=media_type, chain=chain)

    @property
    def key(self) -> str:
        """SM3 of URL and body, lower-case hex: what a cached answer is found by."""
        url = self.url.encode()
        return sm3(len(url).to_bytes(4) + url + self.body).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; untrusted."""

    body: bytes
    chain: bytes = b""
    """PEM, empty where the question named no header or the answer had none."""
    etag: str = ""
