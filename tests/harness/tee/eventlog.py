"""SIMULATED event logs: TCG's binary format and dstack's JSON."""

import json
from dataclasses import dataclass, field
from hashlib import sha384
from typing import Self

from attestation.eventlog.event import HASHES, SHA384


@dataclass(kw_only=True)
class CcelWriter:
    """Writes one log with digests of one algorithm and keeps the registers it leads to."""

    algorithm: int = SHA384
    tail: bytes = b"\xff" * 64
    records: list[bytes] = field(default_factory=list)
    extended: list[tuple[int, bytes]] = field(default_factory=list)

    def header(self, *, vendor: bytes = b"") -> bytes:
        """Return the first record."""
        body = b"Spec ID Event03\0" + bytes(4) + bytes((0, 2, 0, 2)) + (1).to_bytes(4, "little")
        body += self.algorithm.to_bytes(2, "little")
        body += HASHES[self.algorithm].size.to_bytes(2, "little")
        body += bytes([len(vendor)]) + vendor
        head = (1).to_bytes(4, "little") + (3).to_bytes(4, "little") + bytes(20)
        return head + len(body).to_bytes(4, "little") + body

    def add(self, index: int, kind: int, data: bytes, *, digest: bytes | None = None) -> Self:
        """Add one event; its digest is that of `data` unless given."""
        digest = HASHES[self.algorithm].digest(data) if digest is None else digest
        record = index.to_bytes(4, "little") + kind.to_bytes(4, "little")
        record += (1).to_bytes(4, "little") + self.algorithm.to_bytes(2, "little") + digest
        self.records.append(record + len(data).to_bytes(4, "little") + data)
        if kind != 3:
            self.extended.append((index, digest))
        return self

    def registers(self) -> dict[int, bytes]:
        """Return what the events extend registers to."""
        found: dict[int, bytes] = {}
        function = HASHES[self.algorithm]
        for index, digest in self.extended:
            found[index] = function.digest(found.get(index, bytes(function.size)) + digest)
        return found

    def raw(self) -> bytes:
        """Return the whole log, filler included."""
        return self.header() + b"".join(self.records) + self.tail


def runtime_digest(name: str, payload: bytes) -> bytes:
    """Return the digest of a dstack runtime event."""
    return sha384(b"\x01\0\0\x08:" + name.encode() + b":" + payload).digest()


def dstack_event(name: str, payload: bytes, **changes: object) -> dict[str, object]:
    """Return one runtime event of dstack's log."""
    return {
        "imr": 3,
        "event_type": 0x08000001,
        "digest": runtime_digest(name, payload).hex(),
        "event": name,
        "event_payload": payload.hex(),
        **changes,
    }


def dstack_log(*events: dict[str, object]) -> bytes:
    """Return dstack's log."""
    return json.dumps(list(events)).encode()
