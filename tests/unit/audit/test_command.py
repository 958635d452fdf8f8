"""`mifeng audit …` as scripts and people use it."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from mifeng.audit.findings import Finding, Severity
from mifeng.audit.story import tell
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.audit.wording import LANGS, WORDS, moment, place, text
from mifeng.cli.audit import command
from mifeng.crypto import keyfiles
from mifeng.errors import MifengError, UsageError
from mifeng.protocol import entries
from tests.unit.audit.made import Made
from tests.unit.audit.test_verify import LIES

THEN = 1_700_000_000


@pytest.fixture
def made() -> Made:
    """A log of some time ago, by the clock that commands read."""
    log = Made(now=THEN)
    log.work(2)
    return log


@pytest.fixture
def trust(made: Made, tmp_path: Path) -> Path:
    """A trust file for it."""
    pin = {
        "origin": made.pin.origin,
        "keys": [key.encode() for key in made.pin.keys],
        "witnesses": [],
        "quorum": 0,
    }
    path = tmp_path / "trust.yaml"
    path.write_text(yaml.safe_dump({"log": pin, "policies": [], "exporters": []}))
    return path


def run(*arguments: object, status: int = 0) -> Result:
    """Run a command and look at how it ended."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if not isinstance(result.exception, MifengError):
        assert result.exit_code == status, (result.output, result.exception)
    return result


def test_verify_for_people(made: Made, trust: Path, tmp_path: Path) -> None:
    """Both languages show the counts, the marks and the verdict."""
    pack = made.pack(tmp_path / "a.zip")
    english = run("verify", pack, "--trust", trust).output
    assert "it stands" in english
    assert "mark.unwitnessed" in english
    chinese = run("verify", pack, "--trust", trust, "--lang", "zh").output
    assert "证据成立" in chinese
    assert "远程证明重新评估" in chinese


def test_strict_counts_warnings(made: Made, trust: Path, tmp_path: Path) -> None:
    """What is not shown refutes only where that was asked for."""
    made.orphan(made.intent())
    pack = made.pack(tmp_path / "a.zip")
    run("verify", pack, "--trust", trust)
    run("verify", pack, "--trust", trust, "--strict", status=1)


def test_promises_from_files(made: Made, trust: Path, tmp_path: Path) -> None:
    """A promise that another entry broke refutes."""
    promise = tmp_path / "promise"
    promise.write_bytes(made.promise(4))
    made.source.log[4], made.source.log[6] = made.source.log[6], made.source.log[4]
    pack = made.pack(tmp_path / "a.zip")
    output = run("verify", pack, "--trust", trust, "--json", "--promise", promise, status=1).output
    assert "promise.broken" in {each["code"] for each in json.loads(output)["findings"]}


@pytest.mark.parametrize("lang", LANGS)
def test_the_story_of_each_end(made: Made, tmp_path: Path, lang: str) -> None:
    """Completed, refused, orphaned, late, under way: each is told, with what it was about."""
    refused = made.intent()
    made.refuse(refused)
    lost = made.intent()
    orphaned = made.orphan(lost)
    h = made.asked(lost).h
    receipt = made.receipt(lost, outcome="failed", reason="model.failed")
    late = entries.Late(at=made.now, h=h, intent=lost, orphaned=orphaned, receipt=receipt)
    made.add(late)
    open_ = made.intent()
    pack = made.pack(tmp_path / "a.zip")
    report = verify(pack, made.trust, now=made.now)
    words = {
        3: ("completed", "echo"),
        refused: ("node.busy", ""),
        lost: ("model.failed", "gateway.restart"),
        open_: ("", ""),
    }
    for index, shown in words.items():
        story = tell(pack, report, str(index), lang=lang)
        told = "\n".join(story.sentences)
        assert all(word in told for word in (*shown, "bank-a", "SIMULATED", "UNWITNESSED"))
        assert story.facts["node"] == "node-1"
        assert story.facts["evidence"] == ["simulated"]
        again = tell(pack, report, story.h.hex()[:12], lang=lang)
        assert again.sentences == story.sentences


def test_a_bad_request_says_so_in_its_story(made: Made, trust: Path, tmp_path: Path) -> None:
    """What the verification found about its entries stands at the end, and in the status."""
    intent = made.intent()
    made.complete(intent, prev=bytes(32))
    pack = made.pack(tmp_path / "a.zip")
    output = run("explain", pack, intent, "--trust", trust, "--lang", "zh", status=1).output
    assert "节点链分叉" in output


def test_requests_that_are_not_there(made: Made, tmp_path: Path) -> None:
    """An index without a request, a prefix too short or of nothing, no hex."""
    pack = made.pack(tmp_path / "a.zip")
    report = verify(pack, made.trust, now=made.now)
    for wanted in ("0", "999", "abc", "ffffffffffffffff", "not a request", ""):
        with pytest.raises(UsageError):
            tell(pack, report, wanted, lang="en")


def test_tables_hold_no_formulas(made: Made, tmp_path: Path) -> None:
    """Text from a log cannot run in a spreadsheet; what does not parse is shown as it is."""
    made.complete(made.intent(tenant="=cmd()"))
    made.add(b"\xffnonsense")
    pack = made.pack(tmp_path / "a.zip")
    for form in ("csv", "jsonl"):
        run("table", pack, "--format", form, "--out", tmp_path / form)
        assert run("table", pack, "--format", form, "--out", tmp_path / form).exception
    table = (tmp_path / "csv").read_text("utf-8-sig")
    assert ",'=cmd()," in table
    assert ",=cmd()" not in table
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == made.source.size
    assert lines[-1]["malformed"] == b"\xffnonsense".hex()
    assert lines[3]["payload"]["type"] == "INTENT"


def test_a_log_cannot_steer_a_terminal(made: Made, trust: Path, tmp_path: Path) -> None:
    """A node that writes escape sequences into its receipts is shown, not obeyed."""
    index = made.complete(made.intent(), device="\x1b[2Jgone", backend="a\nb")
    made.tally()
    pack = made.pack(tmp_path / "a.zip")
    told = run("explain", pack, index, "--trust", trust).output
    assert "\x1b" not in told
    assert "\ufffd[2Jgone" in told
    assert "a\nb" not in told


def test_packs_that_contradict_each_other(made: Made, tmp_path: Path) -> None:
    """Two exports of one log agree; one of another history does not."""
    first = made.pack(tmp_path / "a.zip")
    made.work(1)
    second = made.pack(tmp_path / "b.zip")
    assert "they agree" in run("diff", first, second).output
    made.source.log[4], made.source.log[6] = made.source.log[6], made.source.log[4]
    third = made.pack(tmp_path / "c.zip")
    assert "两包相互矛盾" in run("diff", second, third, "--lang", "zh", status=1).output
    found = json.loads(run("diff", second, third, "--json", status=1).output)
    assert found["first_differing"] == [4, 6]
    assert found["heads"] == [{"size": made.source.size, "world": "sm3"}]


def test_export_says_what_it_needs(made: Made, tmp_path: Path) -> None:
    """One source, one choice, a checkpoint, a readable key, a whole digest."""
    key, note = tmp_path / "key.pem", tmp_path / "note"
    pem, _ = keyfiles.generate("p256", b"correct horse")
    key.write_bytes(pem)
    note.write_bytes(made.note())
    (tmp_path / "pass").write_text("correct horse")
    out = ("--out", tmp_path / "x.zip")
    db = ("--database", note)
    for arguments in (
        (*out,),
        (*out, *db),
        (*out, *db, "--published", tmp_path),
        (*out, *db, "--tenant", "a", "--request", "00"),
        (*out, *db, "--request", "zz"),
        (*out, *db, "--from", "3", "--tenant", "a"),
        (*out, "--published", tmp_path),
        (*out, *db, "--sign", key, "--passphrase", tmp_path / "pass"),
        (*out, *db, "--sign", note),
    ):
        assert isinstance(run("export", *arguments).exception, UsageError), arguments
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"log": {}},
        {"policies": ["no-such"]},
        {"policies": ["absent.yaml"]},
        {"exporters": ["04"]},
        {"more": 1},
        {"exporters": None},
    ],
)
def test_a_trust_file_is_complete_or_refused(
    trust: Path, change: dict[str, object], tmp_path: Path
) -> None:
    """Nothing in it has a default, and nothing in it is ignored."""
    document = yaml.safe_load(trust.read_text()) | change
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(UsageError):
        Trust.load(path)
    with pytest.raises(UsageError):
        Trust.load(tmp_path / "absent.yaml")


def test_each_code_has_words() -> None:
    """Whatever is found can be said in both languages."""
    for code in [code for _, code in LIES]:
        assert code in WORDS
    for code, pair in WORDS.items():
        assert len(pair) == 2
        assert all(pair), code
        finding = Finding(code=code, severity=Severity.NOTE, subject="s", detail={"why": "w"})
        assert all("[s] (why=w)" in text(finding, lang) for lang in LANGS)
    many = Finding(code="end.twice", severity=Severity.ERROR, indexes=(1, 2), count=9)
    assert place(many, "en") == "entry 1, 2 … (+7)"
    assert place(many, "zh").startswith("条目 1, 2")


def test_moments_of_any_size() -> None:
    """A time beyond the calendar is shown as the number it is."""
    assert moment(0) == "1970-01-01 00:00:00 UTC"
    assert moment(2**53 - 1) == str(2**53 - 1)
