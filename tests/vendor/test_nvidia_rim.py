"""Every published RIM, and every published RIM against every published report."""

import csv
import os
from base64 import b64encode
from functools import cache
from pathlib import Path

import pytest

from attestation.containers import normalise
from attestation.errors import EvidenceUntrustedError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.nvidia import opaque, reference, rim, spdm
from attestation.nvidia.certificates import point, split
from attestation.nvidia.roots import RIM_ROOT, RIM_ROOTS
from attestation.nvidia_gpu import firmware

_DIR = os.environ.get("MIFENG_EVIDENCE_DIR")
pytestmark = [
    pytest.mark.vendor,
    pytest.mark.skipif(_DIR is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]
HOME = Path(_DIR or ".")
RIMS = HOME / "nvidia-rim"


@cache
def _rows(name: str) -> list[dict[str, str]]:
    if _DIR is None:
        return []
    with (RIMS / name).open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


INDEX = _rows("RIM_INDEX.tsv")
MATRIX = _rows("RIM_x_REPORT.tsv")


@pytest.mark.parametrize("row", INDEX, ids=lambda row: row["file"])
def test_the_manifest_is_what_the_index_says(row: dict[str, str]) -> None:
    """Digest, signature, chain, version, product and active indices of each file."""
    raw = (HOME / row["file"]).read_bytes()
    if row["digest_ok"] != "True" or row["sig_ok"] != "True":
        with pytest.raises(EvidenceUntrustedError) as caught:
            rim.authenticate(raw, RIM_ROOTS)
        expected = "digest" if row["digest_ok"] != "True" else "signature"
        assert caught.value.findings[0].code == f"nvidia.xmldsig.{expected}"
        return
    found = rim.authenticate(raw, RIM_ROOTS)
    assert found.version == row["colloquialVersion"].upper()
    assert found.product == row["product"]
    assert sorted(found.golden) == [int(each) for each in row["active_idx"].split(",")]
    assert found.window[0] <= found.window[1]


def test_the_base64_form_is_the_same_manifest() -> None:
    """One RIM is published wrapped; unwrapped it is the file beside it."""
    plain = (RIMS / "trustee/test-rim.swidtag").read_bytes()
    wrapped = (RIMS / "trustee/test-rim.b64").read_bytes()
    expected = rim.authenticate(plain, RIM_ROOTS)
    for form in (wrapped, b64encode(plain)):
        assert rim.authenticate(form, RIM_ROOTS).golden == expected.golden


def test_a_reissue_differs_in_index_nine_only() -> None:
    """Same tag, same version, another golden value: the version does not name a manifest."""
    old = rim.authenticate(
        (RIMS / "pypi/1010_0200_882_960074001C_PROD.swidtag").read_bytes(), RIM_ROOTS
    )
    new = rim.authenticate((RIMS / "trustee/test-rim.swidtag").read_bytes(), RIM_ROOTS)
    assert (old.version, old.tag_id) == (new.version, new.tag_id)
    assert [at for at in old.golden if old.golden[at] != new.golden[at]] == [9]


def test_the_published_root_is_the_pinned_one() -> None:
    """The published RIM root holds the pinned key."""
    (root,) = split((RIMS / "roots/verifier_RIM_root.pem").read_bytes(), code="t")
    assert point(root) == RIM_ROOT.point


@cache
def _report(name: str) -> spdm.Report:
    path, _, position = name.partition("[")
    kind = EvidenceKind.NVIDIA_GPU if "hopper" in name else EvidenceKind.NVIDIA_NVSWITCH
    units = normalise(Evidence(kind, (HOME / path).read_bytes()), Collateral())
    return spdm.decode(units[int(position.rstrip("]") or 0)].evidence.raw)


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: f"{row['report']}-{row['rim']}")
def test_mismatches_equal_the_published_matrix(row: dict[str, str]) -> None:
    """The list of mismatching indices of one report under one manifest."""
    if row["rim_trustworthy"] != "True":
        with pytest.raises(EvidenceUntrustedError):
            rim.authenticate((HOME / row["rim"]).read_bytes(), RIM_ROOTS)
        return
    report = _report(row["report"])
    manifest = rim.authenticate((HOME / row["rim"]).read_bytes(), RIM_ROOTS)
    need = reference.Need(
        role=Role.DRIVER_RIM,
        rim_id="",
        version=manifest.version,
        products=frozenset({manifest.product}),
        least=frozenset(),
    )
    outcome = reference.compare(
        need,
        report.measurements,
        Collateral(((Role.DRIVER_RIM, (HOME / row["rim"]).read_bytes()),)),
        roots=RIM_ROOTS,
        skip=firmware.skipped(opaque.decode(report.opaque)),
        now=manifest.window[0],
    )
    column = next(name for name in row if name.startswith("mismatch_idx"))
    expected = [int(each) for each in row[column].strip("[]").split(",") if each.strip()]
    found = [int(each.claim.removeprefix("measurement ")) for each in outcome.refused]
    assert found == expected
