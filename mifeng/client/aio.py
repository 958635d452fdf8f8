"""The asynchronous client: attest, seal, ask, verify. Decides only whom to ask again.

    a signed NOT_CLAIMED, or nothing was sent   → sealed to another node, unnoticed;
                                                  if every node is busy, after a pause
    bytes lost, and the model is idempotent     → sealed anew, as a new request with a new record
    bytes lost otherwise                        → InterruptedRequestError

Everything that is checked is checked in `mifeng.protocol.session`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from attestation.bundle import CHALLENGE_BYTES, Freshness
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import (
    InterruptedRequestError,
    KeysetRejectedError,
    LogInconsistentError,
    MifengError,
    NodeRejectedError,
    PeerError,
    RefusedError,
    StreamRejectedError,
    TransportError,
)
from mifeng.floors import Floors
from mifeng.protocol.body import OIP_INFER, OipBody, Tensor
from mifeng.protocol.messages import Message, MessageType
from mifeng.protocol.receipt import VerifiedReceipt
from mifeng.protocol.release import UnreleasedError
from mifeng.protocol.session import (
    Ask,
    Done,
    Proven,
    State,
    Terms,
    TrustedNode,
    WaitStatement,
    Wrap,
    begin,
    ended,
    prove,
    step,
    trust,
)
from mifeng.together import Together

from .answer import Answer, from_numpy, succeeded
from .config import ClientConfig
from .memory import LogMemory, Verdicts, floors_beside
from .releases import ReleasePolicy
from .together import Claim, check, wrap
from .transport import Offered, Transport, connect

ATTEMPTS: Final = 12
LOSSES: Final = 2
"""How often a request may be lost with its bytes before it is no longer asked anew: one that
kills nodes must not kill them all."""
BUSY: Final = "node.busy"
SAME_EVERYWHERE: Final = ("operation.unknown", "model.unknown", "deadline.expired")
"""Refusals that another node would only repeat."""
BACKOFF_S: Final = 0.02
MAX_BACKOFF_S: Final = 2.0
STALE: Final = "keyset.unknown"
LOST: Final = "node.lost"
PROOF_POLL_S: Final = 0.25
MERGE_GRACE_S: Final = 30
"""How far the log's clock and ours may differ before a promise counts as broken."""
Progress = Callable[[int], None]
"""Told how many bytes of the body have been handed to the transport."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A node that was offered and not accepted, and why."""

    node_id: str
    error: MifengError


class AsyncClient:
    """One institution's client of one gateway. Safe to use from many tasks."""

    def __init__(
        self,
        *,
        transport: Transport,
        terms: Terms,
        tenant: str,
        auth_key: SigningKey | None = None,
        state: Path | None = None,
        deadline_s: float = 60.0,
        notes: bool = False,
        releases: ReleasePolicy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """See `from_config` for the usual way.

        Args:
            transport: the gateway.
            terms: what this client insists on.
            tenant: who we are to the gateway.
            auth_key: the institution's SM2 key; requests are signed with it inside the seal.
            state: file that remembers the newest checkpoint; beside it `<state>.floors` remembers
                how new the newest collateral was.
            deadline_s: how long a request may take, unless a call says otherwise.
            notes: ask for evidence made after a note that the pinned witnesses cosigned, shared
                with other clients, before challenging anybody.
            releases: what must have been released in the log; None if nothing must.
            clock: Unix seconds.
        """
        self._notes, self._releases = notes, releases
        self._transport, self._terms, self._tenant = transport, terms, tenant
        self._auth_key, self._deadline_s, self._clock = auth_key, deadline_s, clock
        self._memory = LogMemory(terms.log, state)
        self._trusted: dict[str, list[TrustedNode]] = {}
        self._turn = 0
        self._appraised = Verdicts()
        self._floors = Floors(None if state is None else floors_beside(state))
        self._wrapping, self._checking = Together(wrap), Together(check)
        self._attesting = asyncio.Lock()
        self._advancing = asyncio.Lock()
        self.refused: list[Refused] = []
        """Nodes that the last attestation did not accept."""

    @classmethod
    def from_config(cls, config: ClientConfig | Path | str) -> Self:
        """Return a client as a configuration file describes it; raises `UsageError`."""
        if not isinstance(config, ClientConfig):
            config = ClientConfig.load(config)
        transport = connect(
            config.gateway,
            api_key=config.read_api_key(),
            ca=config.ca,
            timeout_s=config.timeout_s,
        )
        return cls(
            transport=transport,
            terms=config.terms(),
            tenant=config.tenant,
            auth_key=config.read_auth_key(),
            state=config.state,
            deadline_s=config.timeout_s,
            notes=config.freshness == "note",
            releases=config.releases.policy() if config.releases else None,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release connections."""
        await self._transport.close()

    # Attestation.

    async def offers(self, model: str | None = None) -> tuple[list[Offered], bytes]:
        """Return what the gateway offers for a fresh challenge, and its `nonce32`. Untrusted."""
        freshness = Freshness(kind=1, x=random_bytes(CHALLENGE_BYTES))
        return await self._transport.attestations(model, freshness.x), freshness.nonce32

    async def attest(self, model: str) -> list[TrustedNode]:
        """Ask for evidence of the nodes that serve a model and return those that pass, best first.

        Nodes are challenged, unless evidence after a cosigned note is wanted and to be had.

        Raises:
            NodeRejectedError: none passes; `refused` says why for each.
            RefusedError, TransportError: the gateway has none, or cannot be reached.
        """
        passed = await self._noted(model) if self._notes else []
        if not passed:
            offered, nonce32 = await self.offers(model)
            passed = await self._passing(offered, {nonce32})
        passed = await self._released(passed, model)
        if not passed:
            reasons = "; ".join(f"{each.node_id}: {each.error}" for each in self.refused)
            cause = self.refused[0].error if self.refused else None
            raise NodeRejectedError(f"no offered node is acceptable: {reasons}") from cause
        self._trusted[model] = passed
        return passed

    async def _noted(self, model: str) -> list[TrustedNode]:
        """Return nodes whose evidence a note of our witnesses shows to be recent; maybe none."""
        try:
            offered = await self._transport.attestations(model, b"")
        except RefusedError:
            return []
        return await self._passing(offered, ())

    async def _passing(
        self, offered: list[Offered], nonce32s: Collection[bytes]
    ) -> list[TrustedNode]:
        """Return the nodes that pass, and keep why the others do not."""
        now = int(self._clock())
        passed: list[TrustedNode] = []
        self.refused = []
        for each in offered:
            try:
                passed.append(await self._appraise(each.offer, nonce32s, now))
            except LogInconsistentError:
                raise
            except PeerError as exc:
                self.refused.append(Refused(each.node_id, exc))
        return passed

    async def require_released(self, node: TrustedNode, models: Sequence[str]) -> None:
        """Return if what a node runs was released, as far as this client insists on that.

        Raises:
            UnreleasedError: it was not, or was withdrawn.
            PeerError, RefusedError, TransportError: the gateway does not show it.
        """
        if self._releases is not None:
            await self._releases.check(node, models, self._transport)

    async def _released(self, nodes: list[TrustedNode], model: str) -> list[TrustedNode]:
        """Return the nodes that run what was released, and keep why the others do not."""
        passed = []
        for node in nodes:
            try:
                await self.require_released(node, [model])
            except UnreleasedError as exc:
                self.refused.append(Refused(node.keyset.node_id, exc))
            else:
                passed.append(node)
        return passed

    async def models(self) -> frozenset[str]:
        """Return the models that acceptable nodes serve now.

        Raises:
            NodeRejectedError: nodes are offered and none passes.
            RefusedError, TransportError: the gateway has none, or cannot be reached.
        """
        offered, nonce32 = await self.offers()
        now = int(self._clock())
        found: set[str] = set()
        for each in offered:
            with contextlib.suppress(PeerError):
                node = await self._appraise(each.offer, {nonce32}, now)
                for name in node.keyset.models:
                    found |= {name} if await self._released([node], name) else set()
        return frozenset(found)

    async def _appraise(self, offer: bytes, nonce32s: Collection[bytes], now: int) -> TrustedNode:
        """Return a node that passes, remembering verdict, log's head and collateral's numbers."""
        node = await asyncio.to_thread(
            trust,
            offer,
            self._terms,
            nonce32s=nonce32s,
            now=now,
            floors=self._floors.now,
            appraised=self._appraised.now,
        )
        await self._advance(node)
        await asyncio.to_thread(self._floors.learn, node.key.claims)
        self._appraised.keep(offer, node.key, now=now)
        return node

    async def _advance(self, node: TrustedNode) -> None:
        async with self._advancing:
            if (sizes := self._memory.needs(node.logged)) is None:
                self._memory.advance(node.logged, None)
                return
            proof = await self._transport.consistency(*sizes)
            self._memory.advance(node.logged, proof)

    async def _choose(self, model: str, avoid: set[bytes]) -> TrustedNode:
        """Return a trusted node, attesting if none is known, current and not to be avoided."""
        for attempt in range(2):
            now = int(self._clock())
            known = [
                node
                for node in self._trusted.get(model, [])
                if node.valid_until > now + 1 and node.key.keyset_digest not in avoid
            ]
            if known:
                self._turn += 1
                return known[self._turn % len(known)]
            if attempt:
                break
            async with self._attesting:
                await self.attest(model)
        raise RefusedError("node.unavailable", "no further attested node serves this model")

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | Iterable[Tensor],
        *,
        parameters: Mapping[str, object] | None = None,
        deadline_s: float | None = None,
        subject: bytes | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """Run an Open Inference Protocol model and return its verified answer.

        Args:
            model: as the gateway serves it.
            inputs: name → array-like (needs numpy), or `Tensor` values.
            parameters: OIP request parameters.
            deadline_s: seconds from now.
            subject: reference to the person it is about, 32 bytes; see `protocol.subject`.
            progress: told about the body's progress.

        Raises:
            RefusedError: the gateway, the node or the model said no.
            PeerError: what came back was not acceptable.
            InterruptedRequestError: it may have run, and the model is not idempotent.
            TransportError: the gateway cannot be reached.
        """
        tensors = (
            tuple(from_numpy(name, value) for name, value in inputs.items())
            if isinstance(inputs, Mapping)
            else tuple(inputs)
        )
        body = OipBody(tensors=tensors, parameters=parameters or {}).encode(response=False)
        return await self.ask(
            model,
            body,
            operation=OIP_INFER,
            deadline_s=deadline_s,
            subject=subject,
            progress=progress,
        )

    async def ask(
        self,
        model: str,
        body: bytes,
        *,
        operation: str,
        deadline_s: float | None = None,
        isolation: bytes | None = None,
        subject: bytes | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """Send any body of an operation and return the verified answer; see `infer`.

        Args:
            model: as the gateway serves it.
            body: plaintext of the operation.
            operation: `oip.infer`, `openai.chat.completions`, …
            deadline_s: seconds from now.
            isolation: 32 bytes; requests with the same value may share caches on the node.
            subject: see `infer`.
            progress: told about the body's progress.
        """
        avoid: set[bytes] = set()
        give_up = self._clock() + (deadline_s or self._deadline_s)
        attempt = losses = 0
        while True:
            attempt += 1
            node = await self._choose(model, avoid)
            stream = self.stream_from(
                node,
                model,
                body,
                operation=operation,
                deadline_s=deadline_s,
                isolation=isolation,
                subject=subject,
                wrap=await self._wrapping.submit(node),
                progress=progress,
                stream=False,
            )
            try:
                pieces = [piece async for piece in stream]
                return Answer(body=b"".join(pieces), done=succeeded(stream.done))
            except MifengError as exc:
                losses += exc.code in (LOST, InterruptedRequestError.code)
                spent = attempt >= ATTEMPTS or losses > LOSSES or self._clock() >= give_up
                if spent or not _again(exc, node, model):
                    if exc.code == LOST:
                        raise InterruptedRequestError(str(exc)) from exc
                    raise
                avoid.add(node.key.keyset_digest)
                if exc.code == BUSY:
                    await self._until_one_is_left(model, avoid, attempt)

    async def _until_one_is_left(self, model: str, avoid: set[bytes], attempt: int) -> None:
        """If every trusted node has refused, wait a while and let all be asked again."""
        if all(node.key.keyset_digest in avoid for node in self._trusted.get(model, [])):
            avoid.clear()
            await asyncio.sleep(min(BACKOFF_S * 2**attempt, MAX_BACKOFF_S))

    async def open_stream(
        self,
        model: str,
        body: bytes,
        *,
        operation: str,
        deadline_s: float | None = None,
        isolation: bytes | None = None,
        subject: bytes | None = None,
    ) -> "AnswerStream":
        """Return an answer that has begun, to be iterated as it arrives; see `infer` for errors.

        Refusals before the answer begins are retried as `ask` does; once it has begun nothing
        is, since some of it may have been used.
        """
        avoid: set[bytes] = set()
        attempt = 0
        while True:
            attempt += 1
            node = await self._choose(model, avoid)
            stream = self.stream_from(
                node,
                model,
                body,
                operation=operation,
                deadline_s=deadline_s,
                isolation=isolation,
                subject=subject,
                wrap=await self._wrapping.submit(node),
                stream=True,
            )
            try:
                await stream.begin()
            except MifengError as exc:
                if attempt >= ATTEMPTS or not _again(exc, node, model):
                    raise
                avoid.add(node.key.keyset_digest)
                if exc.code == BUSY:
                    await self._until_one_is_left(model, avoid, attempt)
            else:
                return stream

    def stream_from(
        self,
        node: TrustedNode,
        model: str,
        body: bytes,
        *,
        operation: str,
        stream: bool,
        deadline_s: float | None = None,
        isolation: bytes | None = None,
        subject: bytes | None = None,
        progress: Progress | None = None,
        wrap: Wrap | None = None,
    ) -> "AnswerStream":
        """Return one exchange with one node, to be iterated once; nothing is retried."""
        now = int(self._clock())
        ask = Ask(
            tenant=self._tenant,
            model=model,
            operation=operation,
            deadline=now + max(1, round(deadline_s or self._deadline_s)),
            stream=stream,
        )
        state = begin(node, ask, now=now, wrap=wrap)
        first = [state.exchange.opening()]
        if self._auth_key is not None:
            first.append(state.exchange.authenticate(self._auth_key))
        if isolation is not None:
            first.append(state.exchange.isolate(isolation))

        async def messages() -> AsyncIterator[Message]:
            for message in first:
                yield message
            sent = 0
            for message in state.exchange.body([body]):
                yield message
                sent += len(message.payload)
                if progress is not None:
                    progress(min(sent, len(body)))

        messages_back = self._transport.infer(messages(), subject=subject)
        return AnswerStream(state, messages_back, self._clock, self._checking)

    # The log.

    async def prove(self, answer: Answer | Done, *, wait_s: float = 90.0) -> Proven:
        """Return the proof that the record of an answer is in the log.

        Args:
            answer: what `infer` returned.
            wait_s: how long to wait for the log to publish a checkpoint that covers it.

        Raises:
            LogInconsistentError: the log broke its promise; carries the evidence.
            RefusedError, TransportError: the log cannot be asked.
        """
        done = answer.done if isinstance(answer, Answer) else answer
        give_up = self._clock() + wait_s
        while True:
            try:
                entry, proof = await self._transport.proof(done.index)
            except RefusedError as exc:
                if exc.code != "log.not_found":
                    raise
                if self._clock() > done.merge_by + MERGE_GRACE_S:
                    raise LogInconsistentError(
                        "the log did not keep its promise in time",
                        evidence=(done.entry, done.promise),
                    ) from exc
                if self._clock() >= give_up:
                    raise  # not yet due: too early for a conviction
                await asyncio.sleep(PROOF_POLL_S)
                continue
            if entry != done.entry:
                raise LogInconsistentError(
                    "the log holds another entry than it promised",
                    evidence=(done.entry, done.promise, entry, proof.note),
                )
            proven = prove(done, proof)
            async with self._advancing:
                sizes = self._memory.needs(proven.checkpoint)
                consistency = await self._transport.consistency(*sizes) if sizes else None
                self._memory.advance(proven.checkpoint, consistency)
            return proven


class AnswerStream:
    """An answer as it arrives. What is yielded is provisional until iteration ends."""

    def __init__(
        self,
        state: State,
        messages: AsyncIterator[Message],
        clock: Callable[[], float],
        checking: Together[Claim, VerifiedReceipt],
    ) -> None:
        self._state, self._messages, self._clock = state, messages, clock
        self._checking = checking
        self._node = state.exchange.node
        self.h = state.exchange.h
        """Digest of the request: names the exchange in log and receipt."""

    async def begin(self) -> None:
        """Wait until the node has claimed the request and its answer begins."""
        if (message := await anext(self._messages, None)) is not None:
            await self._take(message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for message in self._messages:
            if plain := await self._take(message):
                yield plain
        ended(self._state)

    async def aclose(self) -> None:
        """Give the exchange up; the gateway cancels the node's work."""
        close = getattr(self._messages, "aclose", None)
        if close is not None:
            await close()

    async def _take(self, message: Message) -> bytes:
        if isinstance(self._state, Done):
            raise StreamRejectedError("a message after the end")
        verified = None
        if isinstance(self._state, WaitStatement) and message.type is MessageType.STATEMENT:
            verified = await self._checking.submit((message.payload, self._node.verify_key))
        self._state, plain = step(self._state, message, now=int(self._clock()), verified=verified)
        return plain

    @property
    def node_id(self) -> str:
        """Which node answers."""
        return self._node.keyset.node_id

    @property
    def done(self) -> Done:
        """The verified end; raises `InterruptedRequestError` before it."""
        return ended(self._state)


def _again(exc: MifengError, node: TrustedNode, model: str) -> bool:
    """Whether the same work may be sealed to another node after this failure."""
    served = node.keyset.models.get(model)
    idempotent = served is not None and served.idempotent
    match exc:
        case RefusedError(code=code) if code in SAME_EVERYWHERE:
            return False
        case RefusedError(not_claimed=bytes()) | TransportError() | KeysetRejectedError():
            return True
        case RefusedError(code=code) if code in (STALE, "node.unavailable", LOST):
            return idempotent
        case InterruptedRequestError():
            return idempotent
        case _:
            return False
