"""The part of a request that the gateway may read. Authenticated, not hidden.

Everything the sealed request must not be separated from stands here, because H, the digest of
these bytes, goes into every key: a header with one other byte belongs to another request.

Source: docs/spec/envelope.md §2.
"""

from dataclasses import dataclass
from typing import Final, Self

from mifeng.crypto import sm3
from mifeng.errors import MalformedError, UsageError

from .codec import U16_MAX, Reader, blob, name, u8, u16, u64

VERSION: Final = 1
DIGEST_BYTES: Final = 32
REQUEST_ID_BYTES: Final = 16
MAX_CT: Final = 4096
MAX_HEADER_BYTES: Final = 8192
MAX_TIME: Final = 2**53 - 1
"""Latest second that canonical JSON can hold, hence the log."""
FLAG_STREAM: Final = 0x0001
"""The client wants the answer as it is made: one frame per tick, in size buckets."""

_KNOWN_FLAGS: Final = FLAG_STREAM
_DOMAIN: Final = b"mifeng/v1/req\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Routing facts and the key encapsulation of one request to one node."""

    suite: int
    """Crypto suite, e.g. 0x0001 `sm` (docs/spec/crypto.md §1)."""

    flags: int
    keyset_digest: bytes
    """SM3 of the recipient's keyset bytes, 32 bytes."""

    request_id: bytes
    """16 random bytes chosen by the client; never derived from content."""

    created: int
    """Unix seconds by the client's clock."""

    deadline: int
    """Unix seconds after which no node may start the request."""

    model_digest: bytes
    """Digest of the model as the keyset lists it, 32 bytes."""

    client_policy: bytes
    """SM3 of the policy document the client appraised the node with, 32 bytes."""

    tenant: str
    model: str
    operation: str
    """`oip.infer`, `openai.chat.completions`, …"""

    ct: bytes
    """Key encapsulation ciphertext; its length is the suite's."""

    def encode(self) -> bytes:
        """Return the canonical encoding.

        Raises:
            UsageError: a field is out of range.
        """
        fixed = (
            (self.keyset_digest, DIGEST_BYTES),
            (self.request_id, REQUEST_ID_BYTES),
            (self.model_digest, DIGEST_BYTES),
            (self.client_policy, DIGEST_BYTES),
        )
        if any(len(value) != size for value, size in fixed):
            raise UsageError("header: a digest or the request id has the wrong length")
        if not (0 <= self.suite <= U16_MAX and self.flags & ~_KNOWN_FLAGS == 0):
            raise UsageError("header: suite or flags out of range")
        if not 0 <= self.created <= self.deadline <= MAX_TIME:
            raise UsageError("header: need 0 <= created <= deadline")
        if not 0 < len(self.ct) <= MAX_CT:
            raise UsageError("header: key encapsulation out of range")
        return b"".join(
            (
                u8(VERSION),
                u16(self.suite),
                u16(self.flags),
                self.keyset_digest,
                self.request_id,
                u64(self.created),
                u64(self.deadline),
                self.model_digest,
                self.client_policy,
                name(self.tenant),
                name(self.model),
                name(self.operation),
                blob(self.ct),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the header `data` encodes.

        Raises:
            MalformedError: another version, out of range, truncated, or trailing bytes.
        """
        if len(data) > MAX_HEADER_BYTES:
            raise MalformedError(f"header: more than {MAX_HEADER_BYTES} bytes")
        reader = Reader(data, "header")
        if (version := reader.number(1)) != VERSION:
            raise MalformedError(f"header: version {version}")
        header = cls(
            suite=reader.number(2),
            flags=reader.number(2),
            keyset_digest=reader.take(DIGEST_BYTES),
            request_id=reader.take(REQUEST_ID_BYTES),
            created=reader.number(8),
            deadline=reader.number(8),
            model_digest=reader.take(DIGEST_BYTES),
            client_policy=reader.take(DIGEST_BYTES),
            tenant=reader.name(),
            model=reader.name(),
            operation=reader.name(),
            ct=reader.blob(MAX_CT),
        )
        reader.end()
        times = 0 <= header.created <= header.deadline <= MAX_TIME
        if header.flags & ~_KNOWN_FLAGS or not times or not header.ct:
            raise MalformedError("header: a field is out of range")
        return header


def request_digest(header: bytes) -> bytes:
    """Return H, which names the request in keys, intent, receipt and replay set (32 bytes).

    Args:
        header: the exact bytes that travel, never a re-encoding.
    """
    return sm3(_DOMAIN + header)
