"""Every file the manifest of the evidence collection judges stands in a case table here."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

from tests.vendor.runner import DIRECTORY, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".")
JUDGED = ("POSITIVE", "NEGATIVE", "EDGE", "must never be accepted", "claims-set validation vector")
NOT_CASES = frozenset({"test_manifest", "test_show"})


def strings(value: object) -> Iterator[str]:
    """Yield every text in a table, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Path):
        yield str(value)
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from strings(getattr(value, each.name))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from strings(key)
            yield from strings(each)
    elif isinstance(value, tuple | list | set | frozenset):
        for each in value:
            yield from strings(each)


def named() -> set[str]:
    """Return every path that a table of a module names."""
    found: set[str] = set()
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.stem not in NOT_CASES:
            module = import_module(f"tests.vendor.{path.stem}")
            for name, value in vars(module).items():
                if name.isupper():
                    found.update(strings(value))
    return found


def test_every_judged_file_is_a_case() -> None:
    """Positive, negative, edge: none of them is only mentioned."""
    with (HOME / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    judged = [row for row in rows if any(word in row["verdict"] for word in JUDGED)]
    assert len(judged) > 70
    tables = named()
    missing = [
        f"{row['kind']}/{row['file']}"
        for row in judged
        if not any(
            each == row["file"] or each.endswith(f"{row['kind']}/{row['file']}") for each in tables
        )
    ]
    assert missing == []
