"""Where collateral enters the data path: admission of a node, and the offer a client gets."""

from pathlib import Path

import pytest

from attestation.bundle import Bundle
from gateway.collateral import age
from gateway.collateral.fetch import Fetcher
from gateway.nodes import Node, Nodes
from mifeng.protocol.entries import Entry, NodeRejected
from mifeng.protocol.keyset import LogIdentity
from policies.load import shipped
from tests.harness.tee import intel
from tests.unit.auditlog import harness
from tests.unit.gateway.collateral_vendor import Vendor, serving
from tests.unit.gateway.test_collateral_staple import (
    QUICK,
    ROLES,
    WORLD,
    Clock,
    bundle,
    intel_replies,
    stapler,
)


class Attested:
    """The part of a link that admission uses: it answers every challenge with one bundle."""

    def __init__(self, answer: Bundle) -> None:
        """Take what to answer."""
        self._answer = answer

    async def attest(self, _freshness: bytes) -> bytes:
        """Return the bundle."""
        return self._answer.encode()


async def rejected(tmp_path: Path, given: Bundle, monkeypatch: pytest.MonkeyPatch) -> NodeRejected:
    """Admit a SIMULATED trust domain that answers `given`, the vendor's word being newer."""
    appended: list[Entry] = []
    async with serving(Vendor(replies=intel_replies())) as vendor, Fetcher(QUICK) as fetcher:
        log = await harness.start(tmp_path)
        append = log.append

        async def record(entry: Entry) -> object:
            appended.append(entry)
            return await append(entry)

        monkeypatch.setattr(log, "append", record)
        completes = stapler(vendor, fetcher, tmp_path / "collateral", Clock())
        await completes.staple(bundle())
        nodes = Nodes(
            addresses={"n": "unix:/none"},
            audit=log,
            policy=shipped("production-cpu-only"),
            identity=LogIdentity.of(log.pin),
            stapler=completes,
            clock=Clock(),
        )
        node = Node("n", "unix:/none")
        await nodes._admit(node, Attested(given))  # type: ignore[arg-type]  # all it uses
        await log.close()
    assert node.lease is None
    (entry,) = (each for each in appended if isinstance(each, NodeRejected))
    return entry


async def test_what_was_stapled_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare quote is judged with the vendor's word, whose bytes the record names.

    The SIMULATED vendor's root is none a gateway knows, which is all that is found.
    """
    entry = await rejected(tmp_path, bundle(), monkeypatch)
    assert len(entry.collateral) >= len(ROLES)
    assert entry.findings == ("intel-tdx.pck.chain",)


async def test_older_collateral_is_a_rejection_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that brings what the vendor has replaced is refused, and the log says why."""
    older = WORLD.but(tcb_info=intel.tcb_info(tcbEvaluationDataNumber=1))
    entry = await rejected(tmp_path, bundle(older.collateral().items), monkeypatch)
    assert entry.findings == (age.DOWNGRADE,)
