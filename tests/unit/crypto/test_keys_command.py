"""`mifeng keys`: files with the right permissions, never overwritten, readable by others."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from mifeng.cli import keys
from mifeng.crypto import keyfiles, pbes2

if TYPE_CHECKING:
    from pathlib import Path

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _fewer_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write with 1000 PBKDF2 rounds here: these tests are about files."""
    monkeypatch.setattr(pbes2, "ITERATIONS", 1000)


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    """Return a file with a passphrase and a final newline."""
    path = tmp_path / "passphrase"
    path.write_bytes(b"open sesame\n")
    return path


def run(*arguments: object, stdin: str | None = None) -> tuple[int, str]:
    """Run `mifeng keys …` and return its status and output."""
    result = RUNNER.invoke(keys.command, [str(a) for a in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize("alg", keyfiles.KEY_ALGS)
def test_new_and_show_agree(tmp_path: Path, passphrase: Path, alg: str) -> None:
    """What `new` prints is what `show` says of both files."""
    out = tmp_path / "node.key"
    status, text = run("new", "--alg", alg, "--out", out, "--passphrase-file", passphrase, "--json")
    assert status == 0
    made = json.loads(text)
    assert made["alg"] == alg
    assert made["public_file"] == f"{out}.pub"
    for path in (made["private_file"], made["public_file"]):
        status, text = run("show", path, "--passphrase-file", passphrase, "--json")
        assert status == 0
        shown = json.loads(text)
        assert {name: made[name] for name in shown} == shown
        assert shown["alg"] == alg


def test_the_private_file_is_its_owners(tmp_path: Path, passphrase: Path) -> None:
    """Mode 0600, encrypted under the file's passphrase without its newline."""
    out = tmp_path / "key"
    assert run("new", "--alg", "sm2", "--out", out, "--passphrase-file", passphrase)[0] == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    key = keyfiles.read_signing_key(out.read_bytes(), b"open sesame")
    public = keyfiles.read_public((tmp_path / "key.pub").read_bytes())
    assert key.public_bytes == public.raw


@pytest.mark.parametrize("existing", ["key", "key.pub"])
def test_nothing_is_overwritten(tmp_path: Path, passphrase: Path, existing: str) -> None:
    """If either file is there, neither is touched."""
    (tmp_path / existing).write_text("mine")
    status, text = run(
        "new", "--alg", "sm2", "--out", tmp_path / "key", "--passphrase-file", passphrase
    )
    assert status == 1
    assert "exists" in text.replace("\n", " ")
    assert (tmp_path / existing).read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["passphrase", existing])


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    """A file with only a newline is no passphrase."""
    empty = tmp_path / "empty"
    empty.write_bytes(b"\n")
    status, _ = run("new", "--alg", "sm2", "--out", tmp_path / "key", "--passphrase-file", empty)
    assert status == 1
    assert not (tmp_path / "key").exists()


def test_the_passphrase_is_asked_for(tmp_path: Path) -> None:
    """Without a file it is typed, twice for a new key, and never echoed."""
    out = tmp_path / "key"
    status, text = run("new", "--alg", "p256", "--out", out, stdin="sesame\nsesame\n")
    assert status == 0
    assert "sesame" not in text
    status, text = run("show", out, stdin="sesame\n")
    assert status == 0
    assert "fingerprint sm3" in text


def test_a_wrong_passphrase_is_one_plain_error(tmp_path: Path, passphrase: Path) -> None:
    """No traceback, no detail, status 1."""
    out = tmp_path / "key"
    run("new", "--alg", "x25519", "--out", out, "--passphrase-file", passphrase)
    status, text = run("show", out, stdin="wrong\n")
    assert status == 1
    assert "Error:" in text


@pytest.mark.parametrize("contents", [b"", b"text", b"-----BEGIN PUBLIC KEY-----\n"])
def test_other_files_are_refused(tmp_path: Path, contents: bytes) -> None:
    """Something that is no key file gives a code, not a traceback."""
    path = tmp_path / "file"
    path.write_bytes(contents)
    status, text = run("show", path)
    assert status == 1
    assert "crypto.key" in text.replace("\n", " ")


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path, passphrase: Path) -> None:
    """The operating system's reason is passed on."""
    out = tmp_path / "no" / "key"
    status, text = run("new", "--alg", "sm2", "--out", out, "--passphrase-file", passphrase)
    assert status == 1
    assert "No such file" in text.replace("\n", " ")
