"""A policy's word on the hybrid suite: it orders or narrows a client's list, and adds nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mifeng.client import ClientConfig
from mifeng.errors import KeysetRejectedError, UsageError
from mifeng.protocol.session import Terms, trust
from policies import PolicyError, choose, parse, shipped_bytes
from policies.load import SHIPPED
from tests.harness.world import INTL, SM, SM_PQ, World, identity

SHIPPED_TEXT = shipped_bytes("unsafe-simulated").decode()


def says(wish: str) -> bytes:
    """Return a document with this wish."""
    text = SHIPPED_TEXT.replace("post_quantum: allow", f"post_quantum: {wish}")
    assert f"\npost_quantum: {wish}\n" in text
    return text.encode()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policies_leave_it_to_the_client_and_call_it_experimental(name: str) -> None:
    """Nobody gets an experimental suite from a profile as shipped."""
    raw = shipped_bytes(name)
    assert choose(raw, ["sm", "sm-pq"]) == ("sm", "sm-pq")
    assert b"EXPERIMENTAL" in raw


def test_a_wish_orders_or_narrows() -> None:
    """`prefer` moves it to the front, `require` leaves nothing else."""
    accepted = ["sm", "intl", "sm-pq"]
    assert choose(says("allow"), accepted) == ("sm", "intl", "sm-pq")
    assert choose(says("prefer"), accepted) == ("sm-pq", "sm", "intl")
    assert choose(says("require"), accepted) == ("sm-pq",)
    assert choose(says("allow"), ["sm"]) == ("sm",)


@pytest.mark.parametrize("wish", ["prefer", "require"])
def test_a_client_that_does_not_list_it_is_told(wish: str) -> None:
    """The contradiction is an error, and names policy and key."""
    with pytest.raises(PolicyError, match=rf"unsafe-simulated says post_quantum: {wish}.*sm-pq"):
        choose(says(wish), ["sm"])


@pytest.mark.parametrize("wish", ["", "yes", "true", "Prefer", "[prefer]"])
def test_other_words_and_silence_are_errors(wish: str) -> None:
    """As for every key of a policy."""
    with pytest.raises(PolicyError, match="post_quantum"):
        parse(says(wish))
    with pytest.raises(PolicyError, match="post_quantum"):
        parse(SHIPPED_TEXT.replace("post_quantum: allow", "").encode())


def config(folder: Path, wish: str, suites: list[str]) -> ClientConfig:
    """Return a client's configuration with a policy file of this wish."""
    (folder / "policy.yaml").write_bytes(says(wish))
    document = {
        "gateway": "unix:/nowhere",
        "tenant": "bank-a",
        "api_key": "api.key",
        "policy": "policy.yaml",
        "log": {
            "origin": World().log.origin,
            "keys": [key.encode() for key in World().log.pin.keys],
            "witnesses": [],
            "quorum": 0,
        },
        "suites": suites,
    }
    path = folder / "client.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return ClientConfig.load(path)


def test_a_clients_terms_follow_its_policy(tmp_path: Path) -> None:
    """From the two files to what is accepted of nodes."""
    assert config(tmp_path, "allow", ["sm", "sm-pq"]).terms().suites == (SM, SM_PQ)
    assert config(tmp_path, "prefer", ["sm", "sm-pq"]).terms().suites == (SM_PQ, SM)
    assert config(tmp_path, "require", ["sm", "sm-pq"]).terms().suites == (SM_PQ,)
    with pytest.raises(UsageError, match="post_quantum: require"):
        config(tmp_path, "require", ["sm"]).terms()


async def offered(*suites: int) -> tuple[World, bytes, bytes]:
    """Return a world whose node offers these suites, its offer, and the challenge's nonce."""
    from attestation.bundle import Freshness
    from enclave.epochs import KeyRing

    world = World()
    world.keyring = KeyRing(identity(world.log, suites=suites), now=world.now)
    freshness = Freshness(kind=1, x=bytes(32))
    return world, await world.offer(freshness), freshness.nonce32


@pytest.mark.parametrize(
    ("wish", "node_suites", "used"),
    [
        ("allow", (SM, SM_PQ), SM),
        ("prefer", (SM, SM_PQ), SM_PQ),
        ("prefer", (SM, INTL), SM),
        ("require", (SM, SM_PQ), SM_PQ),
    ],
)
async def test_the_suite_that_is_used(wish: str, node_suites: tuple[int, ...], used: int) -> None:
    """What policy, client and node say together decides it."""
    ids = {"sm": SM, "sm-pq": SM_PQ}
    world, offer, nonce32 = await offered(*node_suites)
    suites = tuple(ids[name] for name in choose(says(wish), ["sm", "sm-pq"]))
    terms = replace(world.terms, suites=suites)
    assert trust(offer, terms, nonce32s={nonce32}, now=world.now).suite == used


async def test_a_node_without_it_is_refused_by_name_where_it_is_required() -> None:
    """The refusal says what the node offers and what was wanted."""
    world, offer, nonce32 = await offered(SM, INTL)
    terms = Terms(policy=world.terms.policy, log=world.log.pin, suites=(SM_PQ,))
    with pytest.raises(KeysetRejectedError, match="suites sm, intl; this client accepts sm-pq"):
        trust(offer, terms, nonce32s={nonce32}, now=world.now)
