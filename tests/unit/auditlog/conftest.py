"""Storage that the tests of one process share."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.auditlog.config import LogConfig
from gateway.auditlog.places import PostgresPlace
from tests.unit.auditlog import harness
from tests.unit.auditlog.postgresserver import Server

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Return a running server, or skip."""
    with Server.run() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("pg"))])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., LogConfig]:
    """Return what makes the configuration of a log that does not exist yet, on either storage."""
    storage = None
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres_server")
        schema = f"log_{next(_NUMBERS)}"
        storage = PostgresPlace(dsn=server.dsn_file(tmp_path), schema=schema)

    def make(**changes: object) -> LogConfig:
        settings = harness.config(tmp_path)
        return replace(settings, **({"path": storage} if storage else {}), **changes)

    return make
