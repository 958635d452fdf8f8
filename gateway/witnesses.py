"""Ask N witnesses for cosignatures, of which M make a checkpoint count as published.

The publisher signs a checkpoint, hands it to `Witnesses.gather` and shows what comes back. Until
enough witnesses have answered, the checkpoint before stays the newest one; appends and promises go
on meanwhile, and a promise's time is the limit. A witness that answers 409 at a size the log never
had, or 422, knows another history of this log: that is an alarm, not a retry.

Source: c2sp.org/tlog-witness; docs/spec/witness.md §6.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mifeng.errors import MalformedError, MifengError
from mifeng.protocol import note
from mifeng.protocol.note import Note, NoteKey, Signature
from mifeng.witness.client import Prove, WitnessClient

ALARMING: Final = ("witness.409", "witness.422", "peer")
"""Codes after which somebody must look: the witness and the log disagree about the past."""

GRACE_S: Final = 0.2
"""How much longer the others are waited for once enough have answered."""


class WitnessEntry(BaseModel):
    """One witness, as the operator configures it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(pattern=r"^(https?://.+|unix:.+)$")]
    """Its submission prefix."""
    key: str
    """Its verifier key, SM2 or Ed25519."""

    @field_validator("key")
    @classmethod
    def _cosigner(cls, value: str) -> str:
        try:
            key = NoteKey.decode(value)
        except MalformedError as exc:
            raise ValueError(str(exc)) from exc
        if not key.type.timestamped:
            raise ValueError("need the verifier key of a witness, not of a log")
        return value


class WitnessesConfig(BaseModel):
    """Section `log.witnesses` of the gateway's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: Annotated[list[WitnessEntry], Field(max_length=32)]
    quorum: Annotated[int, Field(ge=0, le=32)]
    """How many must cosign before a checkpoint is shown. Clients and nodes have their own."""
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 5.0

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.quorum > len(self.members):
            raise ValueError("quorum: more than there are witnesses")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A note with the cosignatures that came in time."""

    note: bytes
    count: int
    enough: bool
    """Whether the quorum was reached: only then is the note shown."""
    refusals: tuple[tuple[str, str], ...]
    """Witness name and stable code of each that did not cosign."""

    @property
    def alarming(self) -> tuple[tuple[str, str], ...]:
        """Refusals that say that a witness knows another history."""
        return tuple(each for each in self.refusals if each[1].startswith(ALARMING))


class Witnesses:
    """The witnesses of one log. Belongs to one event loop."""

    def __init__(self, members: Sequence[WitnessClient], *, quorum: int) -> None:
        self._members, self._quorum = tuple(members), quorum

    @classmethod
    def of(cls, config: WitnessesConfig) -> Self:
        """Return the witnesses that a configuration names."""
        members = [
            WitnessClient(each.url, NoteKey.decode(each.key), timeout_s=config.timeout_s)
            for each in config.members
        ]
        return cls(members, quorum=config.quorum)

    async def close(self) -> None:
        """Release all connections."""
        await asyncio.gather(*(member.close() for member in self._members))

    async def gather(self, signed: bytes, size: int, prove: Prove) -> Witnessed:
        """Return the note with every cosignature that comes before the quorum's grace ends.

        Never raises for what a witness does: who did not cosign is in `refusals`.

        Args:
            signed: the log's own note.
            size: of its checkpoint.
            prove: makes the consistency proof from an older size of this log to `size`.
        """
        waiting = {
            asyncio.create_task(member.cosign(signed, size, prove)): member.key.name
            for member in self._members
        }
        lines: list[Signature] = []
        refusals: list[tuple[str, str]] = []
        pending = set(waiting)
        while pending:
            limit = GRACE_S if len(lines) >= self._quorum > 0 else None
            done, pending = await asyncio.wait(
                pending, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                try:
                    lines.append(task.result())
                except MifengError as exc:
                    refusals.append((waiting[task], exc.code))
        for task in pending:
            task.cancel()
            refusals.append((waiting[task], "witness.late"))
        await asyncio.gather(*pending, return_exceptions=True)
        return Witnessed(
            note=_joined(signed, lines),
            count=len(lines),
            enough=len(lines) >= self._quorum,
            refusals=tuple(sorted(refusals)),
        )


def _joined(signed: bytes, lines: Sequence[Signature]) -> bytes:
    parsed = note.parse(signed)
    ordered = sorted(lines, key=lambda line: (line.name, line.key_id))
    return Note(text=parsed.text, signatures=(*parsed.signatures, *ordered)).encode()
