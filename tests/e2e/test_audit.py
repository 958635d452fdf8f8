"""An auditor beside a running gateway: export, verify, explain, compare, table."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from mifeng.cli.audit import command
from mifeng.cli.witness import command as witness_command
from mifeng.client import Client
from mifeng.crypto.signatures import SigningKey
from mifeng.demo.cluster import ROOT, TENANT, Cluster
from mifeng.errors import RefusedError
from mifeng.protocol import checkpoint, merkle
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import NoteKey, Sm2NoteSigner
from mifeng.witness.client import WitnessClient

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


def test_a_live_log_is_watched_and_reported(cluster: Cluster, trust: Path, tmp_path: Path) -> None:
    """The monitor reads every entry in silence; the report is written in both forms."""
    config = cluster.directory / "client.yaml"
    with Client(cluster.client_config()) as client:
        client.prove(client.infer("neg", {"x": X}))
    memory = tmp_path / "memory"
    common = ["watch", "-c", config, "--memory", memory, "--every", "0.1", "--json"]
    output = run(*common, "--rounds", "2", "--from-start").output
    said = [json.loads(line) for line in output.splitlines()]
    assert not [each for each in said if each["severity"] == "error"], said
    assert (memory / "checkpoint").exists()
    run(*common, "--rounds", "1")
    pack = export(cluster, tmp_path / "all.zip")
    for profile in ("gbt39786", "gbt22239", "pipl"):
        out = tmp_path / f"{profile}.html"
        run(
            "report", pack, "--trust", trust, "--profile", profile, "--format", "html", "--out", out
        )
        assert "证据汇总" in out.read_text("utf-8")


def test_a_witness_process_survives_being_killed(tmp_path: Path) -> None:
    """Killed after each answer and started again, it never cosigns a second history."""
    key = SigningKey.generate("sm2")
    signer = Sm2NoteSigner("log.example/killed", key)
    (tmp_path / "passphrase").write_text("correct horse battery staple")
    log = {"origin": signer.name, "world": "sm3", "keys": [signer.key.encode()]}
    settings = {
        "name": "witness.example/w1",
        "listen": f"unix:{tmp_path / 'w.sock'}",
        "keys": "keys",
        "passphrase": "passphrase",
        "state": "state",
        "logs": [log],
    }
    config = tmp_path / "witness.yaml"
    config.write_text(yaml.safe_dump(settings))
    made = CliRunner().invoke(witness_command, ["keygen", "-c", str(config)])
    verifier = NoteKey.decode(made.output.split()[0])
    roots: dict[int, bytes] = {}
    for size in (1, 2, 3, 2, 4, 4):
        script = "from mifeng.cli.witness import command; command()"
        process = subprocess.Popen(
            [sys.executable, "-c", script, "serve", "-c", str(config)],
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        try:
            assert process.stderr is not None
            assert b"witness.example/w1" in process.stderr.readline()
            roots |= asyncio.run(ask(tmp_path / "w.sock", verifier, signer, size))
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
        (tmp_path / "w.sock").unlink(missing_ok=True)
    assert sorted(roots) == [1, 2, 3, 4]


async def ask(
    socket: Path, verifier: NoteKey, signer: Sm2NoteSigner, size: int
) -> dict[int, bytes]:
    """Ask for a cosignature of an honest tree and of another one; return what was cosigned."""
    cosigned: dict[int, bytes] = {}
    refused: list[str] = []
    for text in (b"honest", b"other"):
        leaves = SM3.leaf_hashes(b"%b %d" % (text, n) for n in range(size))
        root = merkle.root(SM3, merkle.extend(SM3, (), 0, leaves)[0])
        head = Checkpoint(origin=signer.name, size=size, root=root)
        client = WitnessClient(f"unix:{socket}", verifier, timeout_s=10)

        def get(level: int, at: int, have: list[merkle.Digest] = leaves) -> merkle.Digest:
            part = have[at << level : (at + 1) << level]
            return merkle.root(SM3, merkle.extend(SM3, (), 0, part)[0])

        async def prove(old: int, read: merkle.GetHash = get) -> tuple[merkle.Digest, ...]:
            return tuple(merkle.consistency_path(SM3, read, old=old, new=size))

        try:
            await client.cosign(checkpoint.sign(head, [signer]), size, prove)
            cosigned[size] = root
            assert text == b"honest"
        except RefusedError as exc:
            refused.append(exc.code)
        finally:
            await client.close()
    assert set(refused) <= {"witness.ahead", "witness.409", "witness.422"}
    return cosigned
