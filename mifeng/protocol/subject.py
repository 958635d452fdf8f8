"""Persons in the log: a salted commitment in clear, everything else sealed under their own key.

A partner names a person by a *reference* that says nothing to anybody else: 32 bytes, made with a
secret that the partner keeps (`reference`). The gateway gives each (partner, reference) a salt and
a key of its own. Entries carry the commitment and the private fields sealed; who has the key opens
both. When the key is destroyed nobody can, and no hash in the log has changed.

What it leaves out: where keys are kept and how they are destroyed (docs/privacy.md).

Source: docs/spec/log.md §8.6.
"""

import hmac
from dataclasses import dataclass
from typing import Final, Self

from mifeng.crypto import DecryptionError, Sm4Gcm, hmac_sm3
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import MalformedError, PeerError, UsageError

from . import jsonc

HEADER: Final = "mifeng-subject"
"""HTTP header, and gRPC metadata, that carries a reference in hex beside a sealed request."""
REFERENCE_BYTES: Final = 32
SALT_BYTES: Final = 32
KEY_BYTES: Final = 16
MIN_SECRET: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_MAX_SEALED: Final = 512
_REFERENCE: Final = b"mifeng/v1/subject-reference\0"
_COMMITMENT: Final = b"mifeng/v1/subject\0"
_FIELDS: Final = b"mifeng/v1/private-fields\0"


def reference(secret: bytes, person: str) -> bytes:
    """Return the reference by which a partner names a person: HMAC-SM3, 32 bytes.

    Args:
        secret: the partner's own, at least 16 random bytes, never sent to anybody.
        person: whatever identifies the person to the partner.

    Raises:
        UsageError: the secret is too short.
    """
    if len(secret) < MIN_SECRET:
        raise UsageError(f"subject: the secret needs at least {MIN_SECRET} bytes")
    return hmac_sm3(secret, _REFERENCE + person.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateFields:
    """What an entry says about a person, to whoever has the key; it opens the commitment."""

    tenant: str
    """Whose reference it is; empty for an administrator."""
    reference: str
    """Lower-case hex; for an administrator the name."""
    salt: bytes

    @property
    def commitment(self) -> bytes:
        """What entries carry in clear, 32 bytes."""
        return commitment(self.salt, self.tenant, self.reference)

    def encode(self) -> bytes:
        """Return the canonical JSON bytes."""
        return jsonc.dumps(
            {
                "v": 1,
                "tenant": self.tenant,
                "reference": self.reference,
                "salt": self.salt.hex(),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the fields `data` encodes; raises `MalformedError`."""
        source = jsonc.Fields(jsonc.loads(data, limit=_MAX_SEALED), "private-fields")
        source.integer("v", low=1, high=1)
        made = cls(
            tenant=source.text("tenant", limit=128, empty=True),
            reference=source.text("reference", limit=128),
            salt=source.hex("salt", SALT_BYTES),
        )
        source.end()
        return made


def commitment(salt: bytes, tenant: str, name: str) -> bytes:
    """Return the commitment to a reference: HMAC-SM3 under the salt, of length-prefixed parts."""
    parts = (tenant.encode(), name.encode())
    return hmac_sm3(salt, _COMMITMENT + b"".join(len(p).to_bytes(4, "big") + p for p in parts))


def seal(key: bytes, fields: PrivateFields, *, origin: str, intent: int) -> str:
    """Return the private fields for one entry, as hex of nonce ‖ ciphertext ‖ tag.

    Args:
        key: the person's, 16 bytes; good for 2^32 entries.
        fields: see `PrivateFields`.
        origin: of the log.
        intent: index of the INTENT that the entry is about.
    """
    nonce = random_bytes(_NONCE_BYTES)
    aad = _bound(origin, intent, fields.commitment)
    return (nonce + Sm4Gcm(key).seal(nonce, fields.encode(), aad)).hex()


def unseal(key: bytes, sealed: str, *, origin: str, intent: int, subject: bytes) -> PrivateFields:
    """Return the private fields of an entry.

    Args:
        key: the person's.
        sealed: as the entry has it, untrusted.
        origin: of the log.
        intent: as the entry has it.
        subject: the entry's commitment.

    Raises:
        MalformedError: not sealed fields.
        PeerError: not under this key, of another entry, or they do not open the commitment.
    """
    try:
        raw = bytes.fromhex(sealed)
    except ValueError:
        raise MalformedError("private-fields: not hexadecimal") from None
    if not _NONCE_BYTES + _TAG_BYTES < len(raw) <= _MAX_SEALED or raw.hex() != sealed:
        raise MalformedError("private-fields: not nonce, ciphertext and tag")
    aad = _bound(origin, intent, subject)
    try:
        data = Sm4Gcm(key).open(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], aad)
    except DecryptionError:
        raise PeerError("private-fields: not opened by this key") from None
    fields = PrivateFields.decode(data)
    if not hmac.compare_digest(fields.commitment, subject):
        raise PeerError("private-fields: they do not open the entry's commitment")
    return fields


def _bound(origin: str, intent: int, subject: bytes) -> bytes:
    name = origin.encode()
    return _FIELDS + len(name).to_bytes(4, "big") + name + intent.to_bytes(8, "big") + subject
