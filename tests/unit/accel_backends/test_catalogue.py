"""The catalogue claims nothing that the suite cannot show."""

import subprocess
import sys
from pathlib import Path

from accel_backends.catalogue import CATALOGUE, render

ROOT = Path(__file__).parents[3]


def test_every_requirement_has_a_row() -> None:
    """R-AC1 … R-AC12 are all there."""
    assert {route.requirement for route in CATALOGUE} == {f"R-AC{n}" for n in range(1, 13)}


def test_tested_rows_name_an_existing_test() -> None:
    """A row may say `tested` only with a test file that exists."""
    tested = [route for route in CATALOGUE if route.state == "tested"]
    assert tested
    assert all((ROOT / route.evidence).is_file() for route in tested)


def test_the_document_shows_this_table() -> None:
    """docs/backends.md holds the table as the program prints it."""
    printed = subprocess.run(
        [sys.executable, "-m", "accel_backends.catalogue"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == render()
    assert printed in (ROOT / "docs" / "backends.md").read_text()
