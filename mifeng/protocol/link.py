"""The hop between gateway and node: many exchanges over one connection, with back-pressure.

    frame = length of the rest(4) ‖ stream(4) ‖ kind(1) ‖ payload

Kinds below 32 are the messages of an exchange (`messages.MessageType`); the rest belong to the
link. Stream 0 carries what concerns the node as a whole; the gateway opens every other stream,
with rising numbers that are never used again on a connection. A sender may have at most a
window of FRAME bytes unconfirmed per stream; everything else is small and not counted.

The gateway is not trusted by the node and the node is not trusted by the gateway: either may
close the connection at the first malformed byte.

Source: docs/spec/link.md.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mifeng.errors import MalformedError, UsageError

from . import jsonc
from .codec import u8, u32
from .header import DIGEST_BYTES
from .messages import MIN_FRAME, MessageType

PREFIX_BYTES: Final = 9
WINDOW_BYTES: Final = 1 << 20
MAX_BUNDLE_FRAME: Final = 32 << 20
MAX_PAYLOAD: Final = 256 * 1024


class LinkKind(IntEnum):
    """What the link itself says."""

    HELLO = 32
    """node → gateway, stream 0, first of all: who I am (`Hello`)."""
    STATUS = 33
    """node → gateway, stream 0: how busy (`NodeStatus`)."""
    TALLY = 34
    """node → gateway, stream 0: a signed tally."""
    ATTEST = 35
    """gateway → node, new stream: freshness kind(1) ‖ x."""
    BUNDLE = 36
    """node → gateway, same stream: an encoded bundle."""
    WINDOW = 37
    """Either way: number of FRAME bytes consumed on the stream (4)."""
    RESET = 38
    """Either way: the stream is over; payload is a code in ASCII."""


_KINDS: Final = frozenset((*map(int, MessageType), *map(int, LinkKind)))


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """One frame of the link."""

    stream: int
    kind: int
    payload: bytes

    def encode(self) -> bytes:
        """Return the frame's bytes."""
        return (
            u32(len(self.payload) + PREFIX_BYTES - 4)
            + u32(self.stream)
            + u8(self.kind)
            + self.payload
        )


class LinkParser:
    """Cuts a byte stream into link frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[LinkFrame]:
        """Return the frames that `data` completes.

        Raises:
            MalformedError: unknown kind or impossible length; the connection is lost.
        """
        buffer, frames, at = self._buffer, [], 0
        buffer += data
        while len(buffer) - at >= PREFIX_BYTES:
            length = int.from_bytes(buffer[at : at + 4], "big")
            kind = buffer[at + 8]
            _check(length - (PREFIX_BYTES - 4), kind)
            end = at + 4 + length
            if len(buffer) < end:
                break
            stream = int.from_bytes(buffer[at + 4 : at + 8], "big")
            frames.append(LinkFrame(stream, kind, bytes(buffer[at + PREFIX_BYTES : end])))
            at = end
        del buffer[:at]
        return frames


def _check(size: int, kind: int) -> None:
    if kind not in _KINDS:
        raise MalformedError(f"link: kind {kind}")
    limit = MAX_BUNDLE_FRAME if kind == LinkKind.BUNDLE else MAX_PAYLOAD
    if not (MIN_FRAME if kind == MessageType.FRAME else 0) <= size <= limit:
        raise MalformedError(f"link: {size} bytes of kind {kind}")


class SendWindow:
    """How many FRAME bytes may still be sent on one stream."""

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit = WINDOW_BYTES

    @property
    def open(self) -> bool:
        """At least one byte of credit is left; one frame may overdraw it."""
        return self._credit > 0

    def sent(self, size: int) -> None:
        """Account for a FRAME of `size` bytes.

        Raises:
            UsageError: the window is shut.
        """
        if self._credit <= 0:
            raise UsageError("link: window is shut")
        self._credit -= size

    def granted(self, payload: bytes) -> None:
        """Take in a WINDOW frame.

        Raises:
            MalformedError: it confirms more than was sent.
        """
        if len(payload) != 4:  # noqa: PLR2004 - a u32
            raise MalformedError("link: window")
        self._credit += int.from_bytes(payload, "big")
        if self._credit > WINDOW_BYTES:
            raise MalformedError("link: window confirms what was not sent")


class ReceiveWindow:
    """Confirms consumed FRAME bytes, in halves of the window rather than frame by frame."""

    __slots__ = ("_outstanding", "_owed")

    def __init__(self) -> None:
        self._owed = 0
        self._outstanding = 0

    def received(self, size: int) -> None:
        """Account for a FRAME that arrived.

        Raises:
            MalformedError: the peer sent more than the window allows.
        """
        self._outstanding += size
        if self._outstanding - size >= WINDOW_BYTES:
            raise MalformedError("link: peer ignores the window")

    def consumed(self, size: int) -> bytes | None:
        """Return the payload of a WINDOW frame to send now, if one is due."""
        self._owed += size
        if self._owed < WINDOW_BYTES // 2:
            return None
        payload, self._owed = u32(self._owed), 0
        self._outstanding -= int.from_bytes(payload, "big")
        return payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first thing a node says. Unproven: only evidence makes it true."""

    node_id: str
    capacity: int
    """Requests it will run at once."""
    log_size: int
    """Leaves of the newest checkpoint it has confirmed: where the next proof must start."""

    def encode(self) -> bytes:
        """Return the payload, canonical JSON."""
        return jsonc.dumps(
            {
                "v": 1,
                "node_id": self.node_id,
                "capacity": self.capacity,
                "log_size": self.log_size,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> "Hello":
        """Return what `payload` encodes, or raise `MalformedError`."""
        fields = jsonc.Fields(jsonc.loads(payload, limit=4096), "hello")
        fields.integer("v", low=1, high=1)
        hello = cls(
            node_id=fields.text("node_id", limit=128),
            capacity=fields.integer("capacity", low=1, high=65536),
            log_size=fields.integer("log_size"),
        )
        fields.end()
        return hello


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """How busy a node is and which keyset it wants requests for."""

    active: int
    queued: int
    capacity: int
    draining: bool
    keyset: bytes
    """Digest of the active keyset; when it changes, the gateway asks for evidence."""

    def encode(self) -> bytes:
        """Return the payload, canonical JSON."""
        return jsonc.dumps(
            {
                "v": 1,
                "active": self.active,
                "queued": self.queued,
                "capacity": self.capacity,
                "draining": self.draining,
                "keyset": self.keyset.hex(),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> "NodeStatus":
        """Return what `payload` encodes, or raise `MalformedError`."""
        fields = jsonc.Fields(jsonc.loads(payload, limit=4096), "status")
        fields.integer("v", low=1, high=1)
        status = cls(
            active=fields.integer("active"),
            queued=fields.integer("queued"),
            capacity=fields.integer("capacity", low=1),
            draining=fields.flag("draining"),
            keyset=fields.hex("keyset", DIGEST_BYTES),
        )
        fields.end()
        return status
