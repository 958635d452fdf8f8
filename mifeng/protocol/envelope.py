r"""Seal a request so that one attested node, and nobody on the way, can open it.

    s          = Extract(salt = Hash("mifeng/v1/extract\0" ‖ suite ‖ Hash(public key)), ss)
    H          = SM3("mifeng/v1/req\0" ‖ header)           the header contains the encapsulation
    request    = Expand(s, "mifeng/v1/request\0" ‖ H)      → AEAD key ‖ base nonce ‖ commitment
    response   = Expand(s, "mifeng/v1/response\0" ‖ H ‖ keyset digest ‖ SM3(response header) ‖ salt)

GCM does not commit to its key, so both sides expand 32 more bytes and compare them before the
first decryption: no ciphertext opens to two plaintexts under two keys. The answer's keys come
from the request's secret, never from a key the request names, so whoever rewrites the request
cannot have the answer sealed to itself.

One recipient per request is deliberate (docs/adr/0003). Randomness is not a parameter: an API that
accepts a seed is an API for reusing one.

Source: docs/spec/envelope.md §3–§4.
"""

from dataclasses import dataclass
from hmac import compare_digest
from typing import Final, Self

from mifeng.crypto import DecryptionError, sm3
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.suites import SUITES, DecapKey, Suite
from mifeng.errors import EnvelopeRejectedError, MalformedError, StreamRejectedError

from .codec import Reader, u8, u16, u64
from .header import DIGEST_BYTES, VERSION, Header, request_digest
from .stream import FrameOpener, FrameSealer

NONCE_BYTES: Final = 12
COMMITMENT_BYTES: Final = 32
SALT_BYTES: Final = 32
_EXTRACT: Final = b"mifeng/v1/extract\0"
_REQUEST: Final = b"mifeng/v1/request\0"
_RESPONSE: Final = b"mifeng/v1/response\0"


@dataclass(frozen=True, slots=True)
class ResponseOpen:
    """What precedes the frames of an answer, in clear: response header, salt, commitment."""

    h: bytes
    created: int
    salt: bytes
    commitment: bytes

    def header(self) -> bytes:
        """Return the response header: version ‖ H ‖ time."""
        return u8(VERSION) + self.h + u64(self.created)

    def encode(self) -> bytes:
        """Return the canonical encoding."""
        return self.header() + self.salt + self.commitment

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what `data` encodes, or raise `MalformedError`."""
        reader = Reader(data, "response")
        if reader.number(1) != VERSION:
            raise MalformedError("response: version")
        opened = cls(
            reader.take(DIGEST_BYTES),
            reader.number(8),
            reader.take(SALT_BYTES),
            reader.take(COMMITMENT_BYTES),
        )
        reader.end()
        return opened


class _Secret:
    """The extracted secret of one exchange and what is derived from it. Never shown, never kept."""

    __slots__ = ("_prk", "_suite")

    def __init__(self, suite: Suite, public: bytes, ss: bytes) -> None:
        salt = suite.hash(_EXTRACT + u16(suite.id) + suite.hash(public))
        self._suite, self._prk = suite, suite.extract(salt, ss)

    def request(self, h: bytes) -> tuple[bytes, bytes, bytes]:
        return self._split(_REQUEST + h)

    def response(self, keyset_digest: bytes, opened: ResponseOpen) -> tuple[bytes, bytes, bytes]:
        return self._split(
            _RESPONSE + opened.h + keyset_digest + sm3(opened.header()) + opened.salt
        )

    def _split(self, info: bytes) -> tuple[bytes, bytes, bytes]:
        key_bytes = self._suite.key_bytes
        out = self._suite.expand(self._prk, info, key_bytes + NONCE_BYTES + COMMITMENT_BYTES)
        nonce_end = key_bytes + NONCE_BYTES
        return out[:key_bytes], out[key_bytes:nonce_end], out[nonce_end:]


class SealedRequest:
    """The client's side of one exchange: seals the request, opens the answer."""

    __slots__ = ("_keyset_digest", "_secret", "_suite", "commitment", "frames", "h", "header")

    def __init__(self, suite: Suite, public: bytes, ss: bytes, header: Header) -> None:
        self._suite, self._keyset_digest = suite, header.keyset_digest
        self._secret = _Secret(suite, public, ss)
        self.header = header.encode()
        self.h = request_digest(self.header)
        key, nonce, self.commitment = self._secret.request(self.h)
        self.frames = FrameSealer(suite.aead(key), nonce)

    def open_response(self, opened: ResponseOpen) -> FrameOpener:
        """Return the opener for the answer that begins with `opened`.

        Raises:
            StreamRejectedError: it answers another request, or its key is not committed to.
        """
        key, nonce, commitment = self._secret.response(self._keyset_digest, opened)
        if opened.h != self.h or not compare_digest(commitment, opened.commitment):
            raise StreamRejectedError("response: not an answer to this request")
        return FrameOpener(self._suite.aead(key), nonce)


def encapsulate(suite_id: int, public: bytes) -> tuple[bytes, bytes]:
    """Return `(ct, ss)` of a fresh secret for one key; both go into exactly one request."""
    return SUITES[suite_id].encap(public)


def encapsulate_many(suite_id: int, public: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Return `count` results of `encapsulate`, SM2's made in lanes."""
    return SUITES[suite_id].encap_many(public, count)


def seal(header: Header, *, public: bytes, ss: bytes) -> SealedRequest:
    """Return the sealing state of one request.

    `mifeng.protocol.session` is the caller: it takes `public` from an appraised keyset.

    Args:
        header: complete, with the `ct` that `encapsulate` gave beside `ss`.
        public: the recipient's public key of the header's suite.
        ss: the secret inside `header.ct`; used once.
    """
    return SealedRequest(SUITES[header.suite], public, ss, header)


class OpenedRequest:
    """The node's side of one exchange: opens the request, seals the answer."""

    __slots__ = ("_keyset_digest", "_secret", "_suite", "frames", "h", "header")

    def __init__(
        self, suite: Suite, secret: _Secret, header: Header, h: bytes, opener: FrameOpener
    ) -> None:
        self._suite, self._secret, self._keyset_digest = suite, secret, header.keyset_digest
        self.header, self.h, self.frames = header, h, opener

    def seal_response(self, *, now: int) -> tuple[ResponseOpen, FrameSealer]:
        """Return the beginning of the answer and the sealer of its frames. Call once."""
        blank = ResponseOpen(self.h, now, random_bytes(SALT_BYTES), bytes(COMMITMENT_BYTES))
        key, nonce, commitment = self._secret.response(self._keyset_digest, blank)
        opened = ResponseOpen(blank.h, blank.created, blank.salt, commitment)
        return opened, FrameSealer(self._suite.aead(key), nonce)


def open_request(header_bytes: bytes, commitment: bytes, *, key: DecapKey) -> OpenedRequest:
    """Return the opening state of a request sealed to `key`.

    The commitment is compared; nothing has been decrypted yet, so nothing is claimed before
    the first frame opens as well.

    Args:
        header_bytes: untrusted, exact bytes as they travelled.
        commitment: untrusted, 32 bytes.
        key: this node's key of the header's suite; the caller has matched the keyset digest.

    Raises:
        MalformedError: the header does not parse; it is public, so this may be said.
        EnvelopeRejectedError: wrong key, changed header, corrupt bytes. One error for all:
            telling them apart would make the node an oracle.
    """
    header = Header.decode(header_bytes)
    if header.suite != key.suite_id:
        raise EnvelopeRejectedError("request does not open")
    try:
        ss = SUITES[key.suite_id].decap(key, header.ct)
    except DecryptionError:
        raise EnvelopeRejectedError("request does not open") from None
    return open_unwrapped(header_bytes, commitment, key=key, ss=ss)


def open_unwrapped(
    header_bytes: bytes, commitment: bytes, *, key: DecapKey, ss: bytes
) -> OpenedRequest:
    """Do what `open_request` does for a request whose encapsulation was opened already.

    Args:
        header_bytes: untrusted, exact bytes as they travelled.
        commitment: untrusted, 32 bytes.
        key: as for `open_request`.
        ss: what `key` made of the header's `ct`.
    """
    header = Header.decode(header_bytes)
    suite = SUITES[key.suite_id]
    if header.suite != suite.id:
        raise EnvelopeRejectedError("request does not open")
    h = request_digest(header_bytes)
    secret = _Secret(suite, key.public_bytes, ss)
    aead_key, nonce, expected = secret.request(h)
    if not compare_digest(expected, commitment):
        raise EnvelopeRejectedError("request does not open")
    return OpenedRequest(suite, secret, header, h, FrameOpener(suite.aead(aead_key), nonce))
