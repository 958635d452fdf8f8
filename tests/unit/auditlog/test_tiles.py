"""Tiles: paths of the specification, contents, and what a growing log still has to publish."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auditlog.tiles import TilePlace, between, bundle, unbundle
from mifeng.errors import MalformedError, UsageError


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (TilePlace(level=0, index=0), "tile/0/000"),
        (TilePlace(level=0, index=273, width=112), "tile/0/273.p/112"),
        (TilePlace(level=2, index=0, width=1), "tile/2/000.p/1"),
        (TilePlace(level=4, index=1234067), "tile/4/x001/x234/067"),
        (TilePlace(level=None, index=5, width=7), "tile/entries/005.p/7"),
        (TilePlace(level=None, index=1000), "tile/entries/x001/000"),
    ],
)
def test_paths_are_those_of_the_specification(place: TilePlace, path: str) -> None:
    """c2sp.org/tlog-tiles' own examples, and bundles, both ways."""
    assert place.path == path
    assert TilePlace.parse(path) == place


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/8/0/000",
        "tile/data/000",
        "tile/0/000/",
        "../tile/0/000",
        "tile/0/x999/x999/x999/x999/x999/999",
        "tile/0/" + "x001/" * 40 + "001",
        "tile/0/٠٠٠",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    """A path has one spelling, a width below 256, and an index a tree can have."""
    with pytest.raises(MalformedError):
        TilePlace.parse(path)


@settings(max_examples=300)
@given(st.text(alphabet="tile/entrisx0123.p45", max_size=40))
def test_reading_a_path_is_total(path: str) -> None:
    """Whatever is asked for is one of ours, or refused."""
    try:
        assert TilePlace.parse(path).path == path
    except MalformedError:
        return


@settings(max_examples=200)
@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=5))
def test_what_is_published_in_steps_is_what_is_published_at_once(sizes: list[int]) -> None:
    """After any growth every tile of the tree is there, and no full one was written twice."""
    full: list[TilePlace] = []
    before, latest = 0, {}
    for size in sorted(sizes):
        for place in between(before, size):
            latest[place.level, place.index] = place.width
            if place.width == 256:
                full.append(place)
        before = size
    expected = {(p.level, p.index): p.width for p in between(0, before)}
    assert latest == expected
    assert len(full) == len(set(full))
    leaves = sum(width for (level, _), width in expected.items() if level == 0)
    bundled = sum(width for (level, _), width in expected.items() if level is None)
    assert leaves == bundled == before


@given(st.lists(st.binary(max_size=40), max_size=256))
def test_a_bundle_is_read_back(entries: list[bytes]) -> None:
    """Entries survive, and a bundle of another width or length is refused."""
    data = bundle(entries)
    assert unbundle(data, len(entries)) == entries
    for width, bent in ((len(entries) + 1, data), (len(entries), data + b"\0")):
        with pytest.raises(MalformedError):
            unbundle(bent, width)
    if data:
        with pytest.raises(MalformedError):
            unbundle(data[:-1], len(entries))


def test_what_does_not_fit_a_bundle_is_refused() -> None:
    """Lengths are counted in 16 bits, and a bundle has 256 entries."""
    assert len(bundle([bytes(65535)])) == 65537
    for entries in ([bytes(65536)], [b""] * 257):
        with pytest.raises(UsageError):
            bundle(entries)
    with pytest.raises(UsageError):
        list(between(5, 4))
