"""Gateway, node and log in one process, honest; tests override one method to lie.

`World.offer` and `World.exchange` are what a real gateway does, in the order of docs/data-path.md.
The node inside is the real executor with real keys; only its silicon is simulated.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import policies
from attestation.bundle import Freshness
from attestation.policy import Policy
from enclave.engines import Engine, Job, Ran
from enclave.epochs import Identity, KeyRing
from enclave.evidence.simulated import SimulatedAttester
from enclave.executor import CancelledExchangeError, Executor, Limits
from enclave.intents import LogWatch
from mifeng.crypto.randomness import random_bytes
from mifeng.protocol.header import Header
from mifeng.protocol.keyset import LogIdentity, Model, Software
from mifeng.protocol.messages import Intent, Message, MessageType, Open, Record
from mifeng.protocol.offer import Offer
from mifeng.protocol.session import (
    Ask,
    Done,
    State,
    Terms,
    TrustedNode,
    Waiting,
    begin,
    ended,
    step,
    trust,
)
from mifeng.protocol.stream import split_header
from tests.harness.memorylog import MemoryLog

NOW = 1_800_000_000
MEASUREMENT = bytes(range(48))
POLICY: Policy = policies.shipped("unsafe-simulated")
SM = 0x0001
INTL = 0x0101
SM_PQ = 0x0002


class EchoEngine:
    """Answers with the body turned around; `pieces` says in how many parts."""

    operations = frozenset({"oip.infer", "openai.chat.completions"})
    ran = Ran(backend="echo/1", device="test")

    def __init__(self, pieces: int = 1) -> None:
        self.pieces = pieces
        self.runs: list[bytes] = []
        self.isolations: list[bytes] = []

    async def run(self, job: Job) -> AsyncIterator[bytes]:
        """Yield the reversed body."""
        data = bytes(job.body)[::-1]
        self.runs.append(data)
        self.isolations.append(job.isolation)
        size = max(1, -(-len(data) // self.pieces))
        for at in range(0, len(data), size):
            yield data[at : at + size]
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing to release."""


def identity(
    log: MemoryLog, *, node_id: str = "node-1", suites: tuple[int, ...] = (SM, SM_PQ, INTL)
) -> Identity:
    """Return what a node of this world was configured with."""
    return Identity(
        node_id=node_id,
        suites=suites,
        software=Software(image=bytes(32), config=bytes(32), policy=POLICY.digest),
        models={"echo": Model(digest=bytes([7]) * 32, idempotent=True)},
        log=LogIdentity.of(log.pin),
        simulated=True,
        life_s=3600,
        active_s=1800,
    )


@dataclass
class World:
    """Everything between one client and one node."""

    log: MemoryLog = field(default_factory=MemoryLog)
    engine: Engine = field(default_factory=EchoEngine)
    now: int = NOW
    node_id: str = "node-1"
    suite: int = SM
    keyring: KeyRing = field(init=False)
    executor: Executor = field(init=False)
    watch: LogWatch = field(init=False)
    sent_to_node: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keyring = KeyRing(identity(self.log, node_id=self.node_id), now=self.now)
        self.watch = LogWatch(self.log.pin)
        self.pool = ThreadPoolExecutor(1)
        self.executor = Executor(
            keyring=self.keyring,
            engines={"echo": self.engine},
            log=self.watch,
            limits=Limits(
                concurrency=4,
                max_body_bytes=8 << 20,
                first_frame_s=2.0,
                max_salted_bytes=1 << 20,
            ),
            clock=lambda: self.now,
        )
        self.attester = SimulatedAttester(
            node_id=self.node_id, measurement=MEASUREMENT, clock=lambda: self.now
        )
        self._keyset_index: int | None = None

    @property
    def terms(self) -> Terms:
        """What the client insists on."""
        return Terms(policy=POLICY, log=self.log.pin, suites=(self.suite,))

    # What the gateway does before a request.

    async def offer(self, freshness: Freshness) -> bytes:
        """Ask the node for evidence and staple the log's proof."""
        epoch = self.keyring.active
        bundle = await self.attester.collect(epoch.keyset_bytes, freshness)
        if self._keyset_index is None:
            self._keyset_index, _ = self.log.keyset(
                epoch.keyset_bytes, epoch.digest, evidence=bundle.evidence_digest, now=self.now
            )
        entry = self.log.entries[self._keyset_index]
        return Offer(bundle.encode(), entry, self.log.inclusion(self._keyset_index)).encode()

    async def trusted(self) -> TrustedNode:
        """Challenge the node, appraise what it says, and return it."""
        freshness = Freshness(kind=1, x=random_bytes(32))
        return trust(
            await self.offer(freshness), self.terms, nonce32s={freshness.nonce32}, now=self.now
        )

    # What the gateway does with a request.

    async def relay(self, request: Iterable[Message]) -> AsyncIterator[Message]:
        """Log the intent, dispatch, hold the end back until the completion is logged."""
        messages = list(request)
        header = Header.decode(Open.decode(messages[0].payload).header)
        h, intent_index, intent = self.intend(messages[0], header)
        back = self.dispatch(intent, messages)
        final: Message | None = None
        async for message in back:
            if message.type is MessageType.FRAME and split_header(message.payload)[1]:
                final = message
                continue
            if message.type is MessageType.STATEMENT and final is not None:
                for released in self.release(h, intent_index, final, message):
                    yield released
                return
            yield message

    def intend(self, opening: Message, header: Header) -> tuple[bytes, int, Message]:
        """Append the INTENT and return H, its index and the message for the node."""
        from mifeng.protocol.header import request_digest

        h = request_digest(Open.decode(opening.payload).header)
        index, statement = self.log.intent(
            h=h,
            keyset=header.keyset_digest,
            tenant=header.tenant,
            now=self.now,
            deadline=header.deadline,
        )
        payload = Intent(statement, self.log.note(), self.log.consistency(self.watch.size))
        return h, index, Message(MessageType.INTENT, payload.encode())

    def release(
        self, h: bytes, intent_index: int, final: Message, statement: Message
    ) -> list[Message]:
        """Append the COMPLETION and return what may now leave."""
        index, entry, promised = self.log.completion(
            h=h, intent=intent_index, statement=statement.payload, now=self.now
        )
        record = Message(MessageType.RECORD, Record(index, entry, promised).encode())
        return [final, statement, record]

    async def dispatch(self, intent: Message, messages: list[Message]) -> AsyncIterator[Message]:
        """Run the real executor on these messages."""
        self.sent_to_node = [intent, *messages]
        back: asyncio.Queue[Message | None] = asyncio.Queue()
        source = _Frames([m.payload for m in messages if m.type is MessageType.FRAME])
        noted = self.watch.advance(intent.payload)

        async def run() -> None:
            try:
                await self.executor.exchange(noted, messages[0].payload, source, back.put)
            finally:
                await back.put(None)

        task = asyncio.create_task(run())
        while (message := await back.get()) is not None:
            yield message
        await task

    # What the client does.

    async def ask(self, body: bytes, *, node: TrustedNode | None = None) -> tuple[bytes, Done]:
        """Carry one request through all nine steps but the last."""
        state, request = self.start(node or await self.trusted(), body)
        return await self.finish(state, self.relay(request))

    def start(self, node: TrustedNode, body: bytes) -> tuple[Waiting, list[Message]]:
        """Seal a request and return the client's state and its messages."""
        ask = Ask(
            tenant="bank-a",
            model="echo",
            operation="oip.infer",
            deadline=self.now + 60,
            stream=False,
        )
        state = begin(node, ask, now=self.now)
        return state, [state.exchange.opening(), *state.exchange.body([body])]

    async def finish(self, state: State, messages: AsyncIterator[Message]) -> tuple[bytes, Done]:
        """Feed what comes back to the client's state machine."""
        answer = bytearray()
        async for message in messages:
            if isinstance(state, Done):
                raise AssertionError("a message after the end")
            state, plain = step(state, message, now=self.now)
            answer += plain
        return bytes(answer), ended(state)


class _Frames:
    """Sealed frames from a list, then silence."""

    def __init__(self, frames: list[bytes]) -> None:
        self._frames = iter(frames)

    async def frame(self) -> bytes:
        """See `enclave.executor.Source`."""
        try:
            return next(self._frames)
        except StopIteration:
            raise CancelledExchangeError from None
