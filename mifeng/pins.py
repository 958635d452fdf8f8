"""The log that a party pins, as it stands in configuration files of clients, nodes, auditors.

Read from YAML or JSON at the edges only; the protocol sees a `LogPin`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mifeng.errors import MalformedError
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import NoteKey, SignatureType


class PinDocument(BaseModel):
    """Origin, keys and witnesses of one log. No field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: Annotated[str, Field(min_length=1, max_length=255)]
    """First line of the log's checkpoints."""
    keys: Annotated[list[str], Field(min_length=1, max_length=8)]
    """SM2 verifier keys, `name+hash+base64`; any one of them signs for the log."""
    witnesses: Annotated[list[str], Field(max_length=32)]
    """Verifier keys of witnesses this party trusts. Empty: every result says UNWITNESSED."""
    quorum: Annotated[int, Field(ge=0, le=32)]
    """How many of them must have cosigned."""

    @field_validator("keys", "witnesses")
    @classmethod
    def _decodes(cls, values: list[str]) -> list[str]:
        for value in values:
            try:
                NoteKey.decode(value)
            except MalformedError as exc:
                raise ValueError(str(exc)) from exc
        return values

    def pin(self) -> LogPin:
        """Return the pin.

        Raises:
            ValueError: a quorum that cannot be reached, a log key that is not SM2, or a
                witness's key that has no times.
        """
        keys = tuple(map(NoteKey.decode, self.keys))
        if any(key.type is not SignatureType.SM2 for key in keys):
            raise ValueError("log.keys: need SM2 verifier keys")
        witnesses = tuple(map(NoteKey.decode, self.witnesses))
        if not all(key.type.timestamped for key in witnesses):
            raise ValueError("log.witnesses: need verifier keys of witnesses, not of a log")
        if self.quorum > len({key.name for key in witnesses}):
            raise ValueError("log.quorum: more than there are witnesses")
        return LogPin(
            origin=self.origin,
            world=SM3,
            keys=keys,
            witnesses=witnesses,
            quorum=self.quorum,
        )
