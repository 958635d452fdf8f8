"""Signed notes: text with signature lines by named keys.

Four signature types are spoken: Ed25519 (0x01) and its timestamped cosignature (0x04), which
public tools know, and the same two with SM2, as type 0xff with a long identifier. Lines by
keys we did not pin are skipped, as the specification demands; a line by a pinned key must
verify. What the text means is `checkpoint`'s business.

Source: c2sp.org/signed-note, c2sp.org/tlog-cosignature; docs/spec/log.md §4.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mifeng.crypto.errors import CryptoError
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.errors import MalformedError, PeerError, UsageError

from .jsonc import from_base64, from_hex, to_base64

MAX_NOTE: Final = 128 * 1024
MAX_SIGNATURES: Final = 64
MAX_KEY_NAME: Final = 256
KEY_ID_BYTES: Final = 4
_SIGNATURE_BYTES: Final = 64
_TIME_BYTES: Final = 8
_MAX_TIME: Final = 2**53 - 1
_CONTROL: Final = re.compile(rb"[\x00-\x09\x0b-\x1f]")


class SignatureType(Enum):
    """Signature type identifiers: what stands before the public key in a verifier key."""

    ED25519 = b"\x01"
    COSIGNATURE = b"\x04"
    """Timestamped Ed25519 (cosignature/v1)."""
    SM2 = b"\xffmifeng/v1/note-sm2\x00"
    SM2_COSIGNATURE = b"\xffmifeng/v1/cosignature-sm2\x00"

    @property
    def public_bytes(self) -> int:
        """Length of a public key: Ed25519 as RFC 8032 has it, SM2 as 04 ‖ X ‖ Y."""
        return 32 if self in (SignatureType.ED25519, SignatureType.COSIGNATURE) else 65

    @property
    def timestamped(self) -> bool:
        """Whether the signature begins with the time it was made at."""
        return self in (SignatureType.COSIGNATURE, SignatureType.SM2_COSIGNATURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A public key, its name and what its signatures mean."""

    name: str
    type: SignatureType
    public: bytes

    def __post_init__(self) -> None:
        if not _is_key_name(self.name):
            raise UsageError(f"not a key name: {self.name[:MAX_KEY_NAME]!r}")
        if len(self.public) != self.type.public_bytes:
            raise UsageError(f"note key {self.name}: {len(self.public)} bytes")

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand for this key in signature lines; not a security function."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.type.value + self.public).digest()[
            :KEY_ID_BYTES
        ]

    def encode(self) -> str:
        """Return the verifier key, `name+hex(key id)+base64(type ‖ public key)`."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(self.type.value + self.public)}"

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the key a verifier key string encodes.

        Raises:
            MalformedError: not a canonical verifier key of a type we speak.
        """
        name, _, rest = text.partition("+")
        key_id, _, material = rest.partition("+")
        raw = from_base64(material) or b""
        for kind in SignatureType:
            if raw.startswith(kind.value) and len(raw) == len(kind.value) + kind.public_bytes:
                break
        else:
            raise MalformedError("verifier key: of no type we speak")
        if not _is_key_name(name):
            raise MalformedError("verifier key: not a key name")
        key = cls(name=name, type=kind, public=raw[len(kind.value) :])
        if from_hex(key_id) != key.key_id:
            raise MalformedError("verifier key: key id of another key")
        return key


class NoteSigner(Protocol):
    """Whoever can add a signature line."""

    @property
    def key(self) -> NoteKey:
        """The key that verifies the line."""
        ...

    def sign(self, text: bytes) -> bytes:
        """Return what follows the key id in the line."""
        ...


@dataclass(frozen=True, slots=True)
class Sm2NoteSigner:
    """Signs notes with an SM2 key (SM3, default user id), type 0xff."""

    name: str
    signer: SigningKey

    @property
    def key(self) -> NoteKey:
        """The key that verifies the line."""
        return NoteKey(name=self.name, type=SignatureType.SM2, public=self.signer.public_bytes)

    def sign(self, text: bytes) -> bytes:
        """Return r ‖ s over the text."""
        return self.signer.sign(text)


@dataclass(frozen=True, slots=True)
class Ed25519NoteSigner:
    """Signs notes with an Ed25519 key, type 0x01."""

    name: str
    signer: Ed25519PrivateKey

    @property
    def key(self) -> NoteKey:
        """The key that verifies the line."""
        public = self.signer.public_key().public_bytes_raw()
        return NoteKey(name=self.name, type=SignatureType.ED25519, public=public)

    def sign(self, text: bytes) -> bytes:
        """Return an RFC 8032 signature over the text."""
        return self.signer.sign(text)


@dataclass(frozen=True, slots=True)
class Cosigner:
    """Cosigns checkpoints with the time at which it saw them, types 0x04 and its SM2 form."""

    name: str
    signer: SigningKey | Ed25519PrivateKey
    time: int
    """Unix seconds that the cosignature states."""

    @property
    def key(self) -> NoteKey:
        """The key that verifies the line."""
        if isinstance(self.signer, Ed25519PrivateKey):
            public = self.signer.public_key().public_bytes_raw()
            return NoteKey(name=self.name, type=SignatureType.COSIGNATURE, public=public)
        return NoteKey(
            name=self.name, type=SignatureType.SM2_COSIGNATURE, public=self.signer.public_bytes
        )

    def sign(self, text: bytes) -> bytes:
        """Return timestamp ‖ signature over the cosigned message."""
        if not 0 <= self.time <= _MAX_TIME:
            raise UsageError(f"cosignature time {self.time}")
        signature = self.signer.sign(cosigned_message(text, self.time))
        return self.time.to_bytes(_TIME_BYTES, "big") + signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature line, unverified."""

    name: str
    key_id: bytes
    blob: bytes
    """What follows the key id: at least one byte."""

    def encode(self) -> bytes:
        """Return the line."""
        return f"— {self.name} {to_base64(self.key_id + self.blob)}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parsed note, unverified."""

    text: bytes
    """UTF-8, ends with a newline."""

    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Return the note's bytes."""
        return self.text + b"\n" + b"".join(line.encode() for line in self.signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A pinned key and the signature of it that verified."""

    key: NoteKey
    time: int | None
    """Unix seconds for a cosignature, else None."""


def cosigned_message(text: bytes, time: int) -> bytes:
    """Return what a cosigner signs for a note text seen at `time` (tlog-cosignature)."""
    return b"cosignature/v1\ntime %d\n%b" % (time, text)


def sign(text: bytes, signers: Sequence[NoteSigner]) -> bytes:
    """Return `text` as a note signed by each of `signers`.

    Raises:
        UsageError: `text` cannot be a note, or nobody signs.
    """
    if not signers or not _is_text(text):
        raise UsageError("note: unsigned, or not lines of printable UTF-8")
    return add(Note(text=text, signatures=()), signers).encode()


def add(note: Note, signers: Sequence[NoteSigner]) -> Note:
    """Return `note` with a line by each of `signers` appended."""
    lines = (
        Signature(name=signer.key.name, key_id=signer.key.key_id, blob=signer.sign(note.text))
        for signer in signers
    )
    return Note(text=note.text, signatures=(*note.signatures, *lines))


def parse(data: bytes) -> Note:
    """Return the note in `data`, unverified: its text must not be believed.

    Args:
        data: untrusted; any bytes.

    Raises:
        MalformedError: not a note, or not the canonical spelling of one.
    """
    if len(data) > MAX_NOTE:
        raise MalformedError(f"note: {len(data)} bytes, limit {MAX_NOTE}")
    text, gap, block = data.rpartition(b"\n\n")
    text += b"\n"
    if not gap or not _is_text(text):
        raise MalformedError("note: no text and signatures with an empty line between")
    note = Note(text=text, signatures=parse_signatures(block))
    if not note.signatures:
        raise MalformedError("note: no signature")
    return note


def parse_signatures(block: bytes) -> tuple[Signature, ...]:
    """Return the signature lines in `block`, unverified; there may be none.

    Raises:
        MalformedError: something in it is not a canonical signature line.
    """
    try:
        lines = block.decode().split("\n")
    except UnicodeDecodeError as exc:
        raise MalformedError("note: signatures are not UTF-8") from exc
    if lines.pop() or len(lines) > MAX_SIGNATURES:
        raise MalformedError("note: signatures do not end in a newline, or are too many")
    return tuple(_parse_line(line) for line in lines)


def _parse_line(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    raw = from_base64(encoded)
    if dash != "—" or not _is_key_name(name) or raw is None or len(raw) <= KEY_ID_BYTES:
        raise MalformedError("note: not a signature line")
    return Signature(name=name, key_id=raw[:KEY_ID_BYTES], blob=raw[KEY_ID_BYTES:])


def verify(note: Note, keys: Collection[NoteKey]) -> tuple[Signed, ...]:
    """Return the signatures by `keys`, in the order of their lines.

    Signatures by other keys are skipped. Whether those that are left suffice is the caller's
    policy; with none, the note is refused here.

    Raises:
        MalformedError: a pinned key signed twice, or its line has the wrong length.
        PeerError: a pinned key's signature does not verify, or no pinned key signed.
    """
    pinned = {(key.name, key.key_id): key for key in keys}
    found: dict[NoteKey, Signed] = {}
    for line in note.signatures:
        key = pinned.get((line.name, line.key_id))
        if key is None:
            continue
        if key in found:
            raise MalformedError(f"note: signed twice by {key.name}")
        found[key] = Signed(key=key, time=_verify_line(note.text, key, line.blob))
    if not found:
        raise PeerError("note: signed by no key we pin")
    return tuple(found.values())


def _verify_line(text: bytes, key: NoteKey, blob: bytes) -> int | None:
    message, signature, time = text, blob, None
    if key.type.timestamped:
        time, signature = int.from_bytes(blob[:_TIME_BYTES], "big"), blob[_TIME_BYTES:]
        if time > _MAX_TIME:
            raise MalformedError("cosignature: time out of range")
        message = cosigned_message(text, time)
    if len(signature) != _SIGNATURE_BYTES:
        raise MalformedError(f"note: a signature of {len(signature)} bytes")
    try:
        if key.type in (SignatureType.SM2, SignatureType.SM2_COSIGNATURE):
            _sm2_key(key.public).verify(signature, message)
        else:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, CryptoError, ValueError) as exc:
        raise PeerError(f"note: bad signature by {key.name}") from exc
    return time


@lru_cache(maxsize=256)
def _sm2_key(public: bytes) -> VerifyKey:
    """Decode a pinned key once: checking that a point is on the curve costs as much as using it."""
    return VerifyKey("sm2", public)


def _is_text(text: bytes) -> bool:
    """Whether `text` is UTF-8 without control characters but newlines, and ends with one."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return text.endswith(b"\n") and not _CONTROL.search(text)


def _is_key_name(name: str) -> bool:
    return (
        0 < len(name) <= MAX_KEY_NAME
        and "+" not in name
        and not any(char.isspace() or char < " " for char in name)
    )
