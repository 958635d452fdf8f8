"""Promises: the log's signed word that an entry will be under a checkpoint by a given time.

Delivered with the entry's bytes, before any checkpoint covers it. A client accepts no final
result without one. A promise that was not kept is, with a later checkpoint and no inclusion
proof, a conviction that anybody can check.

Source: docs/spec/log.md §7.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from mifeng.crypto.errors import SignatureError
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.errors import MalformedError, PromiseRejectedError

from .checkpoint import MAX_ORIGIN
from .codec import Reader, blob, u64
from .merkle import DIGEST_BYTES, MAX_SIZE, Digest

MAX_MERGE_S: Final = 60
"""Longest time from issue to merge that a promise may allow itself, seconds."""

MAX_SKEW_S: Final = 300
"""How far the log's clock may be ahead of the verifier's, seconds."""

_DOMAIN: Final = b"mifeng/v1/promise\0"
_SIGNATURE_BYTES: Final = 64
_MAX_TIME: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A promise as received or issued. A decoded one is unverified."""

    origin: str
    index: int
    leaf: Digest
    issued: int
    """Unix seconds at which the entry was durable."""

    merge_by: int
    """Unix seconds by which a published checkpoint covers the entry."""

    signature: bytes

    def _body(self) -> bytes:
        fixed = u64(self.index) + self.leaf + u64(self.issued) + u64(self.merge_by)
        return blob(self.origin.encode()) + fixed

    def signed_bytes(self) -> bytes:
        """Return what the log key signs."""
        return _DOMAIN + self._body()

    def encode(self) -> bytes:
        """Return the wire form: the signed fields, then the signature."""
        return self._body() + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the promise `data` encodes, unverified.

        Raises:
            MalformedError: any bytes that are not one.
        """
        reader = Reader(data, "promise")
        try:
            origin = reader.blob(MAX_ORIGIN).decode()
        except UnicodeDecodeError as exc:
            raise MalformedError("promise: origin is not UTF-8") from exc
        promise = cls(
            origin=origin,
            index=reader.number(8),
            leaf=Digest(reader.take(DIGEST_BYTES)),
            issued=reader.number(8),
            merge_by=reader.number(8),
            signature=reader.take(_SIGNATURE_BYTES),
        )
        reader.end()
        if promise.index >= MAX_SIZE or promise.merge_by > _MAX_TIME:
            raise MalformedError("promise: index or time out of range")
        return promise


def issue(
    signer: SigningKey, *, origin: str, index: int, leaf: Digest, issued: int, merge_by: int
) -> bytes:
    """Return the wire form of a promise, signed by the log's key.

    Args:
        signer: the key that also signs checkpoints and intents.
        origin: the log's origin line.
        index: where the entry stands; durable before this is called.
        leaf: its leaf hash.
        issued: Unix seconds.
        merge_by: Unix seconds, at most `MAX_MERGE_S` later.
    """
    draft = Promise(
        origin=origin, index=index, leaf=leaf, issued=issued, merge_by=merge_by, signature=b""
    )
    return draft.encode() + signer.sign(draft.signed_bytes())


def verify(
    data: bytes, *, origin: str, leaf: Digest, keys: Collection[VerifyKey], now: int
) -> Promise:
    """Return the promise in `data` if the pinned log made it for this entry, just now.

    Does not show that the entry is in the tree: that is what inclusion, later, is checked for.

    Args:
        data: untrusted; any bytes.
        origin: the pinned log's origin.
        leaf: leaf hash of the entry bytes delivered with the promise.
        keys: the pinned log's keys; any one of them.
        now: Unix seconds. The recorded instant when an auditor replays.

    Raises:
        MalformedError: not a promise.
        PromiseRejectedError: another log, another entry, too late a date, or a bad signature.
    """
    promise = Promise.decode(data)
    if promise.origin != origin or promise.leaf != leaf:
        raise PromiseRejectedError("promise: about another log or another entry")
    if not 0 <= promise.merge_by - promise.issued <= MAX_MERGE_S:
        raise PromiseRejectedError("promise: allows itself too long")
    if promise.issued > now + MAX_SKEW_S:
        raise PromiseRejectedError("promise: dated in the future")
    for key in keys:
        try:
            key.verify(promise.signature, promise.signed_bytes())
        except SignatureError:
            continue
        return promise
    raise PromiseRejectedError("promise: not signed by the pinned log")
