"""Frames: one direction of one request, cut into authenticated pieces.

    frame  = header(4) ‖ AEAD(key, base XOR counter, AAD = header, inner)
    header = FINAL(1 bit) ‖ type(7 bits) ‖ length of what follows (24 bits)
    inner  = length of data (4) ‖ data ‖ zeros up to a bucket

Exactly one frame is FINAL and it is the last: a missing, repeated, moved or foreign frame fails
at the first wrong one, because its counter, direction and request are in its key and nonce.
Sealer and opener own their counter; nothing takes a nonce.

Source: docs/spec/envelope.md §5.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mifeng.crypto import DecryptionError
from mifeng.crypto.suites import Aead
from mifeng.errors import MalformedError, StreamRejectedError, UsageError

from .codec import u32

HEADER_BYTES: Final = 4
TAG_BYTES: Final = 16
LENGTH_BYTES: Final = 4
MAX_INNER: Final = 65536
MAX_DATA: Final = MAX_INNER - LENGTH_BYTES
MAX_FRAME: Final = HEADER_BYTES + MAX_INNER + TAG_BYTES
MIN_BUCKET: Final = 256
MAX_FRAMES: Final = 1 << 20
"""64 GiB at most under one key, the usage limit of GCM that we keep (docs/spec/crypto.md)."""
_FINAL: Final = 1 << 31


class FrameType(IntEnum):
    """What a frame carries."""

    DATA = 0
    KEEP_ALIVE = 1
    """A sign of life while a model thinks. Its type is in the clear: empty DATA hides as filler."""
    ERROR = 2
    """A problem the node met after the claim: JSON `{code, message}`. Always FINAL."""
    CLIENT_AUTH = 3
    """First request frame only: SM2 public key(65) ‖ signature(64) over the request digest."""
    ISOLATION = 4
    """Request only, before data: 32 bytes that name a cache domain shared by choice."""
    SALT = 5
    """First response frame: the 32-byte salt of the receipt's plaintext digests."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One opened frame."""

    type: FrameType
    data: bytes
    final: bool


def bucket(size: int) -> int:
    """Return the inner size that `size` bytes of data travel in: a power of two, 256 … 65 536."""
    return max(MIN_BUCKET, 1 << (size + LENGTH_BYTES - 1).bit_length())


class FrameSealer:
    """Seals the frames of one direction, in order."""

    __slots__ = ("_aead", "_base", "_counter", "_done")

    def __init__(self, aead: Aead, base_nonce: bytes) -> None:
        self._aead, self._base = aead, int.from_bytes(base_nonce, "big")
        self._counter, self._done = 0, False

    def seal(self, frame_type: FrameType, data: bytes | memoryview, *, final: bool) -> bytes:
        """Return the next frame.

        Args:
            frame_type: what `data` is.
            data: at most 65 532 bytes.
            final: this is the last frame of the direction.

        Raises:
            UsageError: after the final frame, or too much data, or the counter is used up.
        """
        if self._done or self._counter >= MAX_FRAMES:
            raise UsageError("stream: no frame may follow")
        if len(data) > MAX_DATA:
            raise UsageError(f"stream: at most {MAX_DATA} bytes in a frame")
        size = bucket(len(data))
        header = u32((_FINAL if final else 0) | frame_type << 24 | (size + TAG_BYTES))
        inner = bytearray(size)
        inner[:LENGTH_BYTES] = u32(len(data))
        inner[LENGTH_BYTES : LENGTH_BYTES + len(data)] = data
        frame = bytearray(HEADER_BYTES + size + TAG_BYTES)
        frame[:HEADER_BYTES] = header
        nonce = (self._base ^ self._counter).to_bytes(12, "big")
        self._aead.seal_into(nonce, inner, header, memoryview(frame)[HEADER_BYTES:])
        self._counter += 1
        self._done = final
        return bytes(frame)


class FrameOpener:
    """Opens the frames of one direction, in order. One wrong frame ends it for good."""

    __slots__ = ("_aead", "_base", "_counter", "_failed", "finished")

    def __init__(self, aead: Aead, base_nonce: bytes) -> None:
        self._aead, self._base = aead, int.from_bytes(base_nonce, "big")
        self._counter, self._failed = 0, False
        self.finished = False
        """The final frame has been opened."""

    def open(self, frame: bytes) -> Frame:
        """Return the contents of the next frame.

        Raises:
            StreamRejectedError: forged, cut, out of order, or after the end. Says no more.
        """
        if self.finished or self._failed:
            raise StreamRejectedError("stream: a frame after the end")
        try:
            opened = self._open(frame)
        except (DecryptionError, MalformedError):
            self._failed = True
            raise StreamRejectedError("stream: a frame does not open") from None
        self._counter += 1
        self.finished = opened.final
        return opened

    def finish(self) -> None:
        """Check that the final frame was seen.

        Raises:
            StreamRejectedError: the stream was cut off.
        """
        if not self.finished:
            raise StreamRejectedError("stream: ended before its final frame")

    def _open(self, frame: bytes) -> Frame:
        header = frame[:HEADER_BYTES]
        frame_type, final = split_header(frame)
        nonce = (self._base ^ self._counter).to_bytes(12, "big")
        inner = self._aead.open(nonce, frame[HEADER_BYTES:], header)
        size = int.from_bytes(inner[:LENGTH_BYTES], "big")
        end = LENGTH_BYTES + size
        if size > MAX_DATA or len(inner) != bucket(size) or any(inner[end:]):
            raise MalformedError("stream: padding is not canonical")
        return Frame(frame_type, inner[LENGTH_BYTES:end], final)


def split_header(frame: bytes) -> tuple[FrameType, bool]:
    """Return type and FINAL bit of a frame; both are public.

    Raises:
        MalformedError: no frame has this header and length.
    """
    word = int.from_bytes(frame[:HEADER_BYTES], "big")
    length = word & 0xFF_FFFF
    inner = length - TAG_BYTES
    if len(frame) != HEADER_BYTES + length or not MIN_BUCKET <= inner <= MAX_INNER:
        raise MalformedError("stream: frame length")
    try:
        return FrameType(word >> 24 & 0x7F), bool(word & _FINAL)
    except ValueError:
        raise MalformedError("stream: frame type") from None
