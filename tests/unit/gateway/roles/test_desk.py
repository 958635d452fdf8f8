"""Administrators' actions: on record before they happen, or they do not happen."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api import admin
from gateway.auditlog.errors import LogUnavailableError
from gateway.roles.actions import ROLES, Action
from gateway.roles.desk import Desk
from gateway.subjects.people import People
from gateway.subjects.store import SubjectStore
from mifeng.protocol import entries
from tests.unit.gateway.roles.test_directory import OTHER, TOKEN, office, person, stored


class Log:
    """A log in a list; refuses while `down`."""

    def __init__(self) -> None:
        self.entries: list[entries.Entry] = []
        self.down = False

    async def append(self, entry: entries.Entry) -> None:
        """See `AuditLog.append`."""
        await asyncio.sleep(0)
        if self.down:
            raise LogUnavailableError("down")
        self.entries.append(entry)


@pytest.fixture
async def served(tmp_path: Path) -> Any:
    """A desk behind its HTTP, with a log that can fail and a drain that is watched."""
    log = Log()
    store = SubjectStore.open(tmp_path / "s.db", tmp_path / "kek", b"passphrase")
    people = People(store, log, origin="o", clock=lambda: 7)  # type: ignore[arg-type]
    directory = office(
        person("a", "system", stored(TOKEN)), person("b", "audit", stored(OTHER))
    ).directory()
    drained: list[int] = []
    application = admin.build(
        admin.Administration(
            desk=Desk(directory, people, log, clock=lambda: 7),  # type: ignore[arg-type]
            people=people,
            operations=type("No", (), {"audit": None, "nodes": None, "relay": None})(),
            policy=b"name: p\n",
            drain=lambda: drained.append(1),
            forwarding=lambda: {"centres": []},
        )
    )
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        yield client, log, drained
    await people.close()


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"authorization": f"Bearer {token}"}


async def test_while_the_log_is_down_nobody_does_anything(served: Any) -> None:
    """503, and the action did not happen; afterwards it does, and is on record first."""
    client, log, drained = served
    log.down = True
    answer = await client.post("/v1/admin/drain", headers=bearer(TOKEN))
    assert answer.status_code == 503
    assert answer.json()["code"] == "log.unavailable"
    assert drained == []
    log.down = False
    assert (await client.post("/v1/admin/drain", headers=bearer(TOKEN))).status_code == 202
    assert drained == [1]
    (entry,) = log.entries
    assert isinstance(entry, entries.Admin)
    assert (entry.action, entry.role, entry.success, entry.at) == (
        "gateway.drain",
        "system",
        True,
        7,
    )


async def test_a_refusal_names_the_role_and_is_on_record(served: Any) -> None:
    """Another role is told whose action it is; nothing happened."""
    client, log, drained = served
    answer = await client.post("/v1/admin/drain", headers=bearer(OTHER))
    assert answer.status_code == 403
    assert answer.json()["detail"] == f"gateway.drain belongs to {ROLES[Action.DRAIN].value}"
    assert drained == []
    assert [entry.success for entry in log.entries] == [False]


async def test_one_person_is_one_actor(served: Any) -> None:
    """All entries of a person carry one commitment, those of another a different one."""
    client, log, _ = served
    for token in (TOKEN, TOKEN, OTHER):
        await client.post("/v1/admin/drain", headers=bearer(token))
    first, again, other = (entry.actor for entry in log.entries)
    assert first == again != other


async def test_what_is_no_route_is_no_action(served: Any) -> None:
    """Unknown paths and methods are plain errors, without an entry."""
    client, log, _ = served
    assert (await client.get("/v1/admin/nothing", headers=bearer(TOKEN))).status_code == 404
    assert (await client.delete("/v1/admin/status", headers=bearer(TOKEN))).status_code == 405
    assert log.entries == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"subject": "zz"},
        {"subject": "00"},
        {"tenant": "\ud800", "reference": "00" * 32},
        {"tenant": 7, "reference": "00" * 32},
        {"tenant": "bank-a", "reference": "00" * 32},
    ],
)
async def test_what_does_not_come_about_is_on_record_as_such(served: Any, body: object) -> None:
    """Whatever is wrong with what is asked: permitted, recorded, and recorded as failed."""
    client, log, _ = served
    content = json.dumps(body)
    answer = await client.post("/v1/admin/subjects/open", headers=bearer(OTHER), content=content)
    assert answer.status_code in (400, 404)
    assert [entry.success for entry in log.entries] == [True, False]


async def test_a_range_that_no_log_has_is_refused(served: Any) -> None:
    """Before anything is recorded, since an entry could not name it."""
    client, log, _ = served
    low = 10**100
    where = f"/v1/admin/log/entries?low={low}&high={low + 1}"
    answer = await client.get(where, headers=bearer(OTHER))
    assert answer.json()["code"] == "admin.malformed"
    assert log.entries == []
