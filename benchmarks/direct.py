"""A client on the node's link itself, without a gateway: what `hop` compares the gateway with.

Seals, sends INTENT, OPEN and frames, opens the answer and checks the receipt, as the SDK does. The
node still acts only on intents of a log it was configured with, so this is also a log: one entry,
one checkpoint, kept in memory, and nothing is ever written.
"""

import asyncio
import itertools
import time
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

import policies
from attestation.bundle import Bundle, Freshness
from gateway.link import Link
from mifeng.client.answer import from_numpy
from mifeng.crypto import Sm2PrivateKey
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.signatures import SigningKey
from mifeng.protocol import checkpoint, entries
from mifeng.protocol.body import OIP_INFER, OipBody
from mifeng.protocol.checkpoint import Checkpoint, LogPin
from mifeng.protocol.keyset import Keyset, keyset_digest
from mifeng.protocol.merkle import SM3
from mifeng.protocol.messages import Intent, Message, MessageType
from mifeng.protocol.note import Sm2NoteSigner
from mifeng.protocol.offer import Offer
from mifeng.protocol.proof import InclusionProof
from mifeng.protocol.session import (
    Ask,
    Done,
    Terms,
    TrustedNode,
    Waiting,
    WaitRecord,
    begin,
    step,
    trust,
)

from .load import Ask as Call

ORIGIN: Final = "log.example/direct"
TENANT: Final = "bank-a"
SM: Final = 0x0001


class MemoryOnlyLog:
    """A log key, and a log that holds one KEYSET entry."""

    def __init__(self, scalar: bytes) -> None:
        """Take the log's private key, 32 bytes; the node is configured with its pin."""
        self.key = SigningKey(Sm2PrivateKey.from_scalar(scalar))
        self._signer = Sm2NoteSigner(ORIGIN, self.key)
        self.pin = LogPin(
            origin=ORIGIN, world=SM3, keys=(self._signer.key,), witnesses=(), quorum=0
        )
        self.note = b""
        self._next = itertools.count(1)

    def document(self) -> dict[str, Any]:
        """Return the pin as configuration files hold it."""
        return {
            "origin": ORIGIN,
            "keys": [self._signer.key.encode()],
            "witnesses": [],
            "quorum": 0,
        }

    def offer(self, bundle: bytes) -> bytes:
        """Log the bundle's keyset and return what a gateway would offer."""
        decoded = Bundle.decode(bundle)
        keyset = Keyset.decode(decoded.keyset)
        entry = entries.KeysetLogged(
            at=keyset.not_before,
            node=keyset.node_id,
            epoch=keyset.epoch,
            keyset=keyset_digest(decoded.keyset),
            evidence=(decoded.evidence_digest,),
            collateral=(),
            freshness=1,
            nonce=decoded.freshness.nonce32,
            simulated=keyset.simulated,
            not_before=keyset.not_before,
            not_after=keyset.not_after,
        ).encode()
        head = Checkpoint(origin=ORIGIN, size=1, root=SM3.leaf_hash(entry))
        self.note = checkpoint.sign(head, [self._signer])
        return Offer(bundle, entry, InclusionProof(index=0, path=(), note=self.note)).encode()

    def intent(self, node: TrustedNode, h: bytes, deadline: int) -> Message:
        """Return the INTENT message for one request."""
        statement = entries.Intent(
            origin=ORIGIN,
            index=next(self._next),
            h=h,
            keyset=node.key.keyset_digest,
            attempt=1,
            tenant=TENANT,
            issued=int(time.time()),
            deadline=deadline,
        ).sign(self.key)
        return Message(MessageType.INTENT, Intent(statement, self.note, ()).encode())


async def connect(order: Mapping[str, Any], array: NDArray[Any]) -> Call:
    """Dial a node, appraise it, and return a call that makes one request."""
    log = MemoryOnlyLog(b64decode(order["log_key"]))
    link = await Link.dial(order["address"], on_frame=lambda _: None)
    await link.hello()
    running = asyncio.create_task(link.run())
    freshness = Freshness(kind=1, x=random_bytes(32))
    offer = log.offer(await link.attest(b"\1" + freshness.x))
    terms = Terms(policy=policies.shipped("unsafe-simulated"), log=log.pin, suites=(SM,))
    node = trust(offer, terms, nonce32s={freshness.nonce32}, now=int(time.time()))
    model, name = order["model"], order["input"]

    async def ask() -> None:
        tensors = (from_numpy(name, array),)
        body = OipBody(tensors=tensors).encode(response=False)
        answer = await _exchange(link, log, node, model, body)
        if not OipBody.decode(answer, response=True).tensors or running.done():
            raise RuntimeError("no outputs")

    return ask


async def _exchange(
    link: Link, log: MemoryOnlyLog, node: TrustedNode, model: str, body: bytes
) -> bytes:
    now = int(time.time())
    deadline = now + 60
    wish = Ask(tenant=TENANT, model=model, operation=OIP_INFER, deadline=deadline, stream=False)
    state: Waiting = begin(node, wish, now=now)
    exchange = state.exchange
    stream = link.open_stream()
    try:
        await stream.send(log.intent(node, exchange.h, min(deadline, node.valid_until)))
        await stream.send(exchange.opening())

        async def send() -> None:
            for message in exchange.body([body]):
                await stream.send(message)

        sending = asyncio.create_task(send())
        pieces = []
        while not isinstance(state, WaitRecord):
            after, plain = step(state, await stream.receive(), now=now)
            pieces.append(plain)
            if isinstance(after, Done):
                break  # not here: only a log makes records
            state = after
        await sending
        return b"".join(pieces)
    finally:
        stream.close()
