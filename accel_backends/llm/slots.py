"""Continuous batching: requests join and leave between two steps of the same running batch.

One call of `SlotEngine.step`:

    1  reap      cancelled and late requests leave; their rows are wiped
    2  admit     waiting requests get free rows, tenants in turn, then their isolation domains,
                 each up to its quota; idle ones after all others, and never to the last row
    3  prefill   chunks of prompts, at most `budget` tokens, each row in turn
    4  decode    one token for every row whose prompt is done, in one batch

A prompt is always cut at multiples of `chunk`, whoever else is being served, and only whole
chunks of a prompt are ever reused: so a request computes the same numbers alone and in company.

A row is wiped when its request ends. If the configuration keeps prefixes, the whole chunks of
the prompt stay instead, for requests of the same isolation domain only, until the row is needed
or too many are kept.

Thread-safe: `submit` and `cancel`. Everything else belongs to the thread that steps.
"""

import contextlib
import threading
from collections import deque

from accel_backends.errors import BackendError, ClosedError

from .decoder import Decoder
from .errors import ContextError, QueueFullError
from .queue import FairQueue
from .request import Limits, Reason, Request, Sink, Ticket, Usage
from .rows import Kept, Row, holds, shared_prefix
from .sampling import Sampler

__all__ = ["SlotEngine"]


class SlotEngine:
    """See the module."""

    def __init__(self, decoder: Decoder, limits: Limits) -> None:
        """Take a decoder with `limits.slots` rows of `limits.context` positions."""
        self._decoder, self._limits = decoder, limits
        self._rows: list[Row | Kept | None] = [None] * limits.slots
        self._waiting: FairQueue[Ticket] = FairQueue()
        self._idle: FairQueue[Ticket] = FairQueue()
        self._lock = threading.Lock()
        self._incoming: deque[Ticket] = deque()
        self._closed = False
        self._queued = 0
        self._turn = 0
        self._order = 0
        self.steps = 0
        """Steps taken so far."""

    def submit(self, request: Request, sink: Sink) -> Ticket:
        """Queue a request; its tokens go to `sink`.

        Raises:
            ContextError: the prompt is empty or leaves no room.
            QueueFullError: too many wait.
            ClosedError: the engine was closed.
        """
        if not 1 <= len(request.prompt) < self._limits.context or request.most < 1:
            raise ContextError(f"prompt and answer must fit {self._limits.context} tokens")
        ticket = Ticket(request=request, sink=sink)
        with self._lock:
            if self._closed:
                raise ClosedError("the engine is closed")
            if self._queued >= self._limits.waiting:
                raise QueueFullError(f"{self._limits.waiting} requests wait already")
            self._queued += 1
            self._incoming.append(ticket)
        return ticket

    @staticmethod
    def cancel(ticket: Ticket) -> None:
        """Give a request up; its row is wiped at the next step. Idempotent."""
        ticket.cancelled = True

    @property
    def active(self) -> int:
        """Rows in use."""
        return sum(isinstance(row, Row) for row in self._rows)

    @property
    def waiting(self) -> int:
        """Requests without a row."""
        return self._queued

    def step(self, now: float) -> bool:
        """Take one step of the module's four parts; return whether work is left.

        Args:
            now: a monotonic clock, seconds.
        """
        with self._lock:
            arrived, self._incoming = self._incoming, deque()
        for ticket in arrived:
            request = ticket.request
            self._queue(request).push(request.tenant, request.isolation, ticket)
        self._reap(now)
        self._admit()
        self._prefill()
        self._decode()
        self.steps += 1
        return bool(self._queued or self.active)

    def close(self) -> None:
        """End every request as cancelled and wipe every row."""
        with self._lock:
            self._closed = True
            left, self._incoming = list(self._incoming), deque()
        for ticket in [*left, *self._waiting, *self._idle]:
            self._drop(ticket, Reason.CANCELLED)
        self._waiting, self._idle = FairQueue(), FairQueue()
        for index, row in enumerate(self._rows):
            if isinstance(row, Row):
                self._release(index, row, Reason.CANCELLED, keep=False)
            self._wipe(index)

    # 1 Reap.

    def _reap(self, now: float) -> None:
        for ticket in [*self._waiting, *self._idle]:
            if reason := _over(ticket, now):
                request = ticket.request
                self._queue(request).remove(request.tenant, request.isolation, ticket)
                self._drop(ticket, reason)
        for index, row in enumerate(self._rows):
            if isinstance(row, Row) and (reason := _over(row.ticket, now)):
                self._release(index, row, reason)

    def _drop(self, ticket: Ticket, reason: Reason) -> None:
        with self._lock:
            self._queued -= 1
        prompt = len(ticket.request.prompt)
        ticket.sink.finish(reason, Usage(prompt=prompt, completion=0, cached=0))

    # 2 Admit.

    def _admit(self) -> None:
        while (index := self._free()) is not None:
            ticket = self._waiting.pop(self._may)
            if ticket is None:
                ticket = self._idle.pop(self._may_idle)
            if ticket is None:
                return
            with self._lock:
                self._queued -= 1
            self._place(ticket, index)

    def _queue(self, request: Request) -> FairQueue[Ticket]:
        return self._idle if request.idle else self._waiting

    def _may_idle(self, tenant: str, isolation: bytes) -> bool:
        # A row is left for whoever comes next: an answer under way is not stopped.
        idle = sum(row.ticket.request.idle for row in self._rows if isinstance(row, Row))
        return idle < max(1, self._limits.slots - 1) and self._may(tenant, isolation)

    def _may(self, tenant: str, isolation: bytes) -> bool:
        running = [row.ticket.request for row in self._rows if isinstance(row, Row)]
        of_tenant = sum(each.tenant == tenant for each in running)
        of_domain = sum(each.isolation == isolation for each in running)
        limits = self._limits
        return of_tenant < (limits.per_tenant or limits.slots) and of_domain < (
            limits.per_isolation or limits.slots
        )

    def _free(self) -> int | None:
        """Return the lowest free row, or the one kept longest."""
        if None in self._rows:
            return self._rows.index(None)
        kept = [(row.order, i) for i, row in enumerate(self._rows) if isinstance(row, Kept)]
        return min(kept)[1] if kept else None

    def _place(self, ticket: Ticket, index: int) -> None:
        request = ticket.request
        best, source = 0, index
        for other, row in enumerate(self._rows):
            if row is None:
                continue
            owner, held = holds(row)
            size = shared_prefix(
                request.isolation, request.prompt, owner, held, chunk=self._limits.chunk
            )
            if size > best:
                best, source = size, other
        if source != index:
            self._wipe(index)
            self._decoder.copy(source, index, best)
        else:
            self._decoder.wipe(index, start=best)
        self._rows[index] = Row(
            ticket=ticket, sampler=Sampler(request.sampling), filled=best, cached=best
        )

    # 3 Prefill.

    def _prefill(self) -> None:
        """Give each row with an unfinished prompt a chunk in turn, until the budget is spent."""
        left = self._limits.budget
        while left > 0:
            pending = [
                index
                for index, row in enumerate(self._rows)
                if isinstance(row, Row) and not row.decoding
            ]
            if not pending:
                return
            index = next((i for i in pending if i >= self._turn), pending[0])
            self._turn = index + 1
            left -= self._chunk(index)

    def _chunk(self, index: int) -> int:
        row = self._rows[index]
        assert isinstance(row, Row)  # noqa: S101 - `_prefill` chose it
        prompt = row.ticket.request.prompt
        piece = prompt[row.filled : row.filled + self._limits.chunk]
        try:
            logits = self._decoder.prefill(index, piece, at=row.filled)
        except BackendError:
            self._release(index, row, Reason.FAILED, keep=False)
            return len(piece)
        row.filled += len(piece)
        if row.filled == len(prompt):
            self._take(index, row, row.sampler.choose(logits))
        return len(piece)

    # 4 Decode.

    def _decode(self) -> None:
        rows = {i: r for i, r in enumerate(self._rows) if isinstance(r, Row) and r.decoding}
        if not rows:
            return
        self._compact(rows)
        count = min(_power(max(rows) + 1), self._limits.slots)
        tokens = [rows[i].answer[-1] if i in rows else 0 for i in range(count)]
        lengths = [self._filled(i) + 1 for i in range(count)]
        logits = None
        with contextlib.suppress(BackendError):
            logits = self._decoder.decode(tokens, lengths)
        for index in range(count):
            # A row without a token of its own was given token 0 behind its last position.
            if index not in rows:
                at = self._filled(index)
                self._decoder.wipe(index, start=at, stop=at + 1)
        if logits is None:
            for index, row in rows.items():
                self._release(index, row, Reason.FAILED, keep=False)
            return
        likely = logits.argmax(axis=1).tolist()
        for index, row in rows.items():
            row.filled += 1
            greedy = likely[index] if row.sampler.greedy else None
            self._take(index, row, row.sampler.choose(logits[index]) if greedy is None else greedy)

    def _compact(self, rows: dict[int, Row]) -> None:
        """Move the highest row down while that halves the batch."""
        while _power(max(rows) + 1) > _power(len(rows)):
            free = next((i for i, row in enumerate(self._rows) if row is None), None)
            high = max(rows)
            if free is None or free > high:
                return
            row = rows.pop(high)
            self._decoder.copy(high, free, row.filled)
            self._wipe(high)
            self._rows[free] = rows[free] = row

    def _filled(self, index: int) -> int:
        row = self._rows[index]
        if row is None:
            return 0
        return row.filled if isinstance(row, Row) else len(row.tokens)

    # Every step's end.

    def _take(self, index: int, row: Row, token: int) -> None:
        """Hand the next token over, and end the request if it is the last."""
        request = row.ticket.request
        if token in request.stop:
            self._release(index, row, Reason.STOP)
            return
        row.answer.append(token)
        if row.ticket.sink.token(token):
            self._release(index, row, Reason.STOP)
        elif len(row.answer) >= request.most or row.filled + 1 >= self._limits.context:
            self._release(index, row, Reason.LENGTH)

    def _release(self, index: int, row: Row, reason: Reason, *, keep: bool = True) -> None:
        request = row.ticket.request
        whole = min(row.filled, len(request.prompt))
        whole -= whole % self._limits.chunk
        if keep and self._limits.kept and whole:
            self._order += 1
            self._decoder.wipe(index, start=whole)
            self._rows[index] = Kept(
                isolation=request.isolation, tokens=request.prompt[:whole], order=self._order
            )
            kept = [(r.order, i) for i, r in enumerate(self._rows) if isinstance(r, Kept)]
            if len(kept) > self._limits.kept:
                self._wipe(min(kept)[1])
        else:
            self._wipe(index)
        row.ticket.sink.finish(reason, row.usage())

    def _wipe(self, index: int) -> None:
        self._decoder.wipe(index)
        self._rows[index] = None


def _over(ticket: Ticket, now: float) -> Reason | None:
    if ticket.cancelled:
        return Reason.CANCELLED
    deadline = ticket.request.deadline
    return Reason.DEADLINE if deadline is not None and now >= deadline else None


def _power(number: int) -> int:
    """Return the least power of two that is not below `number`, from 1."""
    return 1 << (number - 1).bit_length()
