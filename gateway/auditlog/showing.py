"""What outsiders see of a log: a checkpoint, once enough witnesses have cosigned it.

    sign what is durable → gather cosignatures → quorum? → show;  else the one before stays

Without witnesses there is nothing to wait for. With them nothing is shown before the quorum has
cosigned; appends and promises go on meanwhile, up to `patience_s` after the first entry that no
shown checkpoint covers. Then `check` refuses: a promise that witnesses cannot keep with us is not
given. A witness that knows another history of this log is an alarm, told once for each kind.

Where gateways share a log, a witness may be ahead of this gateway, never of the log: what others
appended is taken in and signed before anything is called an alarm.

Source: docs/spec/log.md §5.3; docs/spec/witness.md §6.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from gateway import events
from gateway.witnesses import Witnesses
from mifeng.protocol.merkle import Digest
from mifeng.witness.client import AHEAD, Prove

from . import failpoints
from .errors import AuditLogError, LogUnavailableError, LogUnwitnessedError, NotInLogError
from .failpoints import Failpoints
from .sequencer import LogState, TreeState
from .store import StoreError
from .views import Published, TreeView

MAX_TURNS: Final = 3
"""How often one attempt follows other gateways of the log before the next one."""


@dataclass(slots=True, kw_only=True)
class Showing:
    """Decides what the views show. Belongs to one event loop."""

    state: Callable[[], LogState]
    """What is durable now."""
    follow: Callable[[], Awaitable[None]]
    """Takes in what other gateways have appended; raises `LogUnavailableError`."""
    tree: TreeView
    twin: TreeView | None
    witnesses: Witnesses | None
    twin_witnesses: Witnesses | None
    patience_s: float
    points: Failpoints
    monotonic: Callable[[], float] = time.monotonic
    alarms: set[tuple[str, str]] = field(default_factory=set)
    """Witness and code of each that knows another history of this log."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _uncovered: float | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody waits for a checkpoint: the publishing task need not sleep."""

    def unwitnessed(self) -> None:
        """Show what is durable now, of the trees that wait for nobody."""
        now = self.state()
        for view, tree, witnesses in self._views(now):
            if witnesses is None:
                self._show(view, view.sign(tree))

    async def close(self) -> None:
        """Release connections to witnesses."""
        for witnesses in (self.witnesses, self.twin_witnesses):
            if witnesses is not None:
                await witnesses.close()

    async def once(self) -> None:
        """Try once to show what is durable now; never raises for what witnesses do."""
        async with self._turn:
            self.wanted.clear()
            began, now = self.monotonic(), self.state()
            if self._uncovered is None and self._behind(now):
                self._uncovered = began
            for view, tree, witnesses in self._views(now):
                if witnesses is not None:
                    await self._witness(view, tree, witnesses)
            self.unwitnessed()
            if not self._behind(now):
                self._uncovered = None

    async def renew(self) -> None:
        """Show what is durable now under new cosignatures, even if it was shown before."""
        before = self.tree.shown
        await self.once()
        if self.witnesses is None or self.tree.shown is not before or before is None:
            return
        async with self._turn:
            signed = self.tree.sign(before.tree)
            got = await self.witnesses.gather(
                signed.note, before.tree.size, self._prover(self.tree, before.tree)
            )
            if got.enough and self.tree.shown is before:
                self.tree.shown = Published(note=got.note, tree=before.tree)

    def check(self) -> None:
        """Return if something new may be begun.

        Raises:
            LogUnwitnessedError: nothing is shown yet, or its quorum has been missing too long.
        """
        if self.witnesses is None:
            return
        if self.tree.shown is None or self.waiting_s > self.patience_s:
            raise LogUnwitnessedError(f"too few witnesses have cosigned for {self.waiting_s:.0f} s")

    @property
    def ready(self) -> bool:
        """Whether `check` lets something new begin."""
        try:
            self.check()
        except LogUnwitnessedError:
            return False
        return True

    @property
    def waiting_s(self) -> float:
        """For how long some durable entry has been covered by no shown checkpoint."""
        return 0.0 if self._uncovered is None else self.monotonic() - self._uncovered

    async def covered(self, index: int, *, timeout_s: float) -> Published:
        """Return a shown checkpoint that covers an entry, once there is one.

        Raises:
            LogUnwitnessedError: there is none in time.
        """
        self.unwitnessed()
        try:
            async with asyncio.timeout(timeout_s):
                while self.tree.shown is None or self.tree.shown.tree.size <= index:
                    changed = self._changed
                    self.wanted.set()
                    await changed.wait()
        except TimeoutError:
            raise LogUnwitnessedError(
                f"entry {index} is not under a witnessed checkpoint"
            ) from None
        return self.tree.published

    def _behind(self, now: LogState) -> bool:
        return self.tree.shown is None or self.tree.shown.tree.size < now.size

    def _views(self, now: LogState) -> list[tuple[TreeView, TreeState, Witnesses | None]]:
        found = [(self.tree, now.tree, self.witnesses)]
        if self.twin and now.twin:
            found.append((self.twin, now.twin, self.twin_witnesses))
        return [
            each
            for each in found
            if each[0].shown is None or each[0].shown.tree.size < each[1].size
        ]

    def _show(self, view: TreeView, made: Published) -> None:
        view.show(made)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _witness(self, view: TreeView, tree: TreeState, witnesses: Witnesses) -> None:
        """Ask for cosignatures; where others have shown a later tree, follow them and ask again."""
        for _ in range(MAX_TURNS):
            signed = view.sign(tree)
            got = await witnesses.gather(signed.note, tree.size, self._prover(view, tree))
            self._alarm(got.alarming, tree.size)
            if got.enough:
                self.points.reach(failpoints.WITNESSED)
                self._show(view, Published(note=got.note, tree=tree))
            if got.ahead <= tree.size:
                return
            newer = await self._followed(view)
            if newer is not None and newer.size < got.ahead:
                told = (each for each in got.refusals if each[1] == AHEAD)
                self._alarm(tuple(told), tree.size)
                return
            if newer is None or got.enough:
                return
            tree = newer

    async def _followed(self, view: TreeView) -> TreeState | None:
        """Return the tree with what other gateways have appended; None if that is not known now."""
        try:
            await self.follow()
        except LogUnavailableError:
            return None
        later = self.state()
        return later.tree if view is self.tree else later.twin

    def _prover(self, view: TreeView, tree: TreeState) -> Prove:
        async def prove(old: int) -> tuple[Digest, ...]:
            try:
                return await view.extension(tree, old)
            except (AuditLogError, StoreError) as exc:
                raise NotInLogError(f"log: no proof from {old}") from exc

        return prove

    def _alarm(self, told: tuple[tuple[str, str], ...], size: int) -> None:
        for witness, code in told:
            if (witness, code) not in self.alarms:
                self.alarms.add((witness, code))
                events.log.error("witness.alarm", witness=witness, code=code, size=size)
