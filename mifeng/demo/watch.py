"""Transports that look at, or interfere with, what passes between client and gateway.

`Watching` counts; the others each play one attacker between the two, on the real path.
"""

from collections.abc import AsyncIterator

from attestation.bundle import Bundle
from mifeng.client.transport import Offered, ReleaseList, Transport
from mifeng.crypto.suites import SUITES
from mifeng.protocol.keyset import Keyset
from mifeng.protocol.messages import Message, MessageType
from mifeng.protocol.offer import Offer
from mifeng.protocol.proof import ConsistencyProof, InclusionProof


class Watching:
    """Passes everything on and remembers sizes."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.sealed_out = self.sealed_in = self.frames_out = self.frames_in = 0
        self.offered: list[Offered] = []

    async def attestations(self, model: str | None, challenge: bytes) -> list[Offered]:
        """See `Transport`."""
        self.offered = await self._inner.attestations(model, challenge)
        return self.offered

    async def infer(
        self, messages: AsyncIterator[Message], *, subject: bytes | None = None
    ) -> AsyncIterator[Message]:
        """See `Transport`."""
        self.sealed_out = self.sealed_in = self.frames_out = self.frames_in = 0

        async def outgoing() -> AsyncIterator[Message]:
            async for message in messages:
                if message.type is MessageType.FRAME:
                    self.frames_out += 1
                    self.sealed_out += len(message.payload)
                yield message

        async for message in self._inner.infer(outgoing(), subject=subject):
            if message.type is MessageType.FRAME:
                self.frames_in += 1
                self.sealed_in += len(message.payload)
            yield message

    async def checkpoint(self) -> bytes:
        """See `Transport`."""
        return await self._inner.checkpoint()

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """See `Transport`."""
        return await self._inner.proof(index)

    async def releases(self) -> ReleaseList:
        """See `Transport`."""
        return await self._inner.releases()

    async def consistency(self, old: int, new: int) -> ConsistencyProof:
        """See `Transport`."""
        return await self._inner.consistency(old, new)

    async def close(self) -> None:
        """See `Transport`."""
        await self._inner.close()


class FlipsOneBit(Watching):
    """Changes one bit of the sealed request on its way to the node."""

    async def infer(
        self, messages: AsyncIterator[Message], *, subject: bytes | None = None
    ) -> AsyncIterator[Message]:
        """See `Transport`."""

        async def bent() -> AsyncIterator[Message]:
            done = False
            async for message in messages:
                if message.type is MessageType.FRAME and not done:
                    payload = bytearray(message.payload)
                    payload[len(payload) // 2] ^= 1
                    done = True
                    yield Message(message.type, bytes(payload))
                else:
                    yield message

        async for message in super().infer(bent(), subject=subject):
            yield message


class SwapsAnswers(Watching):
    """Gives the second request the first one's answer: same node, same model, same tenant."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self._kept: list[Message] = []

    async def infer(
        self, messages: AsyncIterator[Message], *, subject: bytes | None = None
    ) -> AsyncIterator[Message]:
        """See `Transport`."""
        kept, self._kept = self._kept, []
        async for message in super().infer(messages, subject=subject):
            self._kept.append(message)
            if not kept:
                yield message
        for message in kept:
            yield message


class OffersOwnKeys(Watching):
    """Puts a keyset with its own keys under a genuine node's evidence: a machine in the middle."""

    async def attestations(self, model: str | None, challenge: bytes) -> list[Offered]:
        """See `Transport`."""
        offered = await super().attestations(model, challenge)
        return [
            Offered(
                node_id=each.node_id,
                offer=self._forge(each.offer),
                active=each.active,
                capacity=each.capacity,
            )
            for each in offered
        ]

    def _forge(self, data: bytes) -> bytes:
        offer = Offer.decode(data)
        bundle = Bundle.decode(offer.bundle)
        keyset = Keyset.decode(bundle.keyset)
        own = {suite: SUITES[suite].generate().public_bytes for suite in keyset.suites}
        forged = Keyset(
            node_id=keyset.node_id,
            epoch=keyset.epoch,
            suites=own,
            sign=keyset.sign,
            software=keyset.software,
            models=keyset.models,
            log=keyset.log,
            simulated=keyset.simulated,
            not_before=keyset.not_before,
            not_after=keyset.not_after,
        )
        changed = Bundle(
            keyset=forged.encode(),
            freshness=bundle.freshness,
            cpu=bundle.cpu,
            cpu_collateral=bundle.cpu_collateral,
            accelerators=bundle.accelerators,
        )
        return Offer(changed.encode(), offer.entry, offer.proof).encode()


class DropsTheRecord(Watching):
    """Delivers the whole answer and keeps back the log's record and promise."""

    async def infer(
        self, messages: AsyncIterator[Message], *, subject: bytes | None = None
    ) -> AsyncIterator[Message]:
        """See `Transport`."""
        async for message in super().infer(messages, subject=subject):
            if message.type is not MessageType.RECORD:
                yield message
