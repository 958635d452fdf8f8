"""An auditor beside a running gateway: export, verify, explain, compare, table."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from mifeng.cli.audit import command
from mifeng.client import Client
from mifeng.demo.cluster import TENANT, Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("cluster")]
X = np.arange(5, dtype=np.float32)


def run(*arguments: object, status: int = 0) -> Result:
    """Run `mifeng audit …` and look at its exit status."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    assert result.exit_code == status, (result.output, result.exception)
    return result


@pytest.fixture
def trust(cluster: Cluster, tmp_path: Path) -> Path:
    """What an auditor of this cluster trusts."""
    path = tmp_path / "trust.yaml"
    path.write_text(yaml.safe_dump({"log": cluster.pin, "policies": [], "exporters": []}))
    return path


def export(cluster: Cluster, path: Path, *more: object) -> Path:
    """Export from the running gateway's database."""
    config = cluster.directory / "client.yaml"
    run("export", "--database", cluster.log_database, "--config", config, "--out", path, *more)
    return path


def test_a_running_gateway_is_audited(cluster: Cluster, trust: Path, tmp_path: Path) -> None:
    """What real processes logged stands, is told in two languages, and shows its marks."""
    with Client(cluster.client_config()) as client:
        answer = client.infer("neg", {"x": X})
        client.prove(answer)
    pack = export(cluster, tmp_path / "all.zip")
    report = json.loads(run("verify", pack, "--trust", trust, "--json").output)
    errors = [f for f in report["findings"] if f["severity"] == "error"]
    assert report["stands"], errors
    assert report["evidence"]["passed"] >= 2
    assert report["marks"]["SIMULATED"] == report["receipts"] >= 1
    assert {"mark.simulated", "mark.unwitnessed"} <= {f["code"] for f in report["findings"]}
    chinese = run("explain", pack, answer.done.index, "--trust", trust, "--lang", "zh").output
    assert "SIMULATED" in chinese
    assert "租户 bank-a" in chinese
    english = json.loads(
        run("explain", pack, answer.done.receipt.h.hex(), "--trust", trust, "--json").output
    )
    assert english["model"] == "neg"
    assert english["outcome"] == "completed"
    assert english["findings"] == []


def test_parts_tables_and_differences(cluster: Cluster, trust: Path, tmp_path: Path) -> None:
    """One tenant's pack verifies; packs of two moments agree; tables hold every entry."""
    whole = export(cluster, tmp_path / "one.zip")
    with Client(cluster.client_config()) as client:
        client.prove(client.infer("neg", {"x": X}))
    later = export(cluster, tmp_path / "two.zip")
    part = export(cluster, tmp_path / "part.zip", "--tenant", TENANT)
    run("verify", part, "--trust", trust, "--strict", status=0)
    found = json.loads(run("diff", whole, later, "--json").output)
    assert (found["only_left"], found["differing"]) == (0, 0)
    assert found["only_right"] >= 2
    run("table", later, "--format", "csv", "--out", tmp_path / "t.csv")
    run("table", later, "--format", "jsonl", "--out", tmp_path / "t.jsonl")
    lines = (tmp_path / "t.jsonl").read_text("utf-8").splitlines()
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbfindex,type")
    assert len(lines) + 1 == len((tmp_path / "t.csv").read_text("utf-8").splitlines())


def test_a_bent_pack_is_refuted(cluster: Cluster, trust: Path, tmp_path: Path) -> None:
    """Exit status 1 for what is refuted; a file that is no pack is an error of ours."""
    pack = export(cluster, tmp_path / "all.zip")
    data = bytearray(pack.read_bytes())
    at = data.index(b'"type":"COMPLETION"')
    data[at + 8] ^= 1
    bent = tmp_path / "bent.zip"
    bent.write_bytes(data)
    report = json.loads(run("verify", bent, "--trust", trust, "--json", status=1).output)
    assert "entry.altered" in {f["code"] for f in report["findings"]}
    bent.write_bytes(b"not a pack")
    result = CliRunner().invoke(command, ["verify", str(bent), "--trust", str(trust)])
    assert getattr(result.exception, "code", "") == "audit.pack"
