"""Threats 26, 34, 37 where a witness is trusted: what was not cosigned counts for nothing."""

from dataclasses import dataclass, replace

import pytest

from attestation.bundle import Bundle, Freshness
from enclave.intents import IntentRefusedError
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import KeysetRejectedError, NodeRejectedError
from mifeng.protocol import note
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import Digest
from mifeng.protocol.messages import Intent
from mifeng.protocol.note import Cosigner
from mifeng.protocol.offer import Offer
from mifeng.protocol.session import TrustedNode, trust
from mifeng.witness.rules import Refusal, decide
from mifeng.witness.wire import AddCheckpoint
from tests.harness.memorylog import MemoryLog
from tests.harness.world import NOW, POLICY, World

WITNESS = SigningKey.generate("sm2")


@dataclass
class WitnessedLog(MemoryLog):
    """A log with one witness, who cosigned what it shows at `seen_at`; None: he did not."""

    seen_at: int | None = NOW

    @property
    def pin(self) -> LogPin:
        """The log, and the witness that must have cosigned."""
        own = Cosigner("witness.example/w", WITNESS, 0).key
        return replace(super().pin, witnesses=(own,), quorum=1)

    def note(self) -> bytes:
        """Return the checkpoint as the witness left it."""
        signed = super().note()
        if self.seen_at is None:
            return signed
        line = Cosigner("witness.example/w", WITNESS, self.seen_at)
        return note.add(note.parse(signed), [line]).encode()


def world(*, seen_at: int | None = NOW) -> tuple[World, WitnessedLog]:
    """Return a world whose log, node and client know one witness."""
    log = WitnessedLog(seen_at=seen_at)
    log.append(b"first")
    return World(log=log), log


async def after(made: World, log: WitnessedLog, x: bytes, *, now: int = NOW) -> TrustedNode:
    """Return the node that a client without a challenge trusts, if its evidence binds `x`."""
    log.seen_at = NOW
    offer = await made.offer(Freshness(kind=2, x=x))
    return trust(offer, made.terms, nonce32s=(), now=now)


async def test_threat_34_a_note_cosigned_lately_is_an_age() -> None:
    """Evidence made after it is believed; sealed requests to that node run."""
    made, log = world()
    node = await after(made, log, log.note())
    assert node.logged.cosigned
    answer, _ = await made.ask(b"abc", node=node)
    assert answer == b"cba"


async def test_threat_34_a_note_signed_early_and_cosigned_later_is_none() -> None:
    """The evidence binds the note without its cosignature; putting the other one there is seen."""
    made, log = world()
    log.seen_at = None
    early = log.note()
    with pytest.raises(NodeRejectedError, match="witnesses"):
        await after(made, log, early)
    cosigned = log.note()
    offer = Offer.decode(await made.offer(Freshness(kind=2, x=early)))
    bundle = replace(Bundle.decode(offer.bundle), freshness=Freshness(kind=2, x=cosigned))
    swapped = Offer(bundle.encode(), offer.entry, offer.proof)
    with pytest.raises(NodeRejectedError, match="report-data"):
        trust(swapped.encode(), made.terms, nonce32s=(), now=NOW)


@pytest.mark.parametrize("age_s", [POLICY.max_evidence_age_s + 1, -61])
async def test_threat_34_an_old_note_is_no_age(age_s: int) -> None:
    """Nor is one that the witness has yet to see."""
    made, log = world(seen_at=NOW - age_s)
    with pytest.raises(NodeRejectedError, match=r"freshness\.note"):
        await after(made, log, log.note())


async def test_threat_34_a_note_of_another_log_or_witness_is_no_age() -> None:
    """A stranger's cosignature, or one under another log's checkpoint, says nothing to us."""
    made, log = world()
    other = WitnessedLog(origin="log.example/other")
    stranger = Cosigner("witness.example/x", SigningKey.generate("sm2"), NOW)
    log.seen_at = None
    strange = note.add(note.parse(log.note()), [stranger]).encode()
    for x in (other.note(), strange, b"no note"):
        with pytest.raises(NodeRejectedError, match=r"freshness\.note"):
            await after(made, log, x)


async def test_threat_34_who_challenges_gets_an_answer_to_the_challenge() -> None:
    """A gateway cannot hand a client that challenged older evidence after a note."""
    made, log = world()
    offer = await made.offer(Freshness(kind=2, x=log.note()))
    with pytest.raises(NodeRejectedError, match="challenge"):
        trust(offer, made.terms, nonce32s={bytes(32)}, now=NOW)
    challenged = await made.offer(Freshness(kind=1, x=bytes(32)))
    with pytest.raises(NodeRejectedError, match="challenge"):
        trust(challenged, made.terms, nonce32s=(), now=NOW)


async def test_threat_34_a_keyset_does_not_outlive_what_was_seen_of_it() -> None:
    """A keyset made long after the note cannot be used for longer than the policy allows."""
    made, log = world(seen_at=NOW - 100)
    with pytest.raises(NodeRejectedError, match="outlives"):
        await after(made, log, log.note())


async def test_threat_26_a_node_acts_on_nothing_that_no_witness_saw() -> None:
    """An INTENT under the log's own signature alone is refused; cosigned, it is acted on."""
    made, log = world()

    def payload() -> bytes:
        _, statement = log.intent(
            h=bytes(32), keyset=bytes(32), tenant="bank-a", now=NOW, deadline=NOW + 60
        )
        return Intent(statement, log.note(), log.consistency(made.watch.size)).encode()

    log.seen_at = None
    with pytest.raises(IntentRefusedError, match="0 witnesses"):
        made.watch.advance(payload())
    assert made.watch.size == 0
    log.seen_at = NOW
    assert made.watch.advance(payload()).size == len(log.entries)


def test_threat_26_a_witness_sees_one_history_only() -> None:
    """Of two histories under one key, one is cosigned: the other has no quorum anywhere."""
    log = WitnessedLog(seen_at=None)
    fork = WitnessedLog(key=log.key, seen_at=None)
    for number in range(5):
        log.append(b"%d" % number)
        fork.append(b"other %d" % number)
    logs = {log.origin: log.pin}
    known = decide(AddCheckpoint(old=0, path=(), note=log.note()), logs, None).signed
    for size, status in ((5, 409), (7, 422)):
        while len(fork.entries) < size:
            fork.append(b"more")
        path = tuple(map(Digest, fork.consistency(5))) if size > 5 else ()
        with pytest.raises(Refusal) as refused:
            decide(AddCheckpoint(old=5, path=path, note=fork.note()), logs, known)
        assert refused.value.status == status
        assert refused.value.evidence or status == 409


async def test_threat_37_a_keyset_under_a_checkpoint_that_nobody_saw_is_refused() -> None:
    """The keyset is in a log that only the victim is shown."""
    made, _ = world(seen_at=None)
    challenge = Freshness(kind=1, x=bytes(32))
    offer = await made.offer(challenge)
    with pytest.raises(KeysetRejectedError):
        trust(offer, made.terms, nonce32s={challenge.nonce32}, now=NOW)
