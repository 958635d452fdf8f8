"""What documents and docstrings point at is there."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.packaging.trees import PACKAGES, ROOT, name_of

_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
_CITED = re.compile(r"docs/spec/([a-z-]+)\.md((?:[ ,]*§\d+(?:\.\d+)*(?:–\d+(?:\.\d+)*)?)*)")
_SECTION = re.compile(r"§(\d+(?:\.\d+)*)")
_HEADING = re.compile(r"^#{2,4} (\d+(?:\.\d+)*)\.? ", re.MULTILINE)

SOURCES = sorted(
    path
    for folder in (*PACKAGES, "tests", "benchmarks", "docs", "examples")
    for suffix in ("*.py", "*.c", "*.h", "*.md", "*.proto")
    for path in (ROOT / folder).rglob(suffix)
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@cache
def sections(name: str) -> frozenset[str]:
    """Return the numbers of a specification's headings."""
    text = (ROOT / "docs" / "spec" / f"{name}.md").read_text("utf-8")
    return frozenset(_HEADING.findall(text))


def test_cited_sections_exist() -> None:
    """Each `docs/spec/x.md §n` in code and documents names a heading that is there."""
    wrong = []
    for path in SOURCES:
        if path == Path(__file__):
            continue
        for name, numbers in _CITED.findall(path.read_text("utf-8")):
            if not (ROOT / "docs" / "spec" / f"{name}.md").exists():
                wrong.append(f"{name_of(path)}: no docs/spec/{name}.md")
                continue
            missing = set(_SECTION.findall(numbers)) - sections(name)
            wrong += [f"{name_of(path)}: docs/spec/{name}.md §{each}" for each in sorted(missing)]
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_between_files_lead_somewhere(document: Path) -> None:
    """Relative links of every document, the table of nine steps first of all."""
    targets = [target for target, _ in _LINK.findall(document.read_text("utf-8"))]
    broken = [
        target
        for target in targets
        if "://" not in target
        and not target.startswith("mailto:")
        and not (document.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_nine_steps_each_name_their_files(name: str) -> None:
    """Nine numbered rows, each with at least one link to a file or folder."""
    rows = re.findall(r"^\| (\d) \|(.+)$", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 10))
    assert all(_LINK.search(row) for _, row in rows)


def test_documents_name_no_machine() -> None:
    """No path of a developer's machine in anything that ships."""
    places = re.compile(r"(?<![\w.])/(?:root|home|work|Users)/")
    found = [
        name_of(path)
        for path in (*SOURCES, *DOCUMENTS, *(ROOT / "benchmarks" / "results").glob("*.json"))
        if path != Path(__file__) and places.search(path.read_text("utf-8"))
    ]
    assert found == []
