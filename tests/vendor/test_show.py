"""`mifeng evidence show` on every file of the evidence collection."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from mifeng.cli.evidence import command as evidence
from tests.vendor.runner import DIRECTORY, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".")
UNREAD = frozenset(
    {
        "arm-cca/veraison/cca_platform.pem",  # a private key
        "azure-vtpm/ak-roots/azure_ak_certificates.txt",  # an archive of several files in one
        "azure-vtpm/kinvolk/akpub.pem",  # a bare public key
        "azure-vtpm/kinvolk/quote.bin",  # a library's own serialisation
        "azure-vtpm/trustee-snp/quote.bin",
        "azure-vtpm/trustee-tdx/quote.bin",
        "eventlogs/openpcc/tcg_eventlog.txt",  # an archive
        "huawei-itrustee/basevalue.txt",  # a table of reference values
        "hygon-dcu/synthetic/dcu_user_data.hex",  # 64 bytes
        "intel-tdx/go-tdx-guest/README.md",
        "intel-tdx/go-tdx-guest/ccel/ccel_table.dat",  # an ACPI table
        "intel-tdx/go-tdx-guest/ccel/nonce.dat",  # 64 bytes
        "intel-tdx/go-tdx-guest/report.dat",  # 1024 bytes that are no TDREPORT
    }
)
"""Files that are neither evidence nor collateral in a form of theirs: shown as text or bytes."""


def rows() -> list[dict[str, str]]:
    """Return the manifest."""
    with (HOME / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_file_has_a_reading() -> None:
    """Each file is shown under the kind it was collected as, or as what it is."""
    kinds = {"nvidia-hopper": "nvidia-gpu", "nvidia-blackwell": "nvidia-gpu"}
    unread = set()
    for row in rows():
        name = f"{row['kind']}/{row['file']}"
        found = CliRunner().invoke(evidence, ["show", str(HOME / name)])
        assert found.exit_code in (0, 30), (name, found.output, found.exception)
        assert "NOT VERIFIED" in found.output
        if found.exit_code:
            unread.add(name)
        judged = row["verdict"].startswith(("POSITIVE", "SYNTHETIC POSITIVE"))
        if judged and row["kind"] != "nvidia-rim":
            assert found.output.startswith(kinds.get(row["kind"], row["kind"])), name
    assert unread == UNREAD


@pytest.mark.parametrize("kind", ["intel-tdx", "hygon-csv", "arm-cca"])
def test_a_reading_of_another_kind_is_refused(kind: str) -> None:
    """A file given as another kind than it is has no tables."""
    path = HOME / "aws-nitro/nitro_attestation.bin"
    assert CliRunner().invoke(evidence, ["show", "--kind", kind, str(path)]).exit_code == 30
