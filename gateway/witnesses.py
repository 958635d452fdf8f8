"""Ask N witnesses for cosignatures, of which M make a checkpoint count as published.

`auditlog.showing` signs a checkpoint, hands it to `Witnesses.gather` and shows what comes back. A
witness that cannot be reached is left alone for a while; one whose answer would complete the quorum
is asked all the same. A witness that answers 409 at a size the log never had, or 422, knows another
history of this log: that is an alarm, not a retry.

Source: c2sp.org/tlog-witness; docs/spec/witness.md §6.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mifeng.errors import MalformedError, MifengError
from mifeng.protocol import note
from mifeng.protocol.note import Note, NoteKey, Signature, SignatureType
from mifeng.witness.client import AheadError, Prove, WitnessClient

ALARMING: Final = ("witness.409", "witness.422", "peer")
"""Codes after which somebody must look: the witness and the log disagree about the past."""

GRACE_S: Final = 0.2
"""How much longer the others are waited for once enough have answered."""
LATE: Final = "witness.late"
REST_S: Final = (0.5, 1.0, 2.0, 5.0)
"""For how long a witness that did not answer is not asked again, after so many failures."""
_UNREACHED: Final = ("transport", "witness.5", LATE)


class WitnessEntry(BaseModel):
    """One witness, as the operator configures it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(pattern=r"^(https?://.+|unix:.+)$")]
    """Its submission prefix."""
    key: str
    """Its verifier key, SM2 or Ed25519."""
    twin_key: str | None = None
    """Its Ed25519 verifier key, if it serves the log's SHA-256 twin too."""

    @field_validator("key", "twin_key")
    @classmethod
    def _cosigner(cls, value: str | None) -> str | None:
        try:
            key = NoteKey.decode(value) if value is not None else None
        except MalformedError as exc:
            raise ValueError(str(exc)) from exc
        if key is not None and not key.type.timestamped:
            raise ValueError("need the verifier key of a witness, not of a log")
        return value

    @model_validator(mode="after")
    def _public_twin(self) -> Self:
        if self.twin_key and NoteKey.decode(self.twin_key).type is not SignatureType.COSIGNATURE:
            raise ValueError("twin_key: public tools read Ed25519 only")
        return self


class WitnessesConfig(BaseModel):
    """Section `log.witnesses` of the gateway's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: Annotated[list[WitnessEntry], Field(min_length=1, max_length=32)]
    quorum: Annotated[int, Field(ge=1, le=32)]
    """How many must cosign before a checkpoint is shown; nodes and clients pin the same number."""
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 5.0
    """How long one of them may take."""
    patience_s: Annotated[float, Field(ge=1, le=45)] = 30.0
    """How long requests are taken while the quorum is missing. A promise is due after 60 s."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.quorum > len(self.members):
            raise ValueError("quorum: more than there are witnesses")
        if len({key.name for key in self.keys}) != len(self.members):
            raise ValueError("key: a witness is listed twice")
        if len({key.name for key in self.twin_keys}) != len(self.twin_keys):
            raise ValueError("twin_key: a witness is listed twice")
        if 0 < len(self.twin_keys) < self.quorum:
            raise ValueError("twin_key: fewer than the quorum")
        return self

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """What cosignatures of the SM3 tree verify under."""
        return tuple(NoteKey.decode(each.key) for each in self.members)

    @property
    def twin_keys(self) -> tuple[NoteKey, ...]:
        """What cosignatures of the twin verify under."""
        return tuple(NoteKey.decode(each.twin_key) for each in self.members if each.twin_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A note with the cosignatures that came in time."""

    note: bytes
    count: int
    enough: bool
    """Whether the quorum was reached: only then is the note shown."""
    ahead: int
    """The size of the latest checkpoint that a witness says it has cosigned, if that is later than
    this one; else 0."""
    refusals: tuple[tuple[str, str], ...]
    """Witness name and stable code of each that did not cosign."""

    @property
    def alarming(self) -> tuple[tuple[str, str], ...]:
        """Refusals that say that a witness knows another history."""
        return tuple(each for each in self.refusals if each[1].startswith(ALARMING))


@dataclass(slots=True)
class Standing:
    """How it goes with one witness. Times are of the monotonic clock."""

    name: str
    size: int = 0
    """Of the newest checkpoint it cosigned."""
    cosigned_at: float | None = None
    code: str = ""
    """Why it did not cosign the last time it was asked; empty if it did."""
    failures: int = 0
    """Times in a row that it could not be reached."""
    resting_until: float = 0.0

    def cosigned(self, size: int, now: float) -> None:
        """Note a cosignature."""
        self.size, self.cosigned_at, self.code = size, now, ""
        self.failures, self.resting_until = 0, 0.0

    def refused(self, code: str, now: float) -> None:
        """Note why there is none."""
        self.code = code
        if code.startswith(_UNREACHED):
            self.resting_until = now + REST_S[min(self.failures, len(REST_S) - 1)]
            self.failures += 1


class Witnesses:
    """The witnesses of one tree of a log. Belongs to one event loop."""

    def __init__(
        self,
        members: Sequence[WitnessClient],
        *,
        quorum: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members, self.quorum, self._monotonic = tuple(members), quorum, monotonic
        self.standing = {member.key.name: Standing(member.key.name) for member in self._members}

    @classmethod
    def of(cls, config: WitnessesConfig) -> Self:
        """Return the witnesses of the SM3 tree that a configuration names."""
        return cls._with(config, config.keys)

    @classmethod
    def of_twin(cls, config: WitnessesConfig) -> Self | None:
        """Return the witnesses of the SHA-256 twin, if the configuration names any."""
        return cls._with(config, config.twin_keys) if config.twin_keys else None

    @classmethod
    def _with(cls, config: WitnessesConfig, keys: Sequence[NoteKey]) -> Self:
        wanted = set(keys)
        members = []
        for each in config.members:
            for text in (each.key, each.twin_key):
                key = NoteKey.decode(text) if text else None
                if key is not None and key in wanted:
                    members.append(WitnessClient(each.url, key, timeout_s=config.timeout_s))
        return cls(members, quorum=config.quorum)

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """What their cosignatures verify under."""
        return tuple(member.key for member in self._members)

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
            for member in self._asked()
        }
        try:
            lines, refusals, ahead = await self._answers(waiting, size)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return Witnessed(
            note=_joined(signed, lines),
            count=len(lines),
            enough=len(lines) >= self.quorum,
            ahead=ahead,
            refusals=tuple(sorted(refusals)),
        )

    async def _answers(
        self, waiting: Mapping[asyncio.Task[Signature], str], size: int
    ) -> tuple[list[Signature], list[tuple[str, str]], int]:
        """Return lines, refusals, and the size of a witness that is ahead."""
        lines: list[Signature] = []
        refusals: list[tuple[str, str]] = []
        ahead = 0
        pending = set(waiting)
        while pending:
            limit = GRACE_S if len(lines) >= self.quorum else None
            done, pending = await asyncio.wait(
                pending, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                standing = self.standing[waiting[task]]
                try:
                    lines.append(task.result())
                    standing.cosigned(size, self._monotonic())
                except MifengError as exc:
                    ahead = max(ahead, exc.size if isinstance(exc, AheadError) else 0)
                    standing.refused(exc.code, self._monotonic())
                    refusals.append((standing.name, exc.code))
        for task in pending:
            self.standing[waiting[task]].refused(LATE, self._monotonic())
            refusals.append((waiting[task], LATE))
        return lines, refusals, ahead

    def _asked(self) -> list[WitnessClient]:
        """Return whom to ask now: all that do not rest, and who else the quorum needs."""
        now = self._monotonic()
        ready = [m for m in self._members if self.standing[m.key.name].resting_until <= now]
        resting = sorted(
            (m for m in self._members if m not in ready),
            key=lambda m: self.standing[m.key.name].resting_until,
        )
        return ready + resting[: max(0, self.quorum - len(ready))]


def _joined(signed: bytes, lines: Sequence[Signature]) -> bytes:
    parsed = note.parse(signed)
    ordered = sorted(lines, key=lambda line: (line.name, line.key_id))
    return Note(text=parsed.text, signatures=(*parsed.signatures, *ordered)).encode()
