"""What a witness is configured with: one YAML file. Nothing has a default.

    name:       witness.example/w1          the key name in cosignatures
    listen:     tcp:127.0.0.1:7380          or unix:/path
    keys:       keys                        folder made by `mifeng witness keygen`
    passphrase: passphrase                  file
    state:      state                       folder made by `mifeng witness keygen`
    logs:       [{origin, world, keys}]     verifier keys of the logs it serves

Source: docs/spec/witness.md §5.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import WORLDS
from mifeng.protocol.note import NoteKey


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogEntry(_Strict):
    """One log that is served."""

    origin: Annotated[str, Field(min_length=1, max_length=255)]
    world: Literal["sm3", "sha256"]
    keys: Annotated[list[str], Field(min_length=1, max_length=8)]

    def pin(self) -> LogPin:
        """Return the log as the witness knows it; raises `MalformedError`."""
        keys = tuple(map(NoteKey.decode, self.keys))
        world = WORLDS[self.world]
        return LogPin(origin=self.origin, world=world, keys=keys, witnesses=(), quorum=0)


class WitnessConfig(_Strict):
    """See the module."""

    name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s+]+$")]
    listen: Annotated[str, Field(pattern=r"^(unix:.+|tcp:.+:\d+)$")]
    keys: Path
    passphrase: Path
    state: Path
    logs: Annotated[list[LogEntry], Field(min_length=1)]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the configuration in a file; paths are relative to it. Raises `UsageError`."""
        try:
            tree: Any = yaml.safe_load(path.read_bytes())
            config = cls.model_validate(tree)
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        except (yaml.YAMLError, ValidationError) as exc:
            raise UsageError(f"{path}: {exc}") from exc
        base = path.parent
        places = {name: base / getattr(config, name) for name in ("keys", "passphrase", "state")}
        return config.model_copy(update=places)

    def pins(self) -> dict[str, LogPin]:
        """Return the logs by origin; raises `UsageError`."""
        try:
            pins = {log.origin: log.pin() for log in self.logs}
        except MalformedError as exc:
            raise UsageError(f"logs: {exc}") from exc
        if len(pins) != len(self.logs):
            raise UsageError("logs: an origin is listed twice")
        return pins

    def secret(self) -> bytes:
        """Return the passphrase; raises `UsageError`."""
        try:
            return self.passphrase.read_bytes().strip()
        except OSError as exc:
            raise UsageError(f"passphrase: {exc.strerror}") from exc
