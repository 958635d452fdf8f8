"""Key epochs: made in memory, active, draining, erased.

    active ──(rotate)──▶ draining ──(not_after)──▶ erased

A keyset and its private keys live in this process only and are never written anywhere: a
restart is a new node. Private keys, replay set and chain go together, so nothing can be opened
once its replays can no longer be told.

Erasure drops the only references; the native provider wipes the memory behind them, the
portable one leaves that to Python's allocator (docs/threat-model.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mifeng.crypto.signatures import SIGN_ALGS, SignAlg, SigningKey
from mifeng.crypto.suites import SUITES, DecapKey
from mifeng.protocol.keyset import Keyset, LogIdentity, Model, Software, keyset_digest
from mifeng.protocol.receipt import SIMULATED, UNWITNESSED, Receipt, Tally, first_prev, link

from .claims import ClaimSet

CLOCK_ALLOWANCE_S: Final = 60
"""A keyset is valid from this long before it was made, for verifiers whose clock is behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What does not change between epochs: it comes from the measured configuration."""

    node_id: str
    suites: tuple[int, ...]
    software: Software
    models: Mapping[str, Model]
    log: LogIdentity
    simulated: bool
    life_s: int
    """Seconds from making a keyset to its `not_after`."""
    active_s: int
    """Seconds for which it is offered; the rest of its life it drains."""

    @property
    def marks(self) -> tuple[str, ...]:
        """What every statement of this node must admit."""
        marks = (SIMULATED,) if self.simulated else ()
        return marks if self.log.quorum else (*marks, UNWITNESSED)


@dataclass(slots=True)
class Epoch:
    """One keyset with everything secret that belongs to it."""

    number: int
    keyset: Keyset
    keyset_bytes: bytes
    digest: bytes
    decap: dict[int, DecapKey] = field(repr=False)
    sign: dict[SignAlg, SigningKey] = field(repr=False)
    claims: ClaimSet = field(repr=False)
    running: int = 0
    """Requests claimed and not yet signed for; `KeyRing.expire` waits for them."""
    count: int = 0
    head: bytes = b""

    @classmethod
    def make(cls, identity: Identity, number: int, *, now: int) -> "Epoch":
        """Generate the keys of a new epoch."""
        decap = {suite: SUITES[suite].generate() for suite in identity.suites}
        algs = {SUITES[suite].sign_alg for suite in identity.suites}
        sign = {alg: SigningKey.generate(alg) for alg in SIGN_ALGS if alg in algs}
        keyset = Keyset(
            node_id=identity.node_id,
            epoch=number,
            suites={suite: key.public_bytes for suite, key in decap.items()},
            sign={alg: key.public_bytes for alg, key in sign.items()},
            software=identity.software,
            models=identity.models,
            log=identity.log,
            simulated=identity.simulated,
            not_before=now - CLOCK_ALLOWANCE_S,
            not_after=now + identity.life_s,
        )
        data = keyset.encode()
        digest = keyset_digest(data)
        return cls(number, keyset, data, digest, decap, sign, ClaimSet(), head=first_prev(digest))

    def signer(self, suite: int) -> SigningKey:
        """Return the key that signs statements about requests of one suite."""
        return self.sign[SUITES[suite].sign_alg]

    def chain(self, make: Callable[[int, bytes], Receipt]) -> bytes:
        """Append the receipt that `make(seq, prev)` fills in, and return its payload, unsigned.

        Runs without a pause between taking the number and advancing the head: two receipts
        can never share one. Whoever took a number signs, whatever happens.
        """
        payload = make(self.count, self.head).encode()
        self.count, self.head = self.count + 1, link(payload)
        return payload

    def tally(self, *, now: int, final: bool) -> bytes:
        """Return the signed head of the chain."""
        tally = Tally(keyset=self.digest, count=self.count, head=self.head, final=final, at=now)
        return tally.sign(next(iter(self.sign.values())))

    def erase(self) -> None:
        """Drop the private keys, then the replay set."""
        self.decap.clear()
        self.sign.clear()
        self.claims.erase()


class KeyRing:
    """The active epoch and those still draining, by keyset digest."""

    def __init__(self, identity: Identity, *, now: int) -> None:
        self.identity = identity
        self.active = Epoch.make(identity, 0, now=now)
        self._epochs = {self.active.digest: self.active}

    def find(self, digest: bytes) -> Epoch | None:
        """Return the epoch a request names, if its keys still exist."""
        return self._epochs.get(digest)

    def epochs(self) -> tuple[Epoch, ...]:
        """Return every epoch whose keys exist, oldest first."""
        return tuple(self._epochs.values())

    def due(self, *, now: int) -> bool:
        """Whether a new keyset is needed: the active one is old, or its replay set is full."""
        made = self.active.keyset.not_before + CLOCK_ALLOWANCE_S
        return now >= made + self.identity.active_s or self.active.claims.full

    def rotate(self, *, now: int) -> Epoch:
        """Make a new active epoch; the old one drains."""
        self.active = Epoch.make(self.identity, self.active.number + 1, now=now)
        self._epochs[self.active.digest] = self.active
        return self.active

    def expire(self, *, now: int) -> list[tuple[Epoch, bytes]]:
        """Erase every epoch past its `not_after`; return each with its final tally.

        An epoch with a request still running is past its deadline too, but its receipt must be
        signed, so it waits until `running` is 0.
        """
        ended = []
        for epoch in self.epochs():
            if now >= epoch.keyset.not_after and not epoch.running and epoch is not self.active:
                ended.append((epoch, epoch.tally(now=now, final=True)))
                del self._epochs[epoch.digest]
                epoch.erase()
        return ended

    def close(self, *, now: int) -> list[tuple[Epoch, bytes]]:
        """Erase everything; return each epoch with its final tally."""
        ended = [(epoch, epoch.tally(now=now, final=True)) for epoch in self.epochs()]
        for epoch, _ in ended:
            epoch.erase()
        self._epochs.clear()
        return ended
