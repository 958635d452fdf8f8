"""What the log must have said before this node touches a request, and what it said before.

A node acts only on an intent signed by the log of its *measured* configuration, so whoever
mounts another log key gets no work done. Each intent brings the log's current checkpoint and a
proof that it extends the last one this node saw: nodes witness the log too, and a log that
shows two nodes two histories is caught by the first of them that is shown both.

Pure but for the one checkpoint it remembers.

Source: docs/spec/log.md §8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mifeng.errors import LogInconsistentError, PeerError
from mifeng.protocol import checkpoint, entries
from mifeng.protocol.checkpoint import LogPin, SignedCheckpoint
from mifeng.protocol.entries import verify_intents
from mifeng.protocol.header import Header
from mifeng.protocol.keyset import verify_keys
from mifeng.protocol.merkle import Digest
from mifeng.protocol.messages import Intent

MAX_CLOCK_SKEW_S = 300


class IntentRefusedError(Exception):
    """The intent is not one to act on. `detail` is for this node's operator only."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Noted:
    """An intent that the pinned log signed, and the log as this node knew it when it came."""

    intent: entries.Intent
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class LogView:
    """Where a checked intent stands, and the log as this node knew it at that moment."""

    origin: str
    index: int
    size: int
    root: bytes


class LogWatch:
    """The pinned log, and the newest checkpoint of it that this node has confirmed.

    Each connection follows the log by itself, from where the node stood when it began
    (`follow`): what one peer proves, another's next proof does not have to start from.
    """

    def __init__(self, pin: LogPin, shared: "LogWatch | None" = None) -> None:
        """Watch a log from the beginning, or go on from what `shared` has confirmed."""
        self.pin = pin
        self._keys = verify_keys(pin)
        self._shared = shared
        self._latest: SignedCheckpoint | None = shared.latest if shared else None

    def follow(self) -> "LogWatch":
        """Return a watch for one connection; it tells this one what it confirms."""
        return LogWatch(self.pin, self)

    @property
    def latest(self) -> SignedCheckpoint | None:
        """The newest confirmed checkpoint."""
        return self._latest

    @property
    def size(self) -> int:
        """Leaves of the newest confirmed checkpoint; the gateway proves consistency from it."""
        return self._latest.checkpoint.size if self._latest else 0

    def advance(self, payload: bytes) -> Noted:
        """Follow the log to the checkpoint an INTENT message brings.

        Called in the order in which messages arrive, since each proof starts where the
        previous one ended. Nothing moves unless the intent itself is the pinned log's.

        Raises:
            IntentRefusedError: malformed, not the pinned log's, under a checkpoint that too few
                pinned witnesses have cosigned, or the log contradicts itself.
        """
        (noted,) = self.advance_each([payload])
        if isinstance(noted, IntentRefusedError):
            raise noted
        return noted

    def advance_each(self, payloads: Sequence[bytes]) -> list[Noted | IntentRefusedError]:
        """Return for each INTENT message, in order, what `advance` returns or raises.

        The statements' signatures are checked together; the log is followed one by one.
        """
        decoded = [_decoded(payload) for payload in payloads]
        statements = [each.statement for each in decoded if isinstance(each, Intent)]
        said = iter(verify_intents(statements, origin=self.pin.origin, keys=self._keys))
        return [
            self._advance(each, next(said)) if isinstance(each, Intent) else each
            for each in decoded
        ]

    def _advance(
        self, intent: Intent, said: entries.Intent | PeerError
    ) -> Noted | IntentRefusedError:
        try:
            if isinstance(said, PeerError):
                raise said
            if self._latest is None or intent.note != self._latest.note:
                offered = checkpoint.verify_witnessed(intent.note, self.pin)
                if self._latest is not None:
                    path = tuple(map(Digest, intent.consistency))
                    offered = checkpoint.check_consistent(
                        self.pin.world, self._latest, offered, path
                    )
                self._confirm(offered)
        except LogInconsistentError:
            return IntentRefusedError("log.inconsistent")
        except PeerError as exc:
            return _refused(exc)
        if self._latest is None:
            return IntentRefusedError("no checkpoint")
        claim = self._latest.checkpoint
        return Noted(said, claim.size, claim.root)

    def _confirm(self, newest: SignedCheckpoint) -> None:
        """Keep a checkpoint; of two trees of one size that differ, the log signed a fork."""
        if self._shared is not None:
            known = self._shared.latest
            if known is None or known.checkpoint.size < newest.checkpoint.size:
                self._shared._confirm(newest)  # noqa: SLF001 - as above
            elif known.checkpoint.size == newest.checkpoint.size:
                checkpoint.check_consistent(self.pin.world, known, newest, ())
        self._latest = newest

    def check(self, noted: Noted, header: Header, h: bytes, *, now: int) -> LogView:
        """Return where a valid intent for exactly this request stands.

        Raises:
            IntentRefusedError: about another request, keyset, tenant or deadline, or not current.
        """
        said = noted.intent
        expected = (self.pin.origin, h, header.keyset_digest, header.tenant, header.deadline)
        if (said.origin, said.h, said.keyset, said.tenant, said.deadline) != expected:
            raise IntentRefusedError("another request")
        if said.issued > now + MAX_CLOCK_SKEW_S or now >= said.deadline:
            raise IntentRefusedError("not current")
        return LogView(said.origin, said.index, noted.size, noted.root)


def _decoded(payload: bytes) -> Intent | IntentRefusedError:
    try:
        return Intent.decode(payload)
    except PeerError as exc:
        return _refused(exc)


def _refused(exc: PeerError) -> IntentRefusedError:
    return IntentRefusedError(str(exc)[:64])
