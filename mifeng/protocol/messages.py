"""The messages of one exchange, in the order they travel; HTTP, gRPC and the node link agree.

    client → gateway → node      OPEN, FRAME … FRAME(final)
    gateway → node               INTENT first, then the client's messages; CANCEL at any time
    node → gateway               ANSWER, FRAME … FRAME(final), STATEMENT   or   STATEMENT / PROBLEM
    gateway → client             ANSWER, FRAME …, then together: FRAME(final), STATEMENT, RECORD

A message is type(1) ‖ length(4) ‖ payload. The gateway reads types, the header inside OPEN and
the statement; the rest is ciphertext to it.

Source: docs/spec/messages.md.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from mifeng.errors import MalformedError

from . import jsonc
from .codec import Reader, blob, u8, u32, u64
from .header import MAX_HEADER_BYTES

COMMITMENT_BYTES: Final = 32
PREFIX_BYTES: Final = 5
MIN_FRAME: Final = 4 + 256 + 16
"""Header, smallest bucket, tag."""
MAX_PROBLEM_BYTES: Final = 4096
MAX_PROOF_HASHES: Final = 64
MAX_ENTRY_BYTES: Final = 128 * 1024
MAX_NOTE_BYTES: Final = 16 * 1024
MEDIA_TYPE: Final = "application/vnd.mifeng.sealed"


class MessageType(IntEnum):
    """See the module's table."""

    OPEN = 1
    FRAME = 2
    ANSWER = 3
    STATEMENT = 4
    RECORD = 5
    PROBLEM = 6
    INTENT = 7
    CANCEL = 8


_LIMITS: Final = {
    MessageType.OPEN: MAX_HEADER_BYTES + 64,
    MessageType.FRAME: 4 + 65536 + 16,
    MessageType.ANSWER: 256,
    MessageType.STATEMENT: 32 * 1024,
    MessageType.RECORD: MAX_ENTRY_BYTES + 4096,
    MessageType.PROBLEM: MAX_PROBLEM_BYTES,
    MessageType.INTENT: 64 * 1024,
    MessageType.CANCEL: 0,
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message: what it is, and bytes that are not yet trusted."""

    type: MessageType
    payload: bytes

    def encode(self) -> bytes:
        """Return type ‖ length ‖ payload."""
        return u8(self.type) + u32(len(self.payload)) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the one message `data` encodes, with nothing behind it."""
        parser = MessageParser()
        messages = parser.feed(data)
        if len(messages) != 1 or not parser.idle:
            raise MalformedError("message: need exactly one")
        return cls(messages[0].type, messages[0].payload)


class MessageParser:
    """Cuts a byte stream into messages. Holds at most one message's bytes."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def idle(self) -> bool:
        """No part of a message is waiting for the rest."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes.

        Raises:
            MalformedError: unknown type, or longer than its type allows; the stream is lost.
        """
        buffer, messages, at = self._buffer, [], 0
        buffer += data
        while len(buffer) - at >= PREFIX_BYTES:
            message_type = _message_type(buffer[at])
            size = int.from_bytes(buffer[at + 1 : at + PREFIX_BYTES], "big")
            least = MIN_FRAME if message_type is MessageType.FRAME else 0
            if not least <= size <= _LIMITS[message_type]:
                raise MalformedError(f"message: {size} bytes of {message_type.name}")
            end = at + PREFIX_BYTES + size
            if len(buffer) < end:
                break
            messages.append(Message(message_type, bytes(buffer[at + PREFIX_BYTES : end])))
            at = end
        del buffer[:at]
        return messages


def _message_type(value: int) -> MessageType:
    try:
        return MessageType(value)
    except ValueError:
        raise MalformedError(f"message: type {value}") from None


@dataclass(frozen=True, slots=True)
class Open:
    """OPEN: the header's exact bytes, and the commitment to the key of the frames."""

    header: bytes
    commitment: bytes

    def encode(self) -> bytes:
        """Return the payload."""
        return blob(self.header) + self.commitment

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return what `payload` encodes, or raise `MalformedError`."""
        reader = Reader(payload, "open")
        value = cls(reader.blob(MAX_HEADER_BYTES), reader.take(COMMITMENT_BYTES))
        reader.end()
        return value


@dataclass(frozen=True, slots=True)
class Intent:
    """INTENT: the log's signed intent, its head, and how that follows from what the node saw."""

    statement: bytes
    """DSSE of the log key (docs/spec/log.md, INTENT)."""
    note: bytes
    """Signed checkpoint of at least the size the node last confirmed."""
    consistency: tuple[bytes, ...]
    """Proof from the node's last size to the note's, RFC 9162 §2.1.4."""

    def encode(self) -> bytes:
        """Return the payload."""
        hashes = b"".join(self.consistency)
        return blob(self.statement) + blob(self.note) + u8(len(self.consistency)) + hashes

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return what `payload` encodes, or raise `MalformedError`."""
        reader = Reader(payload, "intent")
        statement, note = reader.blob(MAX_NOTE_BYTES), reader.blob(MAX_NOTE_BYTES)
        count = reader.number(1)
        if count > MAX_PROOF_HASHES:
            raise MalformedError("intent: proof too long")
        value = cls(statement, note, tuple(reader.take(32) for _ in range(count)))
        reader.end()
        return value


@dataclass(frozen=True, slots=True)
class Record:
    """RECORD: the log entry that closes this exchange, and the log's promise to keep it."""

    index: int
    entry: bytes
    promise: bytes

    def encode(self) -> bytes:
        """Return the payload."""
        return u64(self.index) + blob(self.entry) + blob(self.promise)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return what `payload` encodes, or raise `MalformedError`."""
        reader = Reader(payload, "record")
        value = cls(reader.number(8), reader.blob(MAX_ENTRY_BYTES), reader.blob(2048))
        reader.end()
        return value


@dataclass(frozen=True, slots=True)
class Problem:
    """PROBLEM: an unsigned refusal. It means "unknown", never "try something weaker"."""

    code: str
    message: str
    retry_after_s: int | None = None

    def encode(self) -> bytes:
        """Return the payload, canonical JSON."""
        return jsonc.dumps(
            {"code": self.code, "message": self.message, "retry_after_s": self.retry_after_s}
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return what `payload` encodes, or raise `MalformedError`."""
        doc = jsonc.loads(payload, limit=MAX_PROBLEM_BYTES)
        retry = doc.pop("retry_after_s", None) if isinstance(doc, dict) else None
        fields = jsonc.Fields(doc, "problem")
        value = cls(
            fields.text("code", limit=64),
            fields.text("message", limit=1024, empty=True),
            retry if type(retry) is int and retry >= 0 else None,
        )
        fields.end()
        if value.encode() != payload:
            raise MalformedError("problem: retry_after_s")
        return value
