"""What this machine remembers: the newest checkpoint of a log, and verdicts on nodes.

A log that shows a smaller tree, or one that does not contain the tree seen before, contradicts
itself; the error carries both signed notes and convicts whoever signed them.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attestation.result import AttestedKey
from mifeng.crypto import sm3
from mifeng.errors import PeerError, UsageError
from mifeng.protocol import checkpoint
from mifeng.protocol.checkpoint import LogPin, SignedCheckpoint
from mifeng.protocol.offer import Offer
from mifeng.protocol.proof import ConsistencyProof

MAX_VERDICTS: Final = 64


class Verdicts:
    """Verdicts on bundles, by the SM3 of their bytes; no bundle is appraised twice in its life."""

    def __init__(self) -> None:
        """Know nothing."""
        self._keys: dict[bytes, AttestedKey] = {}

    @property
    def now(self) -> Mapping[bytes, AttestedKey]:
        """Every verdict that is kept."""
        return dict(self._keys)

    def keep(self, offer: bytes, key: AttestedKey, *, now: int) -> None:
        """Keep the verdict on an accepted offer's bundle; forget those that have run out."""
        kept = {digest: each for digest, each in self._keys.items() if now < each.valid_until}
        kept[sm3(Offer.decode(offer).bundle)] = key
        self._keys = dict(list(kept.items())[-MAX_VERDICTS:])


def floors_beside(state: Path) -> Path:
    """Return the file that remembers collateral for a client whose newest checkpoint is `state`."""
    return state.with_name(f"{state.name}.floors")


class LogMemory:
    """The newest checkpoint, in memory and, if a path is given, in a file."""

    def __init__(self, pin: LogPin, path: Path | None) -> None:
        """Read the file if there is one.

        Raises:
            UsageError: the file is not a checkpoint of this log; an operator must look.
        """
        self._pin, self._path = pin, path
        self.latest: SignedCheckpoint | None = None
        if path is not None and path.exists():
            try:
                self.latest = checkpoint.verify(path.read_bytes(), pin)
            except (OSError, PeerError) as exc:
                raise UsageError(f"state: {path} is not a checkpoint of {pin.origin}") from exc

    def needs(self, new: SignedCheckpoint) -> tuple[int, int] | None:
        """Return the sizes whose consistency must be proven before `new` may be kept."""
        old = self.latest.checkpoint.size if self.latest else 0
        size = new.checkpoint.size
        if old in (0, size):
            return None
        return (min(old, size), max(old, size))

    def advance(self, new: SignedCheckpoint, proof: ConsistencyProof | None) -> None:
        """Keep `new` if it and the newest checkpoint are of one history.

        A checkpoint older than the newest is checked the same way and not kept: answers may
        arrive in another order than they were made in.

        Raises:
            LogInconsistentError: they contradict each other; carries both notes.
            MalformedError: the proof does not fit the sizes.
        """
        if self.latest is None:
            self._keep(new)
            return
        older, newer = self.latest, new
        if newer.checkpoint.size < older.checkpoint.size:
            older, newer = newer, older
        path = proof.path if proof else ()
        self._keep(checkpoint.check_consistent(self._pin.world, older, newer, path))

    def _keep(self, newest: SignedCheckpoint) -> None:
        self.latest = newest
        if self._path is None:
            return
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(FileExistsError):
            self._path.parent.mkdir(parents=True)
        temporary.write_bytes(newest.note)
        os.replace(temporary, self._path)  # noqa: PTH105 - atomic by contract
