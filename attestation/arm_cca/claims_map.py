"""Typed members of a token's claims; what is missing or mistyped is malformed, by label.

Source: RFC 9711 (EAT); Arm RMM specification 1.0 §A7.2 (CCA attestation token).
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256, sha384, sha512

from attestation.aws_nitro import cbor
from attestation.aws_nitro.cbor import Cbor, Label
from attestation.errors import EvidenceMalformedError, malformed

HASHES = {"sha-256": sha256, "sha-384": sha384, "sha-512": sha512}
"""Hash algorithms by the names that tokens use."""

HASH_SIZES = (32, 48, 64)


@dataclass(frozen=True, slots=True)
class ClaimsMap:
    """One CBOR map, and how to name it when it falls short."""

    table: dict[Label, Cbor]
    what: str
    code: str

    @classmethod
    def decode(cls, data: bytes, *, what: str, code: str) -> "ClaimsMap":
        """Return the claims that `data` encodes."""
        return cls.of(cbor.decode(data, what=what, code=code), what=what, code=code)

    @classmethod
    def of(cls, value: Cbor, *, what: str, code: str) -> "ClaimsMap":
        """Return the members of `value`, which must be a map."""
        if not isinstance(value, dict):
            raise malformed(f"{code}.claims", what, "a map", type(value).__name__)
        return cls(value, what, code)

    def bytes(self, label: int, sizes: Collection[int] = ()) -> bytes:
        """Return a byte string, of one of `sizes` if any are given."""
        value = self.table.get(label)
        if not isinstance(value, bytes) or (sizes and len(value) not in sizes):
            wanted = " or ".join(map(str, sizes))
            raise self.bad(label, f"{wanted} bytes".strip())
        return value

    def text(self, label: int) -> str:
        """Return a text string that is not empty."""
        value = self.table.get(label)
        if not isinstance(value, str) or not value:
            raise self.bad(label, "text")
        return value

    def number(self, label: int, *, most: int) -> int:
        """Return an integer, 0 … `most`."""
        value = self.table.get(label)
        if type(value) is not int or not 0 <= value <= most:
            raise self.bad(label, f"0 … {most}")
        return value

    def array(self, label: int) -> list[Cbor]:
        """Return an array."""
        value = self.table.get(label)
        if not isinstance(value, list):
            raise self.bad(label, "an array")
        return value

    def hash_name(self, label: int) -> str:
        """Return the name of a hash algorithm we know."""
        name = self.text(label)
        if name not in HASHES:
            raise self.bad(label, ", ".join(HASHES))
        return name

    def bad(self, label: int, required: str) -> EvidenceMalformedError:
        """Return the error for a member that falls short."""
        found = repr(self.table[label])[:60] if label in self.table else "absent"
        return malformed(f"{self.code}.claims", f"{self.what} claim {label}", required, found)
