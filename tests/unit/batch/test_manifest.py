"""The job's file: what survives a crash, and what is not mistaken for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mifeng.batch import items
from mifeng.batch.manifest import FILE, Done, Manifest, State
from mifeng.errors import UsageError


def done(index: int, *, ok: bool = True, code: str = "", source: str = "") -> Done:
    """Return a finished item."""
    return Done(
        index=index,
        source=source or f"{index}.png",
        ok=ok,
        code=code,
        input_sm3="00" * 32,
        result="",
        log_index=index,
    )


def test_a_job_goes_on_where_it_was(tmp_path: Path) -> None:
    """States, ids and the number of items come back; results are where the manifest says."""
    manifest = Manifest.open(tmp_path / "out", model="ocr")
    manifest.finish(done(0), result=b"{}", receipt=b"r")
    manifest.finish(done(2005, ok=False, code="engine.failed"), result=None, receipt=None)
    identifier = manifest.item_id(7)
    assert manifest.path(2005) == "00002/00002005.json"
    manifest.close()
    again = Manifest.open(tmp_path / "out", model="ocr")
    assert again.state(0, "0.png") is State.OK
    assert again.state(1, "1.png") is State.NEW
    assert again.state(2005, "2005.png") is State.FAILED
    assert again.state(99_999, "x") is State.NEW
    assert again.item_id(7) == identifier
    assert again.item_id(8) != identifier
    assert (again.count(State.OK), again.count(State.FAILED)) == (1, 1)
    assert (tmp_path / "out/00000/00000000.json").read_bytes() == b"{}"
    assert (tmp_path / "out/00000/00000000.receipt.json").read_bytes() == b"r"
    assert (tmp_path / "out" / FILE).stat().st_mode & 0o077 == 0
    again.close()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_cut_by_a_crash_does_not_count(tmp_path: Path, cut: int) -> None:
    """Wherever the last line ends, the item before it is done and the cut one is new."""
    manifest = Manifest.open(tmp_path, model="ocr")
    manifest.finish(done(0), result=None, receipt=None)
    manifest.finish(done(1), result=None, receipt=None)
    manifest.close()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-cut])
    for _ in range(2):
        again = Manifest.open(tmp_path, model="ocr")
        assert again.state(0, "0.png") is State.OK
        assert again.state(1, "1.png") is State.NEW
        again.close()
    again = Manifest.open(tmp_path, model="ocr")
    again.finish(done(1), result=None, receipt=None)
    again.close()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line.get("index") for line in lines] == [None, 0, 1]


def test_what_was_sent_and_not_answered_is_known(tmp_path: Path) -> None:
    """A model that must not run twice: the line before sending is the last word."""
    manifest = Manifest.open(tmp_path, model="pay")
    for index in range(3):
        manifest.sending(index, f"{index}.png")
    manifest.finish(done(0), result=None, receipt=None)
    manifest.finish(done(1, ok=False, code="interrupted"), result=None, receipt=None)
    manifest.close()
    again = Manifest.open(tmp_path, model="pay")
    states = [again.state(index, f"{index}.png") for index in range(3)]
    assert states == [State.OK, State.SENT, State.SENT]
    again.close()


def test_other_files_are_not_the_job_s(tmp_path: Path) -> None:
    """An item's place is its name: another file there would get the wrong result."""
    manifest = Manifest.open(tmp_path, model="ocr")
    manifest.finish(done(0, source="a.png"), result=None, receipt=None)
    with pytest.raises(UsageError, match="same order"):
        manifest.state(0, "b.png")
    manifest.close()


def test_other_models_and_other_files_are_refused(tmp_path: Path) -> None:
    """A directory is one job's."""
    Manifest.open(tmp_path / "a", model="ocr").close()
    with pytest.raises(UsageError, match="holds a job for model 'ocr'"):
        Manifest.open(tmp_path / "a", model="other")
    (tmp_path / "b").mkdir()
    for content in (b"", b"x\n", b"[]\n", b'{"v": 2}\n', b'{"v":2,"model":"ocr","secret":"zz"}\n'):
        (tmp_path / "b" / FILE).write_bytes(content)
        with pytest.raises(UsageError):
            Manifest.open(tmp_path / "b", model="ocr")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second process is refused; a killed one leaves nothing behind."""
    hold = (
        "import sys, time; from pathlib import Path; from mifeng.batch.manifest import Manifest;"
        "held = Manifest.open(Path(sys.argv[1]), model='ocr');"
        "print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match="another process"):
        Manifest.open(tmp_path, model="ocr")
    process.kill()
    process.wait()
    process.stdout.close()
    Manifest.open(tmp_path, model="ocr").close()


def test_directories_stand_for_their_files(tmp_path: Path) -> None:
    """In the order of names, whatever the file system says; .jsonl line by line."""
    for name in ("b.png", "a.png", ".hidden", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub" / "d.jsonl").write_text('{"inputs":{}}\n\n{"inputs":{}}\n')
    found = [item.source.removeprefix(f"{tmp_path}/") for item in items.read([tmp_path])]
    assert found == ["a.png", "b.png", "sub/c.png", "sub/d.jsonl:1", "sub/d.jsonl:3"]
