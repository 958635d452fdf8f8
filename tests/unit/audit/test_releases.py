"""An auditor who requires releases: of what nodes ran, from before they ran it, by known keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from attestation import EvidenceKind
from mifeng.audit.facts import Facts
from mifeng.audit.findings import Finding, Findings, Severity
from mifeng.audit.pack import Pack
from mifeng.audit.releases import NO_RELEASES, Released, ReleasePins
from mifeng.audit.report import Report
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import UsageError
from mifeng.protocol.release import Item, Statement
from tests.harness.world import MEASUREMENT
from tests.unit.audit.made import Made

KEY = SigningKey.generate("sm2")
OTHER = SigningKey.generate("sm2")
MEASURED = Item(kind="measurement", name="node", version="1", digest=f"sha384:{MEASUREMENT.hex()}")
MODEL = Item(kind="model", name="echo", version="1", digest="sm3:" + "07" * 32)
BOTH = (MEASURED, MODEL)
PINS = ReleasePins(keys=(KEY.verify_key(),), require=frozenset({"measurement", "model"}))
ANY = replace(PINS, keys=())


@dataclass
class Releasing(Made):
    """A log that releases before its first node comes, as `first` says."""

    first: Sequence[tuple[Item, ...]] = field(default=())
    by: SigningKey = KEY
    begun: bool = False

    def admit(self) -> None:
        """Release, once, then admit."""
        if not self.begun:
            self.begun = True
            for items in self.first:
                self.release(*items)
        super().admit()

    def release(self, *items: Item, withdrawn: bool = False, by: SigningKey | None = None) -> int:
        """Append what a document releases; return the index of the first entry."""
        statement = Statement(at=self.now, withdrawn=withdrawn, items=items)
        document = statement.sign(by or self.by)
        self.put(document)
        return min(self.add(e) for e in statement.entries(document, at=self.now))


def judge(made: Made, path: Path, pins: ReleasePins = PINS) -> tuple[Report, list[Finding]]:
    """Verify as an auditor with these pins, and return the findings about releases too."""
    report = verify(made.pack(path), replace(made.trust, releases=pins), now=made.now)
    return report, [each for each in report.findings if each.code.startswith("release.")]


def test_what_was_released_before_stands(tmp_path: Path) -> None:
    """Both are released and signed: nothing to find, with keys or without."""
    made = Releasing(first=[BOTH])
    made.work(2)
    for number, pins in enumerate((PINS, ANY)):
        report, found = judge(made, tmp_path / f"{number}.zip", pins)
        assert found == []
        assert report.stands


def test_nobody_asks_unless_the_trust_file_does(tmp_path: Path) -> None:
    """A log without releases stands for an auditor who requires none."""
    report, found = judge(Made(), tmp_path / "p.zip", NO_RELEASES)
    assert found == []
    assert report.stands


@pytest.mark.parametrize(
    ("items", "missing"),
    [((), ["measurement", "model"]), ((MEASURED,), ["model"]), ((MODEL,), ["measurement"])],
)
def test_what_is_not_released_is_named(
    tmp_path: Path, items: tuple[Item, ...], missing: list[str]
) -> None:
    """Each by its kind, at the KEYSET entry, with node, name and digest; the log does not stand."""
    made = Releasing(first=[items] if items else [])
    report, found = judge(made, tmp_path / "p.zip")
    assert sorted(each.code for each in found) == [f"release.{kind}" for kind in missing]
    assert all(each.severity is Severity.ERROR for each in found)
    assert all(each.indexes == (made.keyset_index,) for each in found)
    assert all(each.subject.startswith("node-1 ") for each in found)
    assert not report.stands


def test_only_what_is_required_is_asked_for(tmp_path: Path) -> None:
    """Models alone, or measurements alone."""
    made = Releasing(first=[(MODEL,)])
    assert judge(made, tmp_path / "p.zip", replace(ANY, require=frozenset({"model"})))[1] == []
    wanted = replace(ANY, require=frozenset({"measurement"}))
    (found,) = judge(made, tmp_path / "q.zip", wanted)[1]
    assert found.code == "release.measurement"


def test_evidence_that_measures_nothing_was_not_released(tmp_path: Path) -> None:
    """Where measurements are required, having none is wanting one, whatever models there are."""
    made = Releasing(first=[BOTH])
    nothing = SimpleNamespace(kind=EvidenceKind.SIMULATED, measurements={})
    key: Any = SimpleNamespace(claims=(nothing,))
    keyset: Any = SimpleNamespace(node_id="node-1", models={})
    for require, codes in (({"measurement", "model"}, ["release.measurement"]), ({"model"}, [])):
        found = Findings()
        with Pack(made.pack(tmp_path / f"{len(require)}.zip")) as pack, Facts() as facts:
            pins = replace(ANY, require=frozenset(require))
            Released(pack, facts, pins, found).check(made.keyset_index, key, keyset, ())
        assert [each.code for each in found.all()] == codes


def test_a_release_after_the_fact_is_too_late(tmp_path: Path) -> None:
    """The keyset before it is found, the one after it is not."""
    made = Releasing()
    early = made.keyset_index
    made.release(*BOTH)
    made.now += 60
    made.admit()
    _, found = judge(made, tmp_path / "p.zip")
    assert {each.code for each in found} == {"release.measurement", "release.model"}
    assert {each.indexes for each in found} == {(early,)}


def test_a_withdrawal_counts_from_then_on(tmp_path: Path) -> None:
    """The keyset before it stands; the one after it is found, with the withdrawal."""
    made = Releasing(first=[BOTH])
    at = made.release(MODEL, withdrawn=True)
    assert judge(made, tmp_path / "p.zip")[1] == []
    made.now += 60
    made.admit()
    (found,) = judge(made, tmp_path / "q.zip")[1]
    assert (found.code, found.indexes) == ("release.withdrawn", (at, made.keyset_index))
    made.release(MODEL)
    again = made.keyset_index
    made.now += 60
    made.admit()
    (found,) = judge(made, tmp_path / "r.zip")[1]
    assert found.indexes == (at, again)


def test_other_keys_count_for_nothing(tmp_path: Path) -> None:
    """Signed by a key that the trust file does not list; one without keys takes it."""
    made = Releasing(first=[BOTH], by=OTHER)
    assert judge(made, tmp_path / "p.zip", ANY)[1] == []
    _, found = judge(made, tmp_path / "q.zip")
    assert {each.code for each in found} == {"release.unsigned"}
    assert {each.indexes for each in found} == {(1,), (2,)}


def test_a_document_about_something_else_signs_nothing(tmp_path: Path) -> None:
    """An entry that names a signed document of other items, or of a withdrawal, is unsigned."""
    for statement in (
        Statement(at=1, withdrawn=False, items=(replace(MODEL, version="2"),)),
        Statement(at=1, withdrawn=True, items=BOTH),
    ):
        made = Releasing(first=[(MEASURED,)])
        document = statement.sign(KEY)
        made.put(document)
        (entry,) = Statement(at=1, withdrawn=False, items=(MODEL,)).entries(document, at=made.now)
        made.add(entry)
        made.now += 60
        made.admit()
        _, found = judge(made, tmp_path / f"{statement.withdrawn}.zip")
        assert "release.unsigned" in {each.code for each in found}


def test_a_document_that_is_not_there_signs_nothing(tmp_path: Path) -> None:
    """Left out of the pack: said as missing, and the release counts as unsigned."""
    made = Releasing(first=[BOTH])
    lost = [d for d, data in made.source.documents.items() if b"release+json" in data]
    assert lost
    for digest in lost:
        assert sm3(made.source.documents.pop(digest)) == digest
    report, found = judge(made, tmp_path / "p.zip")
    assert {each.code for each in found} == {"release.unsigned"}
    assert "document.missing" in {each.code for each in report.findings}


def test_the_trust_file_says_what_is_required(tmp_path: Path) -> None:
    """The section is a client's own; nothing in it has a default, and it may be left out."""
    made = Made()
    pin = {"origin": made.pin.origin, "keys": [made.signer.key.encode()]}
    document = {"log": pin | {"witnesses": [], "quorum": 0}, "policies": [], "exporters": []}
    section = {"keys": [KEY.public_bytes.hex()], "require": ["measurement", "model"]}
    path = tmp_path / "trust.yaml"

    def load(more: dict[str, object]) -> Trust:
        path.write_text(yaml.safe_dump(document | more))
        return Trust.load(path)

    assert load({}).releases == NO_RELEASES
    assert load({"releases": section}).releases.require == PINS.require
    assert len(load({"releases": section}).releases.keys) == 1
    for wrong in (
        section | {"require": []},
        section | {"require": ["image"]},
        section | {"keys": ["00"]},
        section | {"more": 1},
        {"require": ["model"]},
        "required",
    ):
        with pytest.raises(UsageError):
            load({"releases": wrong})
