"""The event log of the boot, from a SIMULATED firmware's file."""

import asyncio
from hashlib import sha384
from pathlib import Path

import pytest

from attestation.bundle import Freshness
from attestation.eventlog import tcg2
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.intel_tdx.verifier import IntelTdxVerifier
from enclave.evidence import AttesterError
from enclave.evidence.ccel import CCEL, with_events
from enclave.evidence.hardware import HardwareAttester, NoAccelerators
from mifeng.crypto import sm3
from tests.harness.tee.eventlog import CcelWriter
from tests.harness.tee.hygon import Psp
from tests.harness.tee.intel import NOW, TD

LOG = CcelWriter().add(1, 4, bytes(4)).add(2, 13, b"grub_cmd boot")
CHAIN = Collateral(((Role.CERT_CHAIN, b"x"),))


def quote(**registers: bytes) -> Evidence:
    """Return a SIMULATED quote over registers that the log leads to, unless given."""
    found = LOG.registers()
    body = {f"rtmr{index - 1}": value for index, value in found.items()}
    return Evidence(EvidenceKind.INTEL_TDX, TD.but(body={**body, **registers}).quote())


@pytest.fixture
def ccel(tmp_path: Path) -> Path:
    """Return a firmware's file, filled up as firmware does."""
    path = tmp_path / "CCEL"
    path.write_bytes(LOG.raw().rstrip(b"\xff").ljust(1 << 16, b"\xff"))
    return path


def test_a_log_that_the_quote_vouches_for_comes_along(ccel: Path) -> None:
    """Without its unused tail; its verifier believes it."""
    found = with_events(quote(), CHAIN, ccel=ccel)
    (log,) = found.all(Role.EVENT_LOG)
    assert found.items[0] == CHAIN.items[0]
    assert (len(log) < 1000, len(tcg2.parse(log))) == (True, 2)
    world = TD.collateral()
    claims = IntelTdxVerifier(TD.anchors()).verify(
        quote().raw, Collateral((*world.items, (Role.EVENT_LOG, log))), now=NOW
    )
    assert claims.details["event_registers"] == "1,2"


def test_a_log_that_proves_nothing_is_left_out(ccel: Path) -> None:
    """Registers extended without an event, an evidence without registers, no log at all."""
    assert with_events(quote(rtmr1=bytes(48)), CHAIN, ccel=ccel) == CHAIN
    assert with_events(quote(), CHAIN, ccel=ccel.with_name("none")) == CHAIN
    assert with_events(quote(), CHAIN, ccel=CCEL.with_name("no such table")) == CHAIN
    snp = Evidence(EvidenceKind.AMD_SNP, b"report")
    assert with_events(snp, CHAIN, ccel=ccel.with_name("none")) == CHAIN
    unread = Evidence(EvidenceKind.INTEL_TDX, b"not a quote")
    assert with_events(unread, CHAIN, ccel=ccel) == CHAIN


def test_logs_of_csv_guests_are_in_sm3(ccel: Path) -> None:
    """Version 2 has registers to replay to, version 1 has none."""
    log = CcelWriter(algorithm=0x12).add(1, 4, bytes(4))
    ccel.write_bytes(log.raw())
    register = sm3(bytes(32) + sm3(bytes(4)))
    report = Psp(version=2, fields={"rtmr1": register}).report()
    found = with_events(Evidence(EvidenceKind.HYGON_CSV, report), CHAIN, ccel=ccel)
    assert len(found.all(Role.EVENT_LOG)) == 1
    other = Evidence(EvidenceKind.HYGON_CSV, Psp(version=2).report())
    assert with_events(other, CHAIN, ccel=ccel) == CHAIN
    first = Evidence(EvidenceKind.HYGON_CSV, Psp().report())
    assert with_events(first, CHAIN, ccel=ccel) == CHAIN


def test_a_log_that_cannot_be_read_is_an_error(ccel: Path) -> None:
    """A directory, or bytes that are no log."""
    with pytest.raises(AttesterError, match="CCEL"):
        with_events(quote(), CHAIN, ccel=ccel.parent)
    ccel.write_bytes(b"junk")
    with pytest.raises(AttesterError, match="event log"):
        with_events(quote(), CHAIN, ccel=ccel)


def test_a_bundle_carries_the_log(ccel: Path) -> None:
    """From firmware's file to what a verifier gets."""

    class Cpu:
        """Plays a trust domain."""

        def report(self, report_data: bytes) -> tuple[Evidence, Collateral]:
            """Return a quote over the bytes."""
            assert len(report_data) == 64
            return quote(report_data=report_data), Collateral()

    attester = HardwareAttester(Cpu(), NoAccelerators(), ccel=ccel)
    bundle = asyncio.run(attester.collect(b"keyset", Freshness(kind=1, x=bytes(32))))
    assert bundle.cpu_collateral.all(Role.EVENT_LOG)
    assert sha384(bytes(4)).digest() in bundle.cpu_collateral.all(Role.EVENT_LOG)[0]
