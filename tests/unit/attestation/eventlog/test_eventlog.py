"""Event logs: what replays is believed, and nothing else."""

import json
from base64 import b64encode
from hashlib import sha384

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestation.errors import AttestationError, EvidenceMalformedError, EvidenceUntrustedError
from attestation.eventlog import bind, dstack, tcg2
from attestation.eventlog.event import SHA384, SM3
from tests.harness.tee.eventlog import CcelWriter, dstack_event, dstack_log, runtime_digest

BLOB = sha384(b"a firmware volume").digest()


def honest() -> CcelWriter:
    """Return a small log over registers 1 to 3."""
    log = CcelWriter()
    log.add(0, 3, b"StartupLocality\0\3", digest=bytes(48))
    log.add(1, 0x80000001, b"SecureBoot").add(1, 0x80000008, b"where it lies", digest=BLOB)
    return log.add(2, 4, bytes(4)).add(3, 13, b"grub_cmd: linux")


LOG = honest()
RAW = LOG.raw()
RTMRS = [LOG.registers().get(index, bytes(48)) for index in range(1, 5)]


def believed(*logs: bytes) -> dict[str, object]:
    """Bind logs to the honest registers."""
    return bind.bind_tdx(logs, RTMRS, code="test")


@pytest.mark.parametrize(
    "raw",
    [RAW, honest().header() + b"".join(LOG.records), RAW.hex().encode(), b64encode(RAW)],
    ids=["filled", "exact", "hex", "base64"],
)
def test_an_honest_log_is_believed(raw: bytes) -> None:
    """Events are listed with type and digest; data only where the digest is theirs."""
    found = believed(raw)
    assert found["event_registers"] == "1,2,3"
    events = found["events"]
    assert isinstance(events, list)
    assert [each["type"] for each in events] == [
        "EV_EFI_VARIABLE_DRIVER_CONFIG",
        "EV_EFI_PLATFORM_FIRMWARE_BLOB",
        "EV_SEPARATOR",
        "EV_IPL",
    ]
    assert events[0]["data"] == b"SecureBoot".hex()
    assert "data" not in events[1]


def test_several_logs_are_one_after_the_other() -> None:
    """A second log continues the registers of the first."""
    first, second = CcelWriter().add(1, 5, b"a"), CcelWriter().add(1, 5, b"b")
    joined = CcelWriter().add(1, 5, b"a").add(1, 5, b"b").registers()
    rtmrs = [joined[1], *[bytes(48)] * 3]
    assert bind.bind_tdx([first.raw(), second.raw()], rtmrs, code="t")["event_registers"] == "1"
    with pytest.raises(EvidenceUntrustedError):
        bind.bind_tdx([second.raw(), first.raw()], rtmrs, code="t")
    with pytest.raises(EvidenceMalformedError):
        bind.bind_tdx([first.raw()] * 5, rtmrs, code="t")


def test_zero_filler_and_vendor_information() -> None:
    """The tail may be zeros, and the header may name its maker."""
    log = honest()
    log.tail = bytes(100)
    assert believed(log.raw())["event_registers"] == "1,2,3"
    head = log.header(vendor=b"td-shim")
    assert len(tcg2.parse(head + log.records[0])) == 1


def _dropped(at: int) -> bytes:
    return LOG.header() + b"".join(LOG.records[:at] + LOG.records[at + 1 :])


UNBOUND = {
    "first-dropped": _dropped(1),
    "second-dropped": _dropped(2),
    "swapped": LOG.header() + b"".join(LOG.records[i] for i in (0, 2, 1, 3, 4)),
    "doubled": LOG.header() + b"".join([*LOG.records, LOG.records[-1]]),
    "digest-changed": RAW.replace(BLOB, sha384(b"other").digest()),
    "register-4": honest().add(4, 4, b"late").raw(),
    "register-0": honest().add(0, 4, b"early").raw(),
    "register-5": honest().add(5, 4, b"beyond").raw(),
}


@pytest.mark.parametrize("case", UNBOUND)
def test_logs_that_do_not_replay_are_untrusted(case: str) -> None:
    """A dropped, added, reordered or changed event is found by its register."""
    with pytest.raises(EvidenceUntrustedError, match=r"test\.event-log"):
        believed(UNBOUND[case])


def test_changed_data_is_not_shown() -> None:
    """Data beside a digest can be anything; it is repeated only if it hashes to it."""
    found = believed(RAW.replace(b"SecureBoot", b"SecureBoox"))["events"]
    assert isinstance(found, list)
    assert "data" not in found[0]


def test_what_a_log_leaves_out_is_not_claimed() -> None:
    """A log over fewer registers says so; a register it touches must come out in full."""
    assert believed(LOG.header() + b"".join(LOG.records[:3]))["event_registers"] == "1"
    assert believed(LOG.header())["event_registers"] == ""


def test_digests_of_another_algorithm_prove_nothing() -> None:
    """SM3 digests say nothing about SHA-384 registers."""
    other = CcelWriter(algorithm=SM3).add(1, 4, bytes(4))
    with pytest.raises(EvidenceMalformedError, match="algorithm"):
        believed(other.raw())
    fields = {f"rtmr{i}": other.registers().get(i, bytes(32)) for i in range(1, 5)}
    assert bind.bind_csv([other.raw()], fields, code="t")["event_registers"] == "1"
    assert bind.replay(bind.parse(RAW), SHA384)[2] == LOG.registers()[2]


HEADER = LOG.header()
MISSHAPEN = {
    "empty": b"",
    "cut-header": HEADER[:-1],
    "header-type": HEADER[:4] + b"\1" + HEADER[5:],
    "header-digest": HEADER[:8] + b"\1" + HEADER[9:],
    "header-signature": HEADER.replace(b"Event03", b"Event02"),
    "header-size": HEADER[:28] + b"\x22" + HEADER[29:],
    "no-algorithm": HEADER[:56] + bytes(4) + HEADER[60:],
    "many-algorithms": HEADER[:56] + b"\xff" * 4 + HEADER[60:],
    "unknown-algorithm": HEADER[:60] + b"\xee\0" + HEADER[62:],
    "wrong-digest-size": HEADER[:62] + b"\x20\0" + HEADER[64:],
    "repeated-algorithm": HEADER[:28]
    + b"\x25\0\0\0"
    + HEADER[32:56]
    + b"\2\0\0\0"
    + HEADER[60:64] * 2
    + b"\0",
    "cut-event": HEADER + LOG.records[1][:-1],
    "two-digests": HEADER + b"\1\0\0\0\1\0\0\0\2\0\0\0" + bytes(100),
    "other-digest": HEADER + b"\1\0\0\0\1\0\0\0\1\0\0\0\x12\0" + bytes(52),
    "huge-event": HEADER + LOG.records[1][:62] + b"\xff\xff\xff\x7f",
    "broken-filler": RAW[:-1] + b"\0",
    "trailing": HEADER + b"".join(LOG.records) + b"\1",
    "too-large": RAW.ljust((1 << 20) + 1, b"\xff"),
    "too-many": HEADER + LOG.records[3] * (tcg2.MAX_EVENTS + 1),
    "text": b"not a log at all!",
}


@pytest.mark.parametrize("case", MISSHAPEN)
def test_misshapen_logs_are_malformed(case: str) -> None:
    """Whatever is cut, repeated, unknown or follows does not parse."""
    with pytest.raises(EvidenceMalformedError) as caught:
        bind.parse(MISSHAPEN[case])
    assert caught.value.findings[0].code.startswith("event-log")


RUNTIME = dstack_event("app-id", b"\x01\x02")
BOOT = {"imr": 0, "event_type": 4, "digest": BLOB.hex(), "event": "", "event_payload": "00"}
EXPECTED = [
    sha384(bytes(48) + BLOB).digest(),
    bytes(48),
    bytes(48),
    sha384(bytes(48) + runtime_digest("app-id", b"\x01\x02")).digest(),
]


@pytest.mark.parametrize("event", [RUNTIME, {**RUNTIME, "digest": ""}], ids=["digest", "none"])
def test_dstack_events_are_proven_by_name_and_payload(event: dict[str, object]) -> None:
    """A runtime event's digest covers its name and payload, so both are believed."""
    found = bind.bind_tdx([dstack_log(BOOT, event)], EXPECTED, code="t")
    assert found["event_registers"] == "1,4"
    events = found["events"]
    assert isinstance(events, list)
    assert (events[1]["name"], events[1]["data"]) == ("app-id", "0102")
    assert "data" not in events[0]


BAD_DSTACK = {
    "object": {},
    "list-of-numbers": [1],
    "too-many": [RUNTIME] * 4097,
    "imr": [{**RUNTIME, "imr": 4}],
    "imr-text": [{**RUNTIME, "imr": "3"}],
    "type": [{**RUNTIME, "event_type": 1 << 32}],
    "digest-short": [{**RUNTIME, "digest": "00"}],
    "digest-of-other-payload": [{**RUNTIME, "event_payload": "0103"}],
    "digest-of-other-name": [{**RUNTIME, "event": "app-ie"}],
    "payload": [{**RUNTIME, "event_payload": "0g"}],
    "payload-odd": [{**RUNTIME, "event_payload": "0"}],
    "payload-absent": [{"imr": 3, "event_type": 1, "digest": "", "event": ""}],
    "boot-without-digest": [{**BOOT, "digest": ""}],
}


@pytest.mark.parametrize("case", BAD_DSTACK)
def test_other_dstack_logs_are_malformed(case: str) -> None:
    """A list of another form, or a digest that is not its event's, does not parse."""
    with pytest.raises(EvidenceMalformedError):
        dstack.parse(json.dumps(BAD_DSTACK[case]).encode())


def test_a_renamed_dstack_event_without_digest_does_not_replay() -> None:
    """Leaving the digest out does not help: it is computed."""
    forged = dstack_log(BOOT, {**RUNTIME, "digest": "", "event": "app-ie"})
    with pytest.raises(EvidenceUntrustedError):
        bind.bind_tdx([forged], EXPECTED, code="t")
    odd = [{**RUNTIME, "digest": "", "event": "\ud800"}]
    assert len(dstack.parse(json.dumps(odd).encode())) == 1


@given(st.binary(max_size=300), st.integers(0, len(RAW)))
def test_any_bytes_are_refused_properly(data: bytes, at: int) -> None:
    """No bytes, alone or inside a good log, make anything but our errors."""
    for raw in (data, b"[" + data, RAW[:at] + data + RAW[at + len(data) :], HEADER + data):
        try:
            believed(raw)
        except AttestationError:
            continue


def test_the_unused_tail_of_a_buffer_is_cut_off() -> None:
    """What remains is the same log; what is none is refused."""
    log = CcelWriter().add(1, 4, bytes(4)).add(2, 13, b"x\xff\xff")
    whole = log.raw().rstrip(b"\xff") + b"\xff\xff"
    for filler in (b"", bytes(64), b"\xff" * 64):
        assert tcg2.used(whole + filler) == whole
    with pytest.raises(EvidenceMalformedError):
        tcg2.used(whole + b"\xff\xff\xff\xff\x00")
