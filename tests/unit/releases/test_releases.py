"""Release documents, entries from them, and a client that insists on them, against liars."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from attestation.bundle import Freshness
from gateway.problems import ProblemError
from gateway.releases import Releases
from mifeng.client.releases import ReleasePolicy, ReleasesDocument, Required
from mifeng.client.transport import ReleaseList
from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.errors import MalformedError, PeerError, UsageError
from mifeng.protocol import entries, release
from mifeng.protocol.entries import Release
from mifeng.protocol.proof import InclusionProof
from mifeng.protocol.release import Item, Statement, UnreleasedError
from mifeng.protocol.session import TrustedNode, trust
from tests.harness.world import MEASUREMENT, World
from tests.unit.auditlog.harness import start

KEY = SigningKey.generate("sm2")
PUBLIC = VerifyKey("sm2", KEY.public_bytes)
OTHER = SigningKey.generate("sm2")
NODE = Item(kind="measurement", name="node", version="1.4", digest=f"sha384:{MEASUREMENT.hex()}")
MODEL = Item(kind="model", name="echo", version="1", digest=f"sm3:{(bytes([7]) * 32).hex()}")
BOTH = Statement(at=1, withdrawn=False, items=(NODE, MODEL))
STRICT = ReleasePolicy(keys=(PUBLIC,), require=frozenset({"measurement", "model"}))


def test_a_document_says_what_its_key_signed() -> None:
    """Under that key and no other, and any bent byte is refused."""
    document = BOTH.sign(KEY)
    assert release.verify(document, [PUBLIC]) == BOTH
    with pytest.raises(PeerError):
        release.verify(BOTH.sign(OTHER), [PUBLIC])
    for at in range(0, len(document), 3):
        bent = bytearray(document)
        bent[at] ^= 1
        with pytest.raises(PeerError):
            release.verify(bytes(bent), [PUBLIC])


@pytest.mark.parametrize(
    "items",
    [
        (),
        (NODE, NODE),
        (replace(NODE, kind="other"),),
        (replace(NODE, digest="sha384"),),
        (replace(NODE, digest="sha384:AB"),),
        (replace(NODE, digest=":ab"),),
        (replace(NODE, name=""),),
    ],
)
def test_a_malformed_statement_is_refused(items: tuple[Item, ...]) -> None:
    """No items, one twice, an unknown kind, a digest that is none."""
    with pytest.raises(MalformedError):
        Statement.decode(replace(BOTH, items=items).encode())


async def test_the_gateway_appends_each_item_once(tmp_path: Path) -> None:
    """One entry for each item, the document beside them; brought again, nothing happens."""
    log = await start(tmp_path)
    service = Releases(audit=log, keys=(PUBLIC,))
    document = BOTH.sign(KEY)
    indexes = await service.append(document)
    assert len(indexes) == 2
    assert await service.append(document) == indexes
    assert (await service.index()).entries == ()
    log.publish()
    listed = await service.index()
    assert [index for index, _ in listed.entries] == indexes
    assert listed.documents == (document,)
    with pytest.raises(ProblemError, match=r"release\.refused"):
        await service.append(BOTH.sign(OTHER))
    with pytest.raises(ProblemError):
        await service.append(b"{}")
    await log.close()


@dataclass
class Gateway:
    """Lists and proves the releases of a world's log; tests make it lie."""

    world: World
    listed: dict[int, bytes] = field(default_factory=dict)
    documents: list[bytes] = field(default_factory=list)
    proofs: Mapping[int, int] = field(default_factory=dict)

    def publish(self, statement: Statement, key: SigningKey = KEY) -> None:
        """Append what a statement releases."""
        document = statement.sign(key)
        self.documents.append(document)
        for entry in statement.entries(document, at=self.world.now):
            self.world.log.entries.append(entry.encode())
            self.listed[len(self.world.log.entries) - 1] = entry.encode()

    async def releases(self) -> ReleaseList:
        """See `Transport`."""
        return ReleaseList(entries=tuple(self.listed.items()), documents=tuple(self.documents))

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """See `Transport`."""
        at = self.proofs.get(index, index)
        return self.world.log.entries[at], self.world.log.inclusion(at)


@pytest.fixture
def gateway() -> Gateway:
    """Return a gateway with nothing released."""
    return Gateway(World())


async def node_of(gateway: Gateway) -> TrustedNode:
    """Return its node, trusted."""
    world = gateway.world
    freshness = Freshness(kind=1, x=bytes(32))
    offer = await world.offer(freshness)
    return trust(offer, world.terms, nonce32s={freshness.nonce32}, now=world.now)


async def check(gateway: Gateway, policy: ReleasePolicy = STRICT) -> None:
    """Check the node as a client does."""
    await policy.check(await node_of(gateway), ["echo"], gateway)  # type: ignore[arg-type]


async def test_a_released_node_passes(gateway: Gateway) -> None:
    """Measurement and model are released, proven to be logged, and signed by a pinned key."""
    gateway.publish(BOTH)
    await check(gateway)


@pytest.mark.parametrize("missing", [NODE, MODEL])
async def test_what_is_not_released_is_named(gateway: Gateway, missing: Item) -> None:
    """The refusal says which digest is not in the log."""
    items = tuple(item for item in BOTH.items if item != missing)
    gateway.publish(replace(BOTH, items=items))
    with pytest.raises(UnreleasedError, match=missing.value):
        await check(gateway)
    required = frozenset({"measurement"} if missing is MODEL else {"model"})
    await check(gateway, ReleasePolicy(keys=(), require=required))  # type: ignore[arg-type]


@pytest.mark.parametrize("require", [{"measurement"}, {"measurement", "model"}])
async def test_a_released_model_does_not_stand_for_a_measurement(
    gateway: Gateway, require: set[Required]
) -> None:
    """Evidence without measurements is refused where they are required, whatever else is."""
    gateway.publish(BOTH)
    node = await node_of(gateway)
    bare = replace(node.key.claims[0], measurements={})
    key = SimpleNamespace(claims=(bare,))
    bared = SimpleNamespace(key=key, keyset=node.keyset, terms=node.terms)
    policy = replace(STRICT, require=frozenset(require))
    with pytest.raises(UnreleasedError, match="no measurement"):
        await policy.check(bared, ["echo"], gateway)  # type: ignore[arg-type]


async def test_a_withdrawn_release_is_refused_until_released_again(gateway: Gateway) -> None:
    """The newest entry about a digest decides."""
    gateway.publish(BOTH)
    gateway.publish(replace(BOTH, withdrawn=True, items=(NODE,)))
    with pytest.raises(UnreleasedError, match="withdrawn"):
        await check(gateway)
    gateway.publish(replace(BOTH, at=2))
    await check(gateway)


async def test_another_signer_is_refused_where_keys_are_pinned(gateway: Gateway) -> None:
    """Being in the log is the operator's act; the release key's is its owner's."""
    gateway.publish(BOTH, OTHER)
    with pytest.raises(UnreleasedError, match="no release key"):
        await check(gateway)
    await check(gateway, replace(STRICT, keys=()))
    gateway.documents.clear()
    with pytest.raises(UnreleasedError, match="no release key"):
        await check(gateway)


async def test_a_listed_release_that_is_not_logged_is_refused(gateway: Gateway) -> None:
    """An invented entry has no proof; another entry's proof is not its own."""
    document = BOTH.sign(KEY)
    gateway.documents.append(document)
    gateway.world.log.entries.append(entries.Heartbeat(at=1, instance="g", interval=60).encode())
    at = len(gateway.world.log.entries) - 1
    first, second = BOTH.entries(document, at=1)
    gateway.listed = {at: first.encode(), at + 1: second.encode()}
    gateway.proofs = {at + 1: at}
    with pytest.raises(UnreleasedError, match="not the release"):
        await check(gateway)
    gateway.listed = {at: gateway.world.log.entries[at]}
    with pytest.raises(MalformedError):
        await check(gateway)


def test_entries_name_their_document() -> None:
    """Each entry holds the SM3 of the document that released it."""
    document = BOTH.sign(KEY)
    for entry, item in zip(BOTH.entries(document, at=5), BOTH.items, strict=True):
        decoded = entries.decode(entry.encode())
        assert isinstance(decoded, Release)
        assert decoded.blob == (sm3(document),)
        assert decoded.digest == item.digest


def test_keys_of_a_client_are_checked() -> None:
    """What is no SM2 public key is a usage error."""
    good = ReleasesDocument(keys=[KEY.public_bytes.hex()], require=["model"])
    assert good.policy().keys[0].public_bytes == KEY.public_bytes
    for bad in ("00", "zz"):
        with pytest.raises(UsageError):
            ReleasesDocument(keys=[bad], require=["model"]).policy()
