"""What users touch: the command line's help, the gRPC schema, the wheel."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from google.protobuf import descriptor_pb2

from mifeng import grpcschema
from mifeng.cli.__main__ import VERBS, cli
from tests.packaging.trees import ROOT

SHIPPED = {"mifeng", "attestation", "policies"}


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group."""
    yield path
    if isinstance(group, click.Group):
        with click.Context(group) as context:
            for name in group.list_commands(context):
                if (inner := group.get_command(context, name)) is not None:
                    yield from commands(inner, (*path, name))


ALL_COMMANDS = list(commands(cli))


@pytest.mark.parametrize("words", ALL_COMMANDS, ids=lambda words: " ".join(("mifeng", *words)))
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    """`--help` works everywhere, says what the command does and describes each option."""
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) > 3
    command: click.Command = cli
    for word in words:
        with click.Context(command) as context:
            assert isinstance(command, click.Group)
            found = command.get_command(context, word)
            assert found is not None
            command = found
    assert command.help
    mute = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert mute == []


def test_every_verb_is_listed_with_a_sentence() -> None:
    """The list of verbs does not load them, so it must not drift from what there is."""
    files = {path.stem for path in (ROOT / "mifeng" / "cli").glob("*.py")}
    assert set(VERBS) <= files
    assert all(text.endswith(".") for text in VERBS.values())


@pytest.mark.parametrize("module", ["mifeng.cli", "gateway", "enclave", "benchmarks"])
def test_programs_start(module: str) -> None:
    """`python -m` of every program prints its usage without touching anything."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert re.search("usage", done.stdout, re.IGNORECASE)


def test_the_schema_is_the_proto_file(tmp_path: Path) -> None:
    """What is built at run time equals what protoc makes of the file partners read."""
    source = ROOT / "mifeng" / "protocol" / "mifeng.proto"
    out = tmp_path / "set.pb"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc"),
            f"--proto_path={source.parent}",
            f"--descriptor_set_out={out}",
            source.name,
        ],
        check=True,
        capture_output=True,
    )
    (compiled,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    built = grpcschema.file_descriptor()
    methods = {
        each.name: (each.input_type.rpartition(".")[2], each.output_type.rpartition(".")[2])
        for each in compiled.service[0].method
    }
    assert methods == grpcschema.METHODS
    assert f"{compiled.package}.{compiled.service[0].name}" == grpcschema.SERVICE
    assert [each.name for each in compiled.service[0].method if each.client_streaming] == ["Infer"]
    assert [each.name for each in compiled.service[0].method if each.server_streaming] == ["Infer"]
    for file in (compiled, built):
        file.ClearField("service")
        file.ClearField("name")
        for message in file.message_type:
            for field in message.field:
                field.ClearField("json_name")
    assert built == compiled


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked wheel, built without the optional extension from a copy of the tree."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in (*SHIPPED, "gateway", "enclave", "accel_backends", "tests/harness"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy,
        env=os.environ | {"MIFENG_BUILD_NATIVE": "0"},
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    unpacked = out / "unpacked"
    zipfile.ZipFile(path).extractall(unpacked)
    return unpacked


def test_the_wheel_holds_what_partners_need_and_no_server(wheel: Path) -> None:
    """Three packages, their data and licence; no gateway, no node, no backend, no test."""
    top = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert top == SHIPPED
    for package in SHIPPED:
        have = {p.relative_to(wheel).as_posix() for p in (wheel / package).rglob("*.py")}
        want = {p.relative_to(ROOT).as_posix() for p in (ROOT / package).rglob("*.py")}
        assert have == want
        assert (wheel / package / "py.typed").exists()
    shipped = {path.name for path in (wheel / "policies").glob("*.yaml")}
    assert shipped == {path.name for path in (ROOT / "policies").glob("*.yaml")}
    assert list(wheel.glob("*.dist-info/licenses/LICENSE"))


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Client, command line and policies import and run; the demo says what is missing."""
    # Beside the installed dependencies, but before the checkout, wherever that is on the path.
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(wheel), "LANG": "C.UTF-8"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    code = "import mifeng, policies; print(mifeng.__file__); mifeng.Client; policies.shipped"
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(wheel))
    done = run("-m", "mifeng.cli", "policy", "show", "production-h100-tdx")
    assert done.returncode == 0, done.stderr
    done = run("-m", "mifeng.cli", "demo")
    assert done.returncode == 2, done.stderr
    assert "checkout" in done.stderr
