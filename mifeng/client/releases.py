"""What a client may insist on beyond attestation: what the node runs was released in public.

    releases: {keys: [04…], require: [measurement, model]}

Each digest is looked for in the gateway's list of RELEASE entries; the entry is then proven to be
included in the pinned log, under the witnesses the client wants. The list itself is the gateway's
word: it can leave out a withdrawal, which auditors see and a watching client cannot. A release
key's signature is checked on the document that the entry names.

Source: docs/spec/log.md §8.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from mifeng.crypto import CryptoError, sm3
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import LogInconsistentError, MalformedError, PeerError, UsageError
from mifeng.protocol import entries, release
from mifeng.protocol.entries import Release
from mifeng.protocol.proof import verify_included
from mifeng.protocol.release import Item, UnreleasedError
from mifeng.protocol.session import TrustedNode

from .transport import ReleaseList, Transport

Required: TypeAlias = Literal["measurement", "model"]


class ReleasesDocument(BaseModel):
    """Section `releases` of a client's configuration. No field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[list[str], Field(max_length=16)]
    """Hex of SM2 public keys that sign releases. Empty: being in the log is enough."""
    require: Annotated[list[Required], Field(min_length=1, max_length=2)]

    def policy(self) -> "ReleasePolicy":
        """Return the policy; raises `UsageError`."""
        try:
            keys = tuple(VerifyKey("sm2", bytes.fromhex(key)) for key in self.keys)
        except (CryptoError, ValueError) as exc:
            raise UsageError("releases.keys: not SM2 public keys") from exc
        return ReleasePolicy(keys=keys, require=frozenset(self.require))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePolicy:
    """What must have been released."""

    keys: tuple[VerifyKey, ...]
    require: frozenset[Required]

    async def check(self, node: TrustedNode, models: Sequence[str], transport: Transport) -> None:
        """Return if what a node runs is in the log as released.

        Args:
            node: trusted already.
            models: whose digests must be, if models are required; names it serves.
            transport: to the gateway.

        Raises:
            UnreleasedError: something is not, or was withdrawn, or is signed by nobody we know.
            LogInconsistentError: the proof contradicts the log's checkpoint.
            PeerError: the gateway's answers are not acceptable.
        """
        wanted: list[tuple[str, str, bytes]] = []
        if "measurement" in self.require:
            wanted += (("measurement", *each) for each in _measurements(node))
            if not wanted:
                raise UnreleasedError("the evidence holds no measurement that could be released")
        if "model" in self.require:
            wanted += (("model", name, node.keyset.models[name].digest) for name in models)
        listed = await transport.releases()
        known = _decoded(listed)
        for kind, name, value in wanted:
            index, entry = release.find(kind, value, f"{kind} {name}", known)
            await self._prove(index, entry, node, transport)
            self._signed(entry, listed.documents)

    async def _prove(
        self, index: int, entry: Release, node: TrustedNode, transport: Transport
    ) -> None:
        data, proof = await transport.proof(index)
        if data != entry.encode() or proof.index != index:
            raise UnreleasedError(f"entry {index} is not the release that the gateway listed")
        pin = node.terms.log
        try:
            verify_included(proof, pin.world.leaf_hash(data), pin)
        except LogInconsistentError:
            raise
        except PeerError as exc:
            raise UnreleasedError(f"release {index}: not shown to be in the log") from exc

    def _signed(self, entry: Release, documents: Sequence[bytes]) -> None:
        """Check that a release key signed a document that the entry names, about this very item."""
        if not self.keys:
            return
        item = Item(kind=entry.kind, name=entry.name, version=entry.version, digest=entry.digest)
        for document in documents:
            if sm3(document) not in entry.blob:
                continue
            try:
                statement = release.verify(document, self.keys)
            except PeerError:
                continue
            if item in statement.items and statement.withdrawn == entry.withdrawn:
                return
        raise UnreleasedError(f"{entry.kind} {entry.digest}: signed by no release key of ours")


def _measurements(node: TrustedNode) -> list[tuple[str, bytes]]:
    """Return what the policy compares of the CPU's measurements; all of them if it names none."""
    claims = node.key.claims[0]
    rule = node.terms.policy.rules.get(claims.kind)
    names = rule.references if rule and rule.references else claims.measurements
    return [(name, claims.measurements[name]) for name in names if name in claims.measurements]


def _decoded(listed: ReleaseList) -> list[tuple[int, Release]]:
    found = []
    for index, data in listed.entries:
        entry = entries.decode(data)
        if not isinstance(entry, Release):
            raise MalformedError(f"gateway: entry {index} is no release")
        found.append((index, entry))
    return found
