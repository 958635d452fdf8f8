"""What a reading is made of: titled tables of names and values, or with columns of their own."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One table, as text."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    headings: tuple[str, ...] = ()
    """Of the columns; none where rows are a name and a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file says."""

    title: str
    parts: tuple[Part, ...]
    known: bool = True
    """Whether anything recognised the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Records of one shape, as a parser found them."""

    headings: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


Sections = Iterable[tuple[str, object]]
"""Titles, each with a `Grid` or with anything whose members are names and values."""
