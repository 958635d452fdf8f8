"""`mifeng anchor list`, and anchors through `mifeng audit export` and `verify`."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.anchors.worm import WormAnchor
from mifeng.audit.anchors.pins import AnchorsDocument
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.audit.wording import WORDS
from mifeng.cli.anchor import command as anchor
from mifeng.cli.audit import command as audit
from mifeng.errors import MifengError, UsageError
from tests.harness.anchoring import Carrier
from tests.unit.audit.made import Made, codes

THEN = 1_700_000_000


@pytest.fixture
def log() -> Made:
    """Return a log of some time ago."""
    made = Made(now=THEN)
    made.work(3)
    return made


@pytest.fixture
def anchored(log: Made, tmp_path: Path) -> Path:
    """Return a gateway's directory with one record in it."""
    note = log.note()
    carrier = Carrier(tmp_path / "anchors", lambda: note)
    asyncio.run(carrier.carry(WormAnchor(name="worm", directory=tmp_path / "worm")))
    return tmp_path / "anchors"


def trust(log: Made, tmp_path: Path, anchors: object) -> Path:
    """Return a trust file."""
    pin = {"origin": log.pin.origin, "keys": [key.encode() for key in log.pin.keys]}
    document = {
        "log": {**pin, "witnesses": [], "quorum": 0},
        "policies": [],
        "exporters": [],
        "anchors": anchors,
    }
    path = tmp_path / "trust.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def pack_of(log: Made, tmp_path: Path, anchored: Path) -> Path:
    """Return a pack with the records."""
    records = [path.read_bytes() for path in (anchored / "records").glob("*.json")]
    return log.pack(tmp_path / "pack.zip", anchors=records)


def run(command: object, *arguments: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(command, list(map(str, arguments)))  # type: ignore[arg-type]


def test_the_listing_says_how_anchors_stand(anchored: Path, log: Made) -> None:
    """For people and for programs."""
    assert "1 records" in run(anchor, "list", anchored).output
    (found,) = json.loads(run(anchor, "list", anchored, "--json").output)["anchors"]
    assert found["name"] == "worm"
    assert found["newest"] == log.source.size
    assert found["waiting"] == 0
    result = run(anchor, "list", anchored / "records")
    assert isinstance(result.exception, UsageError)


WORM = {"name": "worm", "kind": "file", "directory": "worm"}


def test_verify_says_what_is_anchored_where(log: Made, tmp_path: Path, anchored: Path) -> None:
    """The auditor's copy of the directory, relative to the trust file, vouches."""
    pack = pack_of(log, tmp_path, anchored)
    require = {"count": 1, "within_s": 1}
    path = trust(log, tmp_path, {"trusted": [WORM], "require": require})
    shown = run(audit, "verify", pack, "--trust", path)
    assert shown.exit_code == 0, shown.output
    assert "anchor (file worm)" in shown.output
    assert "vouches" in shown.output
    chinese = run(audit, "verify", pack, "--trust", path, "--lang", "zh").output
    assert "锚定" in chinese
    (found,) = json.loads(run(audit, "verify", pack, "--trust", path, "--json").output)["anchors"]
    assert found == {
        "kind": "file",
        "name": "worm",
        "size": log.source.size,
        "vouches": True,
        "at": None,
        "place": next((tmp_path / "worm").iterdir()).name,
    }


def test_a_missing_anchor_is_an_error_where_one_is_required(
    log: Made, tmp_path: Path, anchored: Path
) -> None:
    """Entries after the last anchor are named; within the allowed time they need none yet."""
    log.now += 5000
    log.work(2)
    pack = pack_of(log, tmp_path, anchored)
    for within, missing in ((1, True), (10_000, False)):
        require = {"count": 1, "within_s": within}
        document = {"trusted": [WORM], "require": require}
        pins = AnchorsDocument.model_validate(document).pins(tmp_path)
        report = verify(pack, Trust(log=log.pin, anchors=pins), now=log.now)
        assert ("anchor.required" in codes(report)) is missing


def test_what_lies_in_the_directory_must_be_the_note(
    log: Made, tmp_path: Path, anchored: Path
) -> None:
    """Other bytes under the name convict; so does a record of another log or checkpoint."""
    (path,) = (tmp_path / "worm").iterdir()
    path.chmod(0o644)
    path.write_bytes(b"other")
    pack = pack_of(log, tmp_path, anchored)
    pins = AnchorsDocument.model_validate({"trusted": [WORM], "require": None}).pins(tmp_path)
    report = verify(pack, Trust(log=log.pin, anchors=pins), now=log.now)
    assert "anchor.invalid" in codes(report)


def test_a_fork_that_was_anchored_convicts(log: Made, tmp_path: Path, anchored: Path) -> None:
    """A note of another history, signed by the same log and anchored, contradicts the pack."""
    fork = Made(now=THEN)
    fork.work(3)
    assert fork.note() != log.note()
    fork.key = log.key
    record = AnchorRecord(
        kind="file", name="worm", note=fork.note(), at=THEN, proof={"file": "x.note"}
    )
    pack = log.pack(tmp_path / "fork.zip", anchors=[record.encode()])
    assert "tree.root" in codes(verify(pack, log.trust, now=log.now))
    del anchored


def test_every_finding_has_words() -> None:
    """In both languages."""
    found = {code for code in WORDS if code.startswith("anchor.")}
    assert {"anchor.invalid", "anchor.required", "anchor.unpinned", "anchor.untrusted"} <= found


def test_a_damaged_record_is_refused_by_the_exporter(
    log: Made, tmp_path: Path, anchored: Path
) -> None:
    """An exporter packs anchor records of its log, nothing else."""
    with pytest.raises(MifengError):
        log.pack(tmp_path / "bad.zip", anchors=[b"{}"])
    del anchored
