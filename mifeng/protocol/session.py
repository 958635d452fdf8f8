"""The client's side of the data path: whom to trust, what to seal, what to believe. No I/O.

    trust(offer)  → TrustedNode          evidence, binding, policy, log pin, keyset in the log
    begin(…)      → Exchange, WaitAnswer one sealed request to one trusted node
    step(state, message) → WaitAnswer → Receiving → WaitStatement → WaitRecord → Done
    prove(done, proof)   → Proven        the record really is in the log, under its witnesses

Rule 1: a state holds the proof of what brought us there: `Done` cannot be built without an
        attested key, every frame opened in order, a receipt and a promise checked.
Rule 2: `step` turns one message into the next state, or raises and changes nothing.
Rule 3: the machine is told the time; it never asks.

What is yielded before `Done` is authentic but provisional: the gateway may still withhold the
record of it.

Source: docs/spec/messages.md §3, docs/spec/keyset.md §4, docs/spec/receipt.md §5.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from attestation.judge import NO_FLOORS
from attestation.policy import Policy
from attestation.result import AttestedKey
from mifeng.crypto import sm3
from mifeng.crypto.buffers import Secret
from mifeng.crypto.errors import CryptoError
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.crypto.suites import SUITES
from mifeng.errors import (
    InterruptedRequestError,
    KeysetRejectedError,
    LogInconsistentError,
    PeerError,
    ReceiptRejectedError,
    RefusedError,
    StreamRejectedError,
    UsageError,
)

from . import entries, jsonc, promise, receipt
from .bodydigest import BodyDigest, salted
from .checkpoint import LogPin, SignedCheckpoint
from .entries import Completion, KeysetLogged
from .envelope import ResponseOpen, SealedRequest, encapsulate, encapsulate_many, seal
from .evidence import NOTE, appraise_offer, check_recent
from .header import FLAG_STREAM, REQUEST_ID_BYTES, Header
from .keyset import Keyset, LogIdentity, verify_keys
from .messages import Message, MessageType, Open, Problem, Record
from .offer import Offer
from .proof import InclusionProof, verify_included
from .receipt import SIMULATED, NotClaimed, Receipt, VerifiedReceipt
from .stream import MAX_DATA, FrameOpener, FrameType

CLOCK_SKEW_S: Final = 60
NOTHING_APPRAISED: Final[Mapping[bytes, AttestedKey]] = MappingProxyType({})
CLIENT_AUTH: Final = b"mifeng/v1/client-auth\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one client insists on. Nothing has a default."""

    policy: Policy
    log: LogPin
    suites: tuple[int, ...]
    """Accepted crypto suites, best first; the first that the node offers is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedNode:
    """A node that passed appraisal, whose keyset is in the log, until `valid_until`."""

    key: AttestedKey
    keyset: Keyset
    suite: int
    verify_key: VerifyKey
    """Of the suite's signature algorithm, from the keyset: receipts are checked with it."""
    logged: SignedCheckpoint
    valid_until: int
    terms: Terms = field(repr=False)

    def check_time(self, now: int) -> None:
        """Raise `KeysetRejectedError` unless the keyset may be used at `now`."""
        if not self.keyset.not_before - CLOCK_SKEW_S <= now < self.valid_until:
            raise KeysetRejectedError("keyset: not valid at this time")


def trust(
    offer_bytes: bytes,
    terms: Terms,
    *,
    nonce32s: Collection[bytes],
    now: int,
    floors: Mapping[str, int] = NO_FLOORS,
    appraised: Mapping[bytes, AttestedKey] = NOTHING_APPRAISED,
) -> TrustedNode:
    """Return the node behind an offer, if everything about it holds.

    Args:
        offer_bytes: untrusted.
        terms: what this client insists on.
        nonce32s: `Freshness.nonce32` of challenges this client made itself and recently. Empty: it
            made none, and only a note that its witnesses have cosigned recently proves an age.
        now: Unix seconds.
        floors: ratchet numbers of collateral seen before; older collateral is a downgrade.
        appraised: verdicts of earlier calls, by SM3 of the bundle's exact bytes: the same bytes are
            not appraised again while their verdict holds. Freshness and log are always checked.

    Raises:
        MalformedError: the offer does not parse.
        NodeRejectedError: evidence, binding or policy; `__cause__` lists every shortfall.
        KeysetRejectedError: another log, not in the log, or not current.
        LogInconsistentError: the log's proof contradicts its checkpoint.

    Source: docs/spec/keyset.md §4.
    """
    offer = Offer.decode(offer_bytes)
    # (1) Appraise: genuine, bound to this keyset and to a challenge of ours, as policy wants.
    key, freshness = appraise_offer(
        offer, terms.policy, nonce32s, now=now, floors=floors, appraised=appraised
    )
    keyset = Keyset.decode(key.keyset)
    if freshness.kind == NOTE:
        check_recent(freshness.x, keyset, terms.log, terms.policy, now)
    # (2) The node obeys the log we pin.
    if keyset.log != LogIdentity.of(terms.log):
        raise KeysetRejectedError("keyset: the node obeys another log than the one pinned")
    # (3) A simulated node must say so itself.
    if key.simulated != keyset.simulated:
        raise KeysetRejectedError("keyset: does not say what the evidence says about simulation")
    # (4) A suite of ours, with the keys it needs.
    suite = next((one for one in terms.suites if one in keyset.suites), None)
    if suite is None or suite not in SUITES or SUITES[suite].sign_alg not in keyset.sign:
        offered, accepted = _names(keyset.suites), _names(terms.suites)
        raise KeysetRejectedError(
            f"keyset: offers suites {offered}; this client accepts {accepted}"
        )
    alg = SUITES[suite].sign_alg
    try:
        verify_key = VerifyKey(alg, keyset.sign[alg])
    except CryptoError as exc:
        raise KeysetRejectedError("keyset: its verification key is not one") from exc
    # (5) The keyset is public: its entry is in the log, under the witnesses we want.
    logged = _check_logged(offer, key.keyset_digest, terms.log)
    node = TrustedNode(
        key=key,
        keyset=keyset,
        suite=suite,
        verify_key=verify_key,
        logged=logged,
        valid_until=min(key.valid_until, keyset.not_after),
        terms=terms,
    )
    # (6) And it is current.
    node.check_time(now)
    return node


def _names(suites: Iterable[int]) -> str:
    known = (SUITES[one].name if one in SUITES else f"{one:#06x}" for one in suites)
    return ", ".join(known) or "no crypto suite"


def _check_logged(offer: Offer, keyset_digest: bytes, pin: LogPin) -> SignedCheckpoint:
    entry = entries.decode(offer.entry)
    if not isinstance(entry, KeysetLogged) or entry.keyset != keyset_digest:
        raise KeysetRejectedError("keyset: the log entry is not about this keyset")
    try:
        return verify_included(offer.proof, pin.world.leaf_hash(offer.entry), pin)
    except LogInconsistentError:
        raise
    except PeerError as exc:
        raise KeysetRejectedError("keyset: not shown to be in the log") from exc


# One exchange.


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked, apart from the body."""

    tenant: str
    model: str
    operation: str
    deadline: int
    """Unix seconds; cut to the keyset's life."""
    stream: bool


class Wrap(Secret):
    """A fresh secret encapsulated to one node, for one request."""

    __slots__ = ("_node", "_pair")

    def __init__(self, node: TrustedNode, pair: tuple[bytes, bytes]) -> None:
        self._node, self._pair = node, [pair]

    def take(self, node: TrustedNode) -> tuple[bytes, bytes]:
        """Return `(ct, ss)`, once.

        Raises:
            UsageError: it was made for another node, or was taken before.
        """
        if node is not self._node or not self._pair:
            raise UsageError("an encapsulation is for one request to one node")
        return self._pair.pop()


def wrap_many(node: TrustedNode, count: int) -> list[Wrap]:
    """Return as many encapsulations to a node, made together.

    Raises:
        KeysetRejectedError: the node's encryption key is not one.
    """
    try:
        pairs = encapsulate_many(node.suite, node.keyset.suites[node.suite], count)
    except CryptoError as exc:
        raise KeysetRejectedError("keyset: its encryption key is not one") from exc
    return [Wrap(node, pair) for pair in pairs]


class Exchange:
    """One request under way: seals its body, knows what the answer must match."""

    __slots__ = ("_plain", "_sealed", "ask", "auth_key", "node", "sealed_request")

    def __init__(self, node: TrustedNode, ask: Ask, *, now: int, wrap: Wrap | None = None) -> None:
        """Encapsulate to `node`, or take what was made before, and fix the header.

        Raises:
            KeysetRejectedError: the keyset has run out.
            UsageError: the node does not serve the model, or `wrap` is another's.
        """
        node.check_time(now)
        model = node.keyset.models.get(ask.model)
        if model is None:
            raise UsageError(f"node {node.keyset.node_id} does not serve {ask.model!r}")
        public = node.keyset.suites[node.suite]
        try:
            ct, ss = wrap.take(node) if wrap else encapsulate(node.suite, public)
        except CryptoError as exc:
            raise KeysetRejectedError("keyset: its encryption key is not one") from exc
        header = Header(
            suite=node.suite,
            flags=FLAG_STREAM if ask.stream else 0,
            keyset_digest=node.key.keyset_digest,
            request_id=random_bytes(REQUEST_ID_BYTES),
            created=now,
            deadline=min(ask.deadline, node.valid_until),
            model_digest=model.digest,
            client_policy=node.key.policy_digest,
            tenant=ask.tenant,
            model=ask.model,
            operation=ask.operation,
            ct=ct,
        )
        self.node, self.ask = node, ask
        self.auth_key: bytes | None = None
        """SM3 of the key the request was signed with inside the seal, once it was."""
        self.sealed_request: SealedRequest = seal(header, public=public, ss=ss)
        self._plain, self._sealed = BodyDigest(), BodyDigest()

    @property
    def h(self) -> bytes:
        """The request digest, which names this exchange everywhere."""
        return self.sealed_request.h

    def opening(self) -> Message:
        """Return the OPEN message."""
        request = self.sealed_request
        return Message(MessageType.OPEN, Open(request.header, request.commitment).encode())

    def authenticate(self, key: SigningKey) -> Message:
        """Return the frame that proves, inside the seal, which institution asks. First frame.

        Args:
            key: the institution's SM2 key.
        """
        self.auth_key = sm3(key.public_bytes)
        signature = key.sign(CLIENT_AUTH + self.h)
        return self._frame(FrameType.CLIENT_AUTH, key.public_bytes + signature)

    def isolate(self, secret: bytes) -> Message:
        """Return the frame that lets requests with the same 32-byte secret share caches."""
        return self._frame(FrameType.ISOLATION, secret)

    def body(self, pieces: Iterable[bytes]) -> Iterator[Message]:
        """Yield the FRAME messages of the body; the last one is FINAL.

        Args:
            pieces: the body in any cut; consumed as messages are taken.
        """
        pending = bytearray()
        for piece in pieces:
            view = memoryview(piece)  # a large piece is not copied before its first frame leaves
            for at in range(0, len(view), MAX_DATA):
                pending += view[at : at + MAX_DATA]
                if len(pending) > MAX_DATA:
                    yield self.data(bytes(pending[:MAX_DATA]), final=False)
                    del pending[:MAX_DATA]
        yield self.data(bytes(pending), final=True)

    def data(self, data: bytes, *, final: bool) -> Message:
        """Return one DATA frame of at most `MAX_DATA` bytes."""
        self._plain.update(data)
        return self._frame(FrameType.DATA, data, final=final)

    def _frame(self, frame_type: FrameType, data: bytes, *, final: bool = False) -> Message:
        frame = self.sealed_request.frames.seal(frame_type, data, final=final)
        self._sealed.update(frame)
        return Message(MessageType.FRAME, frame)

    @property
    def plain_digest(self) -> bytes:
        """Body digest of the plaintext sealed so far."""
        return self._plain.digest()

    @property
    def sealed_digest(self) -> bytes:
        """Body digest of the frames sealed so far."""
        return self._sealed.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitAnswer:
    """The request is out; nothing has come back."""

    exchange: Exchange


@dataclass(slots=True, kw_only=True)
class _Answer:
    """What has been opened of an answer. Owned by one state at a time."""

    opener: FrameOpener
    sealed: BodyDigest = field(default_factory=BodyDigest)
    plain: BodyDigest = field(default_factory=BodyDigest)
    salt: bytes | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """The answer has begun and its keys are committed to."""

    exchange: Exchange
    answer: _Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStatement:
    """The final frame is here; the receipt is not."""

    exchange: Exchange
    answer: _Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRecord:
    """The receipt is the attested node's and matches; the log's promise is not here."""

    exchange: Exchange
    answer: _Answer
    receipt: Receipt
    statement: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Everything that can be checked at once has been."""

    exchange: Exchange = field(repr=False)
    receipt: Receipt
    statement: bytes = field(repr=False)
    """The receipt as signed."""
    index: int
    """Where the log promises to keep the COMPLETION."""
    entry: bytes = field(repr=False)
    promise: bytes = field(repr=False)
    merge_by: int
    problem: str | None
    """Code of a failure the node sealed instead of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """The record of an exchange is in the log, under the witnesses this client wants."""

    index: int
    checkpoint: SignedCheckpoint


Waiting = WaitAnswer | Receiving | WaitStatement | WaitRecord
State = Waiting | Done


def begin(node: TrustedNode, ask: Ask, *, now: int, wrap: Wrap | None = None) -> WaitAnswer:
    """Return the first state of one exchange with a trusted node.

    Args:
        node: whom to ask.
        ask: what.
        now: Unix seconds.
        wrap: one of `wrap_many` for this node, or None to make one here.
    """
    return WaitAnswer(exchange=Exchange(node, ask, now=now, wrap=wrap))


def step(
    state: Waiting, message: Message, *, now: int, verified: VerifiedReceipt | None = None
) -> tuple[State, bytes]:
    """Return the state that follows, and the provisional plaintext this message carried.

    Args:
        state: where we are.
        message: untrusted; what the gateway sent next.
        now: Unix seconds.
        verified: this very message's statement, if its signature was checked together with others.

    Raises:
        RefusedError: the gateway or the node said no; check `not_claimed`.
        PeerError: what arrived is unacceptable; the exchange is over.
    """
    match state, message.type:
        case _, MessageType.PROBLEM:
            raise _problem(message.payload)
        case WaitAnswer(), MessageType.ANSWER:
            return _begin_answer(state, message.payload), b""
        case WaitAnswer(), MessageType.STATEMENT:
            raise _refusal(state.exchange, message.payload)
        case Receiving(), MessageType.FRAME:
            return _open_frame(state, message.payload)
        case WaitStatement(), MessageType.STATEMENT:
            return _check_receipt(state, message.payload, verified), b""
        case WaitRecord(), MessageType.RECORD:
            return _check_record(state, message.payload, now), b""
        case _:
            raise StreamRejectedError(f"{message.type.name} in state {type(state).__name__}")


def ended(state: State) -> Done:
    """Return the end of an exchange whose transport has closed.

    Raises:
        InterruptedRequestError: it closed before the record arrived: the request may have run.
    """
    if isinstance(state, Done):
        return state
    raise InterruptedRequestError(f"the connection ended in state {type(state).__name__}")


def _begin_answer(state: WaitAnswer, payload: bytes) -> Receiving:
    opener = state.exchange.sealed_request.open_response(ResponseOpen.decode(payload))
    return Receiving(exchange=state.exchange, answer=_Answer(opener=opener))


def _open_frame(state: Receiving, data: bytes) -> tuple[State, bytes]:
    answer = state.answer
    frame = answer.opener.open(data)
    answer.sealed.update(data)
    plain = b""
    match frame.type:
        case FrameType.SALT if answer.salt is None and not frame.final:
            answer.salt = frame.data
        case FrameType.DATA if answer.salt is not None:
            plain = frame.data
            answer.plain.update(plain)
        case FrameType.KEEP_ALIVE if not frame.final:
            pass
        case FrameType.ERROR if frame.final:
            fields = jsonc.Fields(jsonc.loads(frame.data), "answer")
            answer.problem = fields.text("code", limit=64)
            fields.end()
        case _:
            raise StreamRejectedError("answer: a frame out of place")
    if not frame.final:
        return state, plain
    return WaitStatement(exchange=state.exchange, answer=answer), plain


def _check_receipt(
    state: WaitStatement, statement: bytes, verified: VerifiedReceipt | None
) -> WaitRecord:
    exchange, answer, node = state.exchange, state.answer, state.exchange.node
    if verified is not None:
        made = verified.of(statement, node.verify_key)
    else:
        made = receipt.verify_receipt(statement, node.verify_key)
    header = Header.decode(exchange.sealed_request.header)
    wanted: dict[str, tuple[object, object]] = {
        "request": (made.h, exchange.h),
        "keyset": (made.keyset, node.key.keyset_digest),
        "log": (made.origin, node.terms.log.origin),
        "model": ((made.model, made.model_digest), (header.model, header.model_digest)),
        "policy": (made.client_policy, node.key.policy_digest),
        "sealed response": (made.sealed_response, answer.sealed.digest()),
        "outcome": (made.outcome == receipt.COMPLETED, answer.problem is None),
        "reason": (made.reason, answer.problem or ""),
        "simulation": (SIMULATED in made.marks, node.key.simulated),
    }
    if made.outcome == receipt.COMPLETED:  # a request that failed may not have been read whole
        wanted["sealed request"] = (made.sealed_request, exchange.sealed_digest)
    if exchange.auth_key is not None and made.outcome == receipt.COMPLETED:
        wanted["client authentication"] = (made.client_auth, exchange.auth_key)
    salt = answer.salt
    if salt is not None and made.outcome == receipt.COMPLETED:
        if made.salted_request is not None:
            digest = salted(exchange.plain_digest, salt=salt, direction=b"request")
            wanted["plaintext request"] = (made.salted_request, digest)
        if made.salted_response is not None:
            digest = salted(answer.plain.digest(), salt=salt, direction=b"response")
            wanted["plaintext response"] = (made.salted_response, digest)
    wrong = [name for name, (found, required) in wanted.items() if found != required]
    if wrong:
        raise ReceiptRejectedError(f"receipt: about another {', another '.join(wrong)}")
    return WaitRecord(exchange=exchange, answer=answer, receipt=made, statement=statement)


def _check_record(state: WaitRecord, payload: bytes, now: int) -> Done:
    record = Record.decode(payload)
    pin = state.exchange.node.terms.log
    entry = entries.decode(record.entry)
    said = (entry.h, entry.intent, entry.receipt) if isinstance(entry, Completion) else None
    if said != (state.exchange.h, state.receipt.intent_index, state.statement):
        raise ReceiptRejectedError("record: the log entry is not about this exchange")
    promised = promise.verify(
        record.promise,
        origin=pin.origin,
        leaf=pin.world.leaf_hash(record.entry),
        keys=verify_keys(pin),
        now=now,
    )
    if promised.index != record.index:
        raise ReceiptRejectedError("record: promised at another place")
    return Done(
        exchange=state.exchange,
        receipt=state.receipt,
        statement=state.statement,
        index=record.index,
        entry=record.entry,
        promise=record.promise,
        merge_by=promised.merge_by,
        problem=state.answer.problem,
    )


def prove(done: Done, proof: InclusionProof) -> Proven:
    """Return the proof that the record of `done` is in the log, if it is.

    Raises:
        LogInconsistentError: it is not where the promise said; the error carries the evidence.
        PeerError: the checkpoint is not the log's, or lacks witnesses.
    """
    pin = done.exchange.node.terms.log
    if proof.index != done.index:
        raise LogInconsistentError(
            "the record is not where the log promised",
            evidence=(done.entry, done.promise, proof.note),
        )
    leaf = pin.world.leaf_hash(done.entry)
    return Proven(index=done.index, checkpoint=verify_included(proof, leaf, pin))


def _problem(payload: bytes) -> RefusedError:
    problem = Problem.decode(payload)
    return RefusedError(problem.code, problem.message, retry_after_s=problem.retry_after_s)


def _refusal(exchange: Exchange, statement: bytes) -> RefusedError:
    """Return the error for a statement that the node never claimed this request."""
    refusal: NotClaimed = receipt.verify_not_claimed(statement, exchange.node.verify_key)
    if refusal.h != exchange.h or refusal.keyset != exchange.node.key.keyset_digest:
        raise ReceiptRejectedError("not-claimed: about another request")
    return RefusedError(refusal.reason, "the node did not claim it", not_claimed=statement)
