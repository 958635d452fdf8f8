"""Event logs in TCG's crypto-agile format: CCEL of TDX and CSV guests, and PC firmware's.

A log is what the host hands the guest in plain memory: any of it may be invented. `parse` splits
it; `bind` decides which events a signed register vouches for.

Source: TCG PC Client Platform Firmware Profile 1.05 §10.2 (TCG_PCR_EVENT, TCG_PCR_EVENT2,
TCG_EfiSpecIdEvent); UEFI 2.10 §38.4 (confidential computing event log).
"""

from typing import Final

from attestation.errors import EvidenceMalformedError, malformed

from .event import HASHES, Event

_CODE: Final = "event-log.tcg2"
MAX_SIZE: Final = 1 << 20
MAX_EVENTS: Final = 4096
_SIGNATURE: Final = b"Spec ID Event03\0"
_SHA1_SIZE: Final = 20
EV_NO_ACTION: Final = 3
_MAX_ALGORITHMS: Final = 8
_END: Final = 0xFFFFFFFF


def parse(raw: bytes) -> tuple[Event, ...]:
    """Return the events of one log, the header excluded; the buffer's unused tail is dropped.

    Raises:
        EvidenceMalformedError: not such a log, an algorithm the header does not announce, or
            bytes behind the last event that are not one filler (codes `event-log.tcg2*`).
    """
    if len(raw) > MAX_SIZE:
        raise malformed(f"{_CODE}.size", "event log", f"<= {MAX_SIZE} bytes", len(raw))
    reader = _Reader(raw)
    sizes = reader.header()
    events: list[Event] = []
    while not reader.ended():
        if len(events) == MAX_EVENTS:
            raise reader.bad(f"<= {MAX_EVENTS} events", "more")
        events.append(reader.event(sizes))
    return tuple(events)


def used(raw: bytes) -> bytes:
    """Return a log without the buffer's unused tail; raises as `parse`."""
    parse(raw)
    reader = _Reader(raw)
    sizes = reader.header()
    while not reader.ended():
        reader.event(sizes)
    return raw[: reader.at]


class _Reader:
    """Reads from front to back; every length is checked before it is used."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.at = 0

    def bad(self, required: str, found: object) -> EvidenceMalformedError:
        return malformed(_CODE, f"event log at {self.at}", required, found)

    def _take(self, size: int) -> bytes:
        found = self._raw[self.at : self.at + size]
        if len(found) != size:
            raise self.bad(f"{size} bytes", len(found))
        self.at += size
        return found

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def header(self) -> dict[int, int]:
        """Read the first record, in the old format; return digest sizes by algorithm."""
        self._number(4)
        if self._number(4) != EV_NO_ACTION or any(self._take(_SHA1_SIZE)):
            raise self.bad("a header record", "another record")
        end = self._number(4) + self.at
        if self._take(len(_SIGNATURE)) != _SIGNATURE:
            raise self.bad("Spec ID Event03", "another header")
        self._take(8)  # platform class, version, errata, size of UINTN
        count = self._number(4)
        if not 1 <= count <= _MAX_ALGORITHMS:
            raise self.bad(f"1 … {_MAX_ALGORITHMS} algorithms", count)
        sizes = {self._number(2): self._number(2) for _ in range(count)}
        for algorithm, size in sizes.items():
            known = HASHES.get(algorithm)
            if len(sizes) != count or known is None or known.size != size:
                raise self.bad("known algorithms, each once", f"{algorithm:#06x} of {size} bytes")
        self._take(self._number(1))
        if self.at != end:
            raise self.bad(f"the header's end at {end}", self.at)
        return sizes

    def event(self, sizes: dict[int, int]) -> Event:
        """Read one record in the crypto-agile format."""
        index, kind, count = self._number(4), self._number(4), self._number(4)
        if count != len(sizes):
            raise self.bad(f"{len(sizes)} digests", count)
        digests: dict[int, bytes] = {}
        for _ in range(count):
            algorithm = self._number(2)
            if algorithm not in sizes or algorithm in digests:
                raise self.bad("one digest of each announced algorithm", f"{algorithm:#06x}")
            digests[algorithm] = self._take(sizes[algorithm])
        data = self._take(self._number(4))
        return Event(index=index, kind=kind, digests=digests, data=data)

    def ended(self) -> bool:
        """Whether only filler follows: nothing, or one byte value (0x00 or 0xFF) to the end."""
        rest = self._raw[self.at :]
        if not rest or not any(rest):
            return True
        if rest[:4] != _END.to_bytes(4):
            return False
        if rest.count(0xFF) != len(rest):
            raise self.bad("0xFF to the end", "other bytes")
        return True
