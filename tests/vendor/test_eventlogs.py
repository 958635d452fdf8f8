"""Every event log of the evidence collection: parsed as others parse it, replayed where quoted."""

import json
from pathlib import Path

import pytest

from attestation.errors import EvidenceUntrustedError
from attestation.eventlog import bind
from attestation.eventlog.event import SM3
from tests.vendor.runner import DIRECTORY, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".")
_RTMR0 = 48 + 328
"""Header of a version 4 quote, and where a TD report body has its RTMRs."""


def rtmrs(quote: bytes) -> list[bytes]:
    """Return RTMR 0 to 3 of a version 4 quote."""
    return [quote[_RTMR0 + 48 * i : _RTMR0 + 48 * (i + 1)] for i in range(4)]


LOGS = {
    "eventlogs/trustee/CCEL_AAEL_alibabacloud": 87,
    "eventlogs/trustee/CCEL_data": 5,
    "eventlogs/trustee/CCEL_data_gcp": 21,
    "eventlogs/trustee/CCEL_data_grub": 37,
    "eventlogs/trustee/CCEL_data_grub_gke": 35,
    "eventlogs/trustee/CCEL_data_ovmf": 20,
    "eventlogs/ars/tdx_ccel_live.bin": 20,
    "eventlogs/ars/tdx_ccel_live2.dat": 20,
    "eventlogs/dstack/ccel.bin": 18,
    "eventlogs/dstack/tpm_eventlog.bin": 45,
    "hygon-csv/eventlog/CCEL_data_csv": 82,
}


@pytest.mark.parametrize("name", LOGS)
def test_logs_parse_as_others_parse_them(name: str) -> None:
    """Types, registers, digests, and which data a digest proves, agree event by event."""
    events = bind.parse((HOME / name).read_bytes())
    assert len(events) == LOGS[name]
    expected = HOME / f"{name}_out.json"
    if not expected.exists():
        return
    others = json.loads(expected.read_text())["uefi_event_logs"]
    algorithm = next(iter(events[0].digests))
    assert [
        (each.label, each.index, each.digests[algorithm].hex(), each.proves(algorithm))
        for each in events
    ] == [
        (
            each["type_name"],
            each["index"],
            each["digests"][0]["digest"],
            each["digest_matches_event"],
        )
        for each in others
    ]


def test_a_real_log_replays_to_its_real_quote() -> None:
    """The CCEL of a cloud machine leads to the registers of its quote, and a cut one does not."""
    home = HOME / "intel-tdx/go-tdx-guest/ccel"
    registers = rtmrs((home / "cos-113-tdx-quote.dat").read_bytes())
    log = (home / "ccel_data.dat").read_bytes()
    assert bind.bind_tdx([log], registers, code="t")["event_registers"] == "1,2,3"
    other = (HOME / "eventlogs/trustee/CCEL_data_gcp").read_bytes()
    with pytest.raises(EvidenceUntrustedError):
        bind.bind_tdx([other], registers, code="t")


def test_real_runtime_events_replay_to_their_real_quote() -> None:
    """Dstack's events lead to all four registers, and one renamed event does not."""
    doc = json.loads((HOME / "intel-tdx/dstack/quote-report.json").read_text())
    registers = rtmrs(bytes.fromhex(doc["quote"]))
    found = bind.bind_tdx([doc["event_log"].encode()], registers, code="t")
    assert found["event_registers"] == "1,2,3,4"
    events = found["events"]
    assert isinstance(events, list)
    named = {each["name"]: each.get("data") for each in events if "name" in each}
    assert named["compose-hash"].startswith("3763bc34552cf3a2")
    log = [each for each in json.loads(doc["event_log"]) if each["event"] != "app-id"]
    with pytest.raises(EvidenceUntrustedError):
        bind.bind_tdx([json.dumps(log).encode()], registers, code="t")


def test_a_csv_guests_log_is_in_sm3() -> None:
    """The log of a CSV3 guest replays over SM3 registers 1 to 3."""
    events = bind.parse((HOME / "hygon-csv/eventlog/CCEL_data_csv").read_bytes())
    assert sorted(bind.replay(events, SM3)) == [1, 2, 3]
