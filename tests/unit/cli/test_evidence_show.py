"""`mifeng evidence show`: every kind of evidence and what travels beside it, as people read it."""

import json
import random
from base64 import b64encode
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding

from attestation import EvidenceKind, Role
from attestation.nvidia import rim
from mifeng.cli.evidence import command as evidence
from mifeng.cli.reading import describe
from mifeng.cli.reading_kinds import GUESSES, KINDS
from tests.fuzz.drive import mutate
from tests.harness.tee import azure, cca, hygon, intel, itrustee, nitro, nvidia, snp, tpm2, virtcca
from tests.harness.tee.eventlog import CcelWriter, dstack_event, dstack_log
from tests.harness.tee.simulated import HONEST

TREE = json.dumps({"a": [{"b": "c" * 600}, [1, 2]]}).encode()
EVIDENCE = {
    "simulated": (HONEST.bundle().cpu.raw, "issued_at"),
    "intel-tdx": (intel.TD.quote(), "bit 28 SEPT_VE_DISABLE"),
    "intel-sgx": (intel.ENCLAVE.quote(), "mr_enclave"),
    "amd-snp": (snp.SnpPlatform().report() + bytes(20), "chip_id"),
    "azure-vtpm": (azure.AzureVm().evidence(), "paravisor's report"),
    "tpm2": (tpm2.Tpm().evidence(), "pcr_digest"),
    "aws-nitro": (nitro.NitroModule().document(), "module_id"),
    "nvidia-gpu": (nvidia.gpu().report(), "driver_version"),
    "nvidia-nvswitch": (nvidia.switch().report(), "lock_switch_status"),
    "hygon-csv": (hygon.Psp().report(), "PEK certificate"),
    "hygon-dcu": (hygon.dcu_report(), "user_data"),
    "arm-cca": (cca.CcaMachine().token(), "software components"),
    "huawei-virtcca": (virtcca.VirtccaMachine().token(), "confidential VM token"),
    "huawei-itrustee": (itrustee.Trustzone().report(), "memory"),
    "ascend-npu": (b"\0anything", "no public format"),
}
"""One piece of SIMULATED evidence of each kind, and what only its reading says."""


def show(tmp_path: Path, data: bytes, *arguments: str) -> Result:
    """Run `evidence show` on a file with these bytes, on a wide terminal."""
    path = tmp_path / "file"
    path.write_bytes(data)
    return CliRunner().invoke(evidence, ["show", *arguments, str(path)], env={"COLUMNS": "160"})


def test_every_kind_has_a_reader_and_a_sample() -> None:
    """No kind is shown as bytes alone; only one without a format is never guessed."""
    assert {kind.value for kind in KINDS} == {kind.value for kind in EvidenceKind} == set(EVIDENCE)
    assert set(KINDS) - set(GUESSES) == {EvidenceKind.ASCEND_NPU}


@pytest.mark.parametrize("kind", EVIDENCE)
def test_evidence_is_read_as_the_given_kind(tmp_path: Path, kind: str) -> None:
    """The kind's own fields are shown, and that nothing was verified."""
    raw, needle = EVIDENCE[kind]
    found = show(tmp_path, raw, "--kind", kind)
    assert (found.exit_code, needle in found.output, "NOT VERIFIED" in found.output) == (
        0,
        True,
        True,
    )


@pytest.mark.parametrize("kind", [kind.value for kind in GUESSES])
def test_the_kind_is_guessed(tmp_path: Path, kind: str) -> None:
    """Without `--kind` the same reading comes out, under the kind's name."""
    raw, needle = EVIDENCE[kind]
    found = show(tmp_path, raw)
    assert (found.exit_code, found.output.splitlines()[0], needle in found.output) == (
        0,
        kind,
        True,
    )


def test_other_shapes_of_evidence_are_read(tmp_path: Path) -> None:
    """Versions, wrappers and parts that a kind's first sample does not have."""
    gpu = {
        "evidence": b64encode(nvidia.gpu().report()).decode(),
        "certificate": b64encode(nvidia.pem(nvidia.gpu().certs)).decode(),
    }
    for kind, raw, needle in (
        ("nvidia-gpu", json.dumps([gpu, gpu]).encode(), "device 1: opaque fields"),
        ("hygon-csv", hygon.Psp(version=2).report(), "rtmr4"),
        ("azure-vtpm", azure.AzureVm(tdx=True).evidence(), "TDREPORT (local)"),
        ("azure-vtpm", azure.AzureVm().blob(), "runtime claims"),
        ("amd-snp", snp.SnpPlatform.turin().report(), "patch levels (Turin)"),
        ("huawei-itrustee", itrustee.Trustzone().ak_raw(), "certificate of the device"),
        ("huawei-itrustee", LEGACY, "binary report of earlier releases"),
    ):
        found = show(tmp_path, raw, "--kind", kind)
        assert (found.exit_code, needle in found.output) == (0, True), found.output


LEGACY = b"\1\0\0\0" + bytes(92) + b"\1\0\0\0" + b"\1\0\0\x20\4\0\0\0\x70\0\0\0" + b"hash"
LOG = (
    CcelWriter()
    .add(1, 4, bytes(4))
    .add(2, 13, b"grub_cmd boot")
    .add(3, 3, b"\1" * 99, digest=bytes(48))
)
GPU_ITEMS = nvidia.gpu_collateral(nvidia.gpu())
FILES = {
    "event log": (LOG.raw(), "grub_cmd boot"),
    "dstack's event log": (dstack_log(dstack_event("app-id", b"\1")), "app-id"),
    "PEM": (b"# a comment\n" + intel.LEAF.pem() + intel.CA.pem(), "certificate authority"),
    "DER": (intel.LEAF.make().public_bytes(Encoding.DER), "certificate authority"),
    "CRL": (snp.SnpPlatform().crl(9), "next update"),
    "manifest": (nvidia.driver_rim(entries=9).xml(), "colloquialVersion"),
    "Hygon": (hygon.ca() + hygon.csv(), "HSK certificate"),
    "OCSP": (GPU_ITEMS.all(Role.OCSP)[0], "OCSP answers"),
    "TDREPORT": (b"\x81" + bytes(1023), "never as remote evidence"),
    "TPM": (tpm2.Tpm().message(), "TPMS_ATTEST, unsigned"),
    "JSON": (TREE, "a[0].b"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_travels_beside_evidence_is_read(tmp_path: Path, name: str) -> None:
    """Collateral is recognised by itself."""
    raw, needle = FILES[name]
    found = show(tmp_path, raw)
    assert (found.exit_code, needle in found.output) == (0, True), found.output


def test_a_manifest_must_have_its_parts() -> None:
    """XML of another document is not taken for a manifest."""
    assert rim.unwrap(b"<a/>") == b"<a/>"


@pytest.mark.parametrize(
    "raw", [b"<a/>", b"hello\nworld", b"\x13" + bytes(700), b"\x30\x03\x0a\x01\x00"]
)
def test_what_nobody_recognises_is_previewed(tmp_path: Path, raw: bytes) -> None:
    """The first lines or bytes are shown, and the exit status says that it was not read."""
    found = show(tmp_path, raw)
    assert (found.exit_code, f"unknown, {len(raw)} bytes" in found.output) == (30, True)
    assert ("line 1" in found.output) == raw.isascii() * (raw[0] not in (0x13, 0x30))


def test_bent_evidence_is_shown_or_refused_never_more(tmp_path: Path) -> None:
    """Whatever is in a file, a reading or its absence comes out."""
    for name, (raw, _) in [*EVIDENCE.items(), *FILES.items()]:
        chance = random.Random(name)
        for _ in range(8):
            describe(mutate(raw, chance), EvidenceKind(name) if name in EVIDENCE else None)
    found = show(tmp_path, nitro.bend(timestamp=1 << 62), "--kind", "aws-nitro")
    assert (found.exit_code, "no end" in found.output) == (0, True)
