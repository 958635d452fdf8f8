"""Bundles and bindings: one encoding each, every byte counted."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestation import Bundle, Collateral, Device, Evidence, EvidenceKind, Freshness, Role, binding
from attestation.bundle import MAX_BUNDLE_BYTES
from attestation.errors import EvidenceMalformedError
from mifeng.crypto import sm3
from tests.harness.tee.simulated import EIGHT

EVIDENCE = st.builds(Evidence, st.sampled_from(EvidenceKind), st.binary(max_size=20))
COLLATERAL = st.builds(
    Collateral,
    st.lists(st.tuples(st.sampled_from(Role), st.binary(max_size=9)), max_size=3).map(tuple),
)
FRESHNESS = st.one_of(
    st.builds(Freshness, kind=st.just(1), x=st.binary(min_size=32, max_size=32)),
    st.builds(Freshness, kind=st.just(2), x=st.binary(min_size=1, max_size=40)),
)
DEVICES = st.builds(
    Device,
    device_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=9),
    evidence=EVIDENCE,
    collateral=COLLATERAL,
)
BUNDLES = st.builds(
    Bundle,
    keyset=st.binary(max_size=40),
    freshness=FRESHNESS,
    cpu=EVIDENCE,
    cpu_collateral=COLLATERAL,
    accelerators=st.lists(DEVICES, max_size=3).map(tuple),
)
ONE = EIGHT.but(devices=1).bundle()


@given(bundle=BUNDLES)
def test_every_bundle_has_one_encoding(bundle: Bundle) -> None:
    """Decoding what was encoded gives the same value."""
    assert Bundle.decode(bundle.encode()) == bundle


@given(data=st.binary(max_size=300), keep=st.integers(0, 600))
def test_decoding_is_total_and_canonical(data: bytes, keep: int) -> None:
    """Any bytes are refused by our error, or are the one encoding of what they decode to."""
    raw = ONE.encode()[:keep] + data
    try:
        bundle = Bundle.decode(raw)
    except EvidenceMalformedError:
        return
    assert bundle.encode() == raw


ENCODED = ONE.encode()
BAD = {
    "another label": (b"x" + ENCODED[1:], "bundle.label"),
    "nothing": (b"", "bundle.label"),
    "a byte missing": (ENCODED[:-1], "bundle.truncated"),
    "a byte too many": (ENCODED + b"\0", "bundle.trailing"),
    "freshness of kind 3": (
        ENCODED.replace(b"\1" + (32).to_bytes(4), b"\3" + (32).to_bytes(4), 1),
        "freshness.kind",
    ),
    "an unknown kind": (ENCODED.replace(b"simulated", b"simulates", 1), "bundle.kind"),
    "a device id that is no text": (ENCODED.replace(b"gpu0", b"gp\xff0", 1), "bundle.device-id"),
    "too many devices": (
        ENCODED.replace(b"\0\1\4gpu0", b"\xff\1\4gpu0", 1),
        "bundle.count",
    ),
    "too large": (bytes(MAX_BUNDLE_BYTES + 1), "bundle.size"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bent_encoding_is_refused_by_name(name: str) -> None:
    """Each way to be no bundle has its own code."""
    raw, code = BAD[name]
    with pytest.raises(EvidenceMalformedError) as caught:
        Bundle.decode(raw)
    assert caught.value.findings[0].code == code


def test_an_unknown_role_is_refused() -> None:
    """Collateral has one of the roles we know."""
    raw = replace(ONE, cpu_collateral=Collateral(((Role.OCSP, b""),))).encode()
    with pytest.raises(EvidenceMalformedError) as caught:
        Bundle.decode(raw.replace(b"ocsp", b"ocsq"))
    assert caught.value.findings[0].code == "bundle.role"


@pytest.mark.parametrize(("kind", "x"), [(1, b""), (1, bytes(31)), (2, b""), (3, bytes(32))])
def test_freshness_of_another_shape_is_refused(kind: int, x: bytes) -> None:
    """A challenge has 32 bytes, a note at least one."""
    with pytest.raises(EvidenceMalformedError):
        Freshness(kind=kind, x=x)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "x" * 256, "\ud800"])
def test_a_device_id_of_another_shape_is_refused(name: str) -> None:
    """A device id is 1 … 255 bytes of UTF-8."""
    with pytest.raises(EvidenceMalformedError):
        replace(ONE.accelerators[0], device_id=name)


def test_collateral_and_keyset_are_not_the_evidence() -> None:
    """Renewed collateral leaves the evidence's name as it was."""
    renewed = replace(ONE, cpu_collateral=Collateral(((Role.OCSP, b"new"),)), keyset=b"other")
    assert renewed.evidence_digest == ONE.evidence_digest
    assert replace(ONE, cpu=ONE.accelerators[0].evidence).evidence_digest != ONE.evidence_digest


def test_the_binding_is_the_specifications() -> None:
    """T, both halves and the device nonce, computed here from the text of the specification."""
    freshness = Freshness(kind=1, x=bytes(32))
    nonce32 = sm3(b"mifeng/v1/freshness\0" + b"\1" + bytes(32))
    assert freshness.nonce32 == nonce32
    digest = sm3(b"keyset")
    devices = tuple(
        Device(device_id=name, evidence=Evidence(kind, raw), collateral=Collateral())
        for name, kind, raw in (
            ("b", EvidenceKind.NVIDIA_GPU, b"second"),
            ("a", EvidenceKind.HYGON_DCU, b"first"),
        )
    )
    t = b"mifeng/v1/report-data\0" + nonce32 + digest + b"\0\2"
    t += b"\x09hygon-dcu" + sm3(b"first") + b"\x0anvidia-gpu" + sm3(b"second")
    found = binding.report_data(nonce32=nonce32, keyset_digest=digest, accelerators=devices)
    assert found == sm3(t) + hashlib.sha256(t).digest()
    nonce = binding.device_nonce(nonce32=nonce32, keyset_digest=digest)
    assert nonce == hashlib.sha256(b"mifeng/v1/device\0" + nonce32 + digest).digest()


def test_each_kind_fills_its_field_completely() -> None:
    """64-byte fields take both halves, TPMs the SHA-256 half, devices the nonce and zeros."""
    value = bytes(range(64))
    fields = binding.CPU_FIELDS
    assert fields[EvidenceKind.INTEL_TDX].fill(value) == value
    assert fields[EvidenceKind.TPM2].fill(value) == value[32:]
    devices = binding.DEVICE_FIELDS
    assert devices[EvidenceKind.NVIDIA_GPU].fill(value[:32]) == value[:32]
    assert devices[EvidenceKind.HYGON_DCU].fill(value[:32]) == value[:32] + bytes(32)
    assert EvidenceKind.ASCEND_NPU not in {*fields, *devices}


def test_wrong_lengths_and_names_are_the_callers_mistake() -> None:
    """What the caller must get right raises ValueError."""
    with pytest.raises(ValueError, match="nonce32"):
        binding.device_nonce(nonce32=b"", keyset_digest=bytes(32))
    with pytest.raises(ValueError, match="keyset_digest"):
        binding.report_data(nonce32=bytes(32), keyset_digest=b"", accelerators=())
    twice = ONE.accelerators * 2
    with pytest.raises(ValueError, match="twice"):
        binding.report_data(nonce32=bytes(32), keyset_digest=bytes(32), accelerators=twice)
