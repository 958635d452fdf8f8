"""Every example's ordinary program, through a proxy, a gateway and a node."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from mifeng.demo.cluster import Cluster

pytest.importorskip("openai", reason="two of the programs use OpenAI's library")
pytest.importorskip("skl2onnx", reason="risk scoring is trained and exported on the spot")
from examples.sealed import EXAMPLES, proxied

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("examples")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A cluster that serves every example, and the proxy's URL."""
    directory = tmp_path_factory.mktemp("mf")
    for name, example in EXAMPLES.items():
        example.write(directory / name)
    models = [example.entry(directory / name) for name, example in EXAMPLES.items()]
    with Cluster(models, nodes=1, directory=directory), proxied(directory) as url:
        yield directory, url


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ocr", ["91999912MA3K57TU8X", "99991219920229010X"]),
        ("fraud", ["10000 rows"]),
        ("chat", ["The capital of Peru is Lima."]),
        ("embeddings", ["SWIFT code"]),
        ("speech", ["spoken"]),
    ],
)
def test_an_ordinary_program_becomes_sealed(
    served: tuple[Path, str], name: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The program knows a URL and nothing of us; its results are right."""
    directory, url = served
    example = EXAMPLES[name]
    more = [directory / name / example.table] if example.table else []
    assert import_module(example.client).main(url, *more) == 0
    printed = capsys.readouterr().out
    assert [each for each in said if each not in printed] == []
