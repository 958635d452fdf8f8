"""Replay logs against signed registers; only then are their events believed.

A register is `H(register ‖ digest)` over all events, from zero. A log is refused if any register
it speaks of does not come out; what it does not speak of is not vouched for, and the claims say
which registers are covered. Even then an event proves its digest; its data only if they hash
to it.

Source: TCG PC Client Platform Firmware Profile 1.05 §3.3; Intel TDX module 1.5 (RTMR);
docs/attestation/eventlog.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from attestation.containers import is_text, text_to_bytes
from attestation.errors import EvidenceUntrustedError, Finding, malformed
from mifeng.crypto import constant_time_equal

from . import dstack, tcg2
from .event import HASHES, SHA384, SM3, Event

MAX_LOGS: Final = 4
_REGISTERS: Final = 4
_MAX_SHOWN: Final = 256
"""Bytes of one event's data that claims repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundLog:
    """Events that signed registers vouch for."""

    events: tuple[Event, ...]
    algorithm: int
    covered: tuple[int, ...]
    """Registers with events, numbered as the log numbers them."""

    def claims(self) -> dict[str, object]:
        """Return the events for people and policies, JSON-able; data only where proven."""
        return {
            "event_registers": ",".join(map(str, self.covered)),
            "events": [_shown(event, self.algorithm) for event in self.events],
        }


def parse(raw: bytes) -> tuple[Event, ...]:
    """Return the events of a log in any form: TCG binary, its hex or base64, dstack's JSON.

    Raises:
        EvidenceMalformedError: none of these (codes `event-log.*`).
    """
    if raw.lstrip()[:1] == b"[":
        return dstack.parse(raw)
    if raw and is_text(raw):
        raw = text_to_bytes(raw, what="event log", code="event-log")
    return tcg2.parse(raw)


def replay(events: Sequence[Event], algorithm: int) -> dict[int, bytes]:
    """Return the registers that events lead to, by the log's numbers; untouched ones are absent.

    Raises:
        EvidenceMalformedError: an event without a digest of this algorithm.
    """
    registers: dict[int, bytes] = {}
    function = HASHES[algorithm]
    for event in events:
        if event.kind == tcg2.EV_NO_ACTION:
            continue
        if algorithm not in event.digests:
            found = ", ".join(f"{each:#06x}" for each in event.digests)
            raise malformed("event-log.algorithm", "digests", f"{algorithm:#06x}", found)
        before = registers.get(event.index, bytes(function.size))
        registers[event.index] = function.digest(before + event.digests[algorithm])
    return registers


def bind(
    logs: Sequence[bytes], registers: Mapping[int, bytes], *, algorithm: int, code: str
) -> BoundLog:
    """Return the events of several logs, taken one after the other, if they replay.

    Args:
        logs: untrusted; at least one.
        registers: signed values by the log's numbers.
        algorithm: of the registers, e.g. `SHA384`.
        code: the evidence kind, prefix of the findings' codes.

    Raises:
        EvidenceMalformedError: a log does not parse.
        EvidenceUntrustedError: a register comes out differently, or is not one of `registers`
            (code `<code>.event-log`).
    """
    if len(logs) > MAX_LOGS:
        raise malformed(f"{code}.event-log", "event logs", f"<= {MAX_LOGS}", len(logs))
    events = tuple(event for raw in logs for event in parse(raw))
    replayed = replay(events, algorithm)
    wrong = [
        Finding(f"{code}.event-log", f"replayed register {index}", wanted.hex(), value.hex())
        for index, value in sorted(replayed.items())
        if not constant_time_equal(wanted := registers.get(index, b""), value)
    ]
    if wrong:
        raise EvidenceUntrustedError(*wrong)
    believed = tuple(event for event in events if event.kind != tcg2.EV_NO_ACTION)
    return BoundLog(events=believed, algorithm=algorithm, covered=tuple(sorted(replayed)))


def bind_tdx(logs: Sequence[bytes], rtmrs: Sequence[bytes], *, code: str) -> dict[str, object]:
    """Return claims about the events of a TD: log register 1 … 4 is RTMR 0 … 3.

    Args:
        logs: untrusted; CCEL or dstack's JSON, in any form `parse` takes.
        rtmrs: RTMR 0 to 3 of a quote whose signature was checked, 48 bytes each.
        code: the evidence kind, prefix of the findings' codes.

    Raises:
        EvidenceMalformedError, EvidenceUntrustedError: as `bind`.
    """
    registers = dict(enumerate(rtmrs, start=1))
    return bind(logs, registers, algorithm=SHA384, code=code).claims()


def bind_csv(logs: Sequence[bytes], fields: Mapping[str, bytes], *, code: str) -> dict[str, object]:
    """Return claims about the events of a CSV3 guest: log register 1 … 4 is rtmr1 … rtmr4.

    Args:
        logs: untrusted; CCEL with SM3 digests.
        fields: `rtmr1` to `rtmr4` of a report whose signature was checked, 32 bytes each.
        code: the evidence kind, prefix of the findings' codes.

    Raises:
        EvidenceMalformedError, EvidenceUntrustedError: as `bind`.
    """
    registers = {index: fields[f"rtmr{index}"] for index in range(1, _REGISTERS + 1)}
    return bind(logs, registers, algorithm=SM3, code=code).claims()


def _shown(event: Event, algorithm: int) -> dict[str, object]:
    named = event.kind == dstack.RUNTIME
    shown: dict[str, object] = {
        "register": event.index,
        "type": event.label,
        "digest": event.digests[algorithm].hex(),
    }
    if named:
        shown["name"] = event.name
    if (named or event.proves(algorithm)) and len(event.data) <= _MAX_SHOWN:
        shown["data"] = event.data.hex()
    return shown
