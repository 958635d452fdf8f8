"""A real gateway with administrators, persons and a security centre: who may do what.

Every online action is tried with every role; each attempt is in the log. A person is named in
requests, opened by the auditor, erased by the security administrator; packs verify throughout.
"""

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from gateway.roles.actions import ROLES, Action, Role
from gateway.tenants import digest_key
from mifeng.audit.export import Choice, export
from mifeng.audit.source import SqliteSource
from mifeng.audit.subjects import SubjectKey, person
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.cli.__main__ import cli
from mifeng.client import AsyncClient, Client
from mifeng.demo.cluster import Cluster
from mifeng.errors import RefusedError
from mifeng.protocol import entries
from mifeng.protocol.subject import reference
from tests.e2e.conftest import models
from tests.unit.gateway.forwarding import reading
from tests.unit.proxy.fakes import session

pytestmark = pytest.mark.e2e

SECRET = bytes(range(32))
PERSON = reference(SECRET, "张三")
PEOPLE = {"s.system": Role.SYSTEM, "s.security": Role.SECURITY, "s.audit": Role.AUDIT}
TOKENS = {name: f"mfa_{name}_{'0' * 40}" for name in PEOPLE}


class SecurityCentre:
    """A syslog receiver over TCP in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.messages: list[reading.Read] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            left = b""
            with connection:
                while piece := connection.recv(65_536):
                    found, left = reading.octet_counted(left + piece)
                    with self._more:
                        self.messages += map(reading.syslog, found)
                        self._more.notify_all()

    def wait(self, name: str) -> dict[str, str]:
        """Return the values of the first event of a name."""

        def there() -> list[reading.Read]:
            return [message for message in self.messages if message.msgid == name]

        with self._more:
            assert self._more.wait_for(there, 20), name
            return next(iter(there()[0].elements.values()))

    def close(self) -> None:
        """Listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class World:
    """The cluster, its administrators and its security centre."""

    def __init__(self, cluster: Cluster, centre: SecurityCentre) -> None:
        self.cluster, self.centre = cluster, centre
        self.socket = cluster.directory / "admin.sock"

    def ask(self, who: str, verb: str, path: str, **more: Any) -> httpx.Response:
        """Send one administrative request."""
        token = TOKENS.get(who, who)
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://a"
        ) as client:
            headers = {"authorization": f"Bearer {token}"}
            return client.request(verb, path, headers=headers, timeout=30, **more)

    def client(self) -> Client:
        """Return a partner's client."""
        return Client(self.cluster.client_config())

    def logged(self) -> list[entries.Entry]:
        """Return all entries of the log."""
        with SqliteSource(self.cluster.log_database) as source:
            return [entries.decode(data) for data in source.entries(0, source.size)]

    def pack(self, path: Path) -> tuple[Path, Trust]:
        """Export and return a pack of everything, with what an auditor trusts."""
        config = self.cluster.client_config()
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.cluster.http_socket)), base_url="http://g"
        ) as client:
            durable, note = len(self.logged()), b""
            while not note or int(note.split(b"\n")[1]) < durable:
                note = client.get("/v1/log/checkpoint").content
                time.sleep(0.1)
        with SqliteSource(self.cluster.log_database) as source:
            export(source, [note], path, choice=Choice(), now=4_000_000_000)
        return path, Trust(log=config.terms().log)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running gateway and one node, with everything beside the data path."""
    directory = tmp_path_factory.mktemp("adm")
    centre = SecurityCentre()
    office = [
        {
            "name": name,
            "role": role.value,
            "tokens": [f"{'ab' * 16}:{digest_key(TOKENS[name], bytes.fromhex('ab' * 16)).hex()}"],
        }
        for name, role in PEOPLE.items()
    ]
    twice = digest_key("mfa_twice" + "0" * 40, bytes.fromhex("cd" * 16)).hex()
    other = digest_key("mfa_twice" + "0" * 40, bytes.fromhex("ef" * 16)).hex()
    office[0]["tokens"].append(f"{'cd' * 16}:{twice}")  # type: ignore[attr-defined]
    office[1]["tokens"].append(f"{'ef' * 16}:{other}")  # type: ignore[attr-defined]
    receiver = {"name": "soc", "transport": "tcp", "format": "syslog", "host": "127.0.0.1"}
    settings = {
        "subjects": {
            "database": str(directory / "subjects.db"),
            "key": str(directory / "subjects.kek"),
        },
        "administration": {"listen": f"unix:{directory}/admin.sock", "administrators": office},
        "forwarding": {"centres": [receiver | {"port": centre.port}], "host": "gw-1"},
    }
    token = directory / "system.token"
    token.write_text(TOKENS["s.system"])
    os.environ["MIFENG_ADMIN_TOKEN_FILE"] = str(token)
    cluster = Cluster(models(directory), nodes=1, directory=directory, gateway_settings=settings)
    try:
        with cluster:
            yield World(cluster, centre)
        # The last words of a gateway that was told to stop.
        centre.wait("gateway.stopped")
    finally:
        del os.environ["MIFENG_ADMIN_TOKEN_FILE"]
        centre.close()


ASKED: list[tuple[Action, str, str, dict[str, Any]]] = [
    (Action.STATUS, "GET", "/v1/admin/status", {}),
    (Action.POLICY_READ, "GET", "/v1/admin/policy", {}),
    (Action.FORWARDING_READ, "GET", "/v1/admin/forwarding", {}),
    (Action.NODE_EXPIRE, "POST", "/v1/admin/nodes/node-9/expire", {}),
    (Action.SUBJECT_ERASE, "POST", "/v1/admin/subjects/erase", {"json": {"subject": "00" * 32}}),
    (Action.SUBJECT_OPEN, "POST", "/v1/admin/subjects/open", {"json": {"subject": "00" * 32}}),
    (Action.LOG_READ, "GET", "/v1/admin/log/entries?low=0&high=2", {}),
    (Action.LOG_EXPORT, "POST", "/v1/admin/log/export", {"json": {"scope": "all"}}),
    (Action.ADMINISTRATORS_READ, "GET", "/v1/admin/administrators", {}),
]
OFFLINE = {Action.LOG_CREATE, Action.LOG_RESTORE, Action.LOG_MOVE, Action.LOG_PRUNE}


def test_the_table_is_whole() -> None:
    """Every action has one role, and every action is tried below (draining last, offline apart)."""
    assert set(ROLES) == set(Action)
    assert {action for action, *_ in ASKED} | OFFLINE | {Action.DRAIN} == set(Action)


@pytest.mark.parametrize("who", list(PEOPLE))
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked[0].value)
def test_each_action_belongs_to_one_role(
    world: World, who: str, asked: tuple[Action, str, str, dict[str, Any]]
) -> None:
    """The role it belongs to may, the two others are refused by name; all of it is in the log."""
    action, verb, path, more = asked
    before = len(world.logged())
    answer = world.ask(who, verb, path, **more)
    recorded = [e for e in world.logged()[before:] if isinstance(e, entries.Admin)]
    assert (recorded[0].action, recorded[0].role) == (action.value, PEOPLE[who].value)
    if ROLES[action] is PEOPLE[who]:
        # A node or a person that there is not: permitted, and recorded as failed after all.
        unknown = action in {Action.NODE_EXPIRE, Action.SUBJECT_ERASE, Action.SUBJECT_OPEN}
        assert answer.status_code == (404 if unknown else 200), answer.text
        assert [e.success for e in recorded] == ([True, False] if unknown else [True])
    else:
        assert answer.status_code == 403
        assert answer.json()["code"] == "admin.role"
        assert action.value in answer.json()["detail"]
        assert [e.success for e in recorded] == [False]


@pytest.mark.parametrize("token", ["x", "x" * 60, "mfk_" + "0" * 48, "é" * 40])
def test_a_stranger_is_refused_and_told_to_the_security_centre(world: World, token: str) -> None:
    """No valid token: 401, nothing in the log that a stranger could fill, an event instead."""
    before = len([e for e in world.logged() if isinstance(e, entries.Admin)])
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(world.socket)), base_url="http://a"
    ) as client:
        header = f"Bearer {token}".encode()
        answer = client.get("/v1/admin/status", headers={b"authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] == "admin.unauthenticated"
    assert len([e for e in world.logged() if isinstance(e, entries.Admin)]) == before
    assert world.centre.wait("admin.refused")["operation"] == "gateway.status"


def test_a_token_of_two_persons_serves_neither(world: World) -> None:
    """One token in two roles is refused for both, by name."""
    answer = world.ask("mfa_twice" + "0" * 40, "GET", "/v1/admin/status")
    assert answer.status_code == 403
    assert answer.json()["code"] == "admin.two_roles"


@pytest.mark.parametrize(
    ("verb", "path", "more"),
    [
        ("GET", "/v1/admin/log/entries?low=5&high=5", {}),
        ("GET", "/v1/admin/log/entries?low=0&high=1001", {}),
        ("POST", "/v1/admin/log/export", {"json": {"scope": "a\nb"}}),
        ("POST", "/v1/admin/log/export", {"json": []}),
        ("POST", "/v1/admin/log/export", {"content": b"{" * 9000}),
        ("POST", "/v1/admin/subjects/open", {"json": {"tenant": "a"}}),
        ("POST", "/v1/admin/subjects/open", {"json": {"subject": 7}}),
        ("POST", "/v1/admin/subjects/open", {"json": {"tenant": 7, "reference": "5a" * 32}}),
    ],
)
def test_malformed_requests_are_refused(
    world: World, verb: str, path: str, more: dict[str, Any]
) -> None:
    """What is not a request of an action is refused with a code, never a server's error."""
    answer = world.ask("s.audit", verb, path, **more)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "admin.malformed"


def test_creating_the_log_was_recorded(world: World) -> None:
    """The offline action that made the log is in it, by the system administrator."""
    found = [e for e in world.logged() if isinstance(e, entries.Admin)]
    assert [e.role for e in found if e.action == "log.create"] == ["system"]


def test_actors_are_commitments_that_the_auditor_can_name(world: World) -> None:
    """Entries hold no administrator's name; the audit role sees which commitment is whose."""
    known = world.ask("s.audit", "GET", "/v1/admin/administrators").json()
    assert {name: each["role"] for name, each in known.items()} == {
        name: role.value for name, role in PEOPLE.items()
    }
    found = [e for e in world.logged() if isinstance(e, entries.Admin)]
    assert {e.actor.hex() for e in found} <= {each["actor"] for each in known.values()}
    with SqliteSource(world.cluster.log_database) as source:
        held = b"".join(source.entries(0, source.size))
    assert not [name for name in PEOPLE if name.encode() in held]


def test_verdicts_reach_the_security_centre(world: World) -> None:
    """The node's admission was told, with its name and assurance tier."""
    told = world.centre.wait("node.admitted")
    assert told["node"] == "node-1"
    assert told["tier"] == "simulated"
    world.centre.wait("gateway.listening")
    status = world.ask("s.security", "GET", "/v1/admin/forwarding").json()["centres"][0]
    assert status["sent"] > 0
    assert status["dropped"] == 0


def test_refused_partners_are_told_to_the_security_centre(world: World) -> None:
    """A wrong API key is an event."""
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(world.cluster.http_socket)), base_url="http://g"
    ) as client:
        assert client.get("/v1/attestations", params={"nonce": "00" * 32}).status_code == 401
    world.centre.wait("tenant.unauthenticated")


def test_a_person_is_named_opened_and_erased(world: World, tmp_path: Path) -> None:
    """From the request to the erasure, through the commands that people use."""
    x = np.asarray([1, -2], np.float32)
    with world.client() as client:
        first = client.infer("neg", {"x": x}, subject=PERSON)
        client.infer("neg", {"x": x}, subject=PERSON)
        client.infer("neg", {"x": x})
        with pytest.raises(RefusedError, match="need 32 bytes"):
            client.infer("neg", {"x": x}, subject=b"Zhang San")
    assert first.done is not None
    named = [e for e in world.logged() if isinstance(e, entries.Subject)]
    assert len(named) == 2
    assert len({e.subject for e in named}) == 1
    subject = named[0].subject
    before, trust = world.pack(tmp_path / "before.zip")
    report = verify(before, trust, now=4_000_000_000)
    assert not [f.code for f in report.findings if f.code.startswith(("subject", "erasure"))]

    key_file = tmp_path / "key.json"
    assert stat.S_IMODE(world.socket.stat().st_mode) == 0o660
    office = ["admin", "--gateway", f"unix:{world.socket}", "--token-file"]
    for who in PEOPLE:
        (tmp_path / who).write_text(TOKENS[who] + "\n")
    run = CliRunner()
    opened = run.invoke(
        cli,
        [
            *office,
            str(tmp_path / "s.audit"),
            "open",
            "--subject",
            subject.hex(),
            "--out",
            str(key_file),
        ],
    )
    assert opened.exit_code == 0, opened.output
    key = SubjectKey.load(key_file)
    shown = person(before, subject, key.key)
    assert [one.fields.reference for one in shown.opened] == [PERSON.hex()] * 2

    erase = ["log", "erase", "--gateway", f"unix:{world.socket}", "--subject", subject.hex()]
    refused = run.invoke(cli, [*erase, "--token-file", str(tmp_path / "s.system")])
    assert isinstance(refused.exception, RefusedError)
    assert refused.exception.code == "admin.role"
    erased = run.invoke(cli, [*erase, "--token-file", str(tmp_path / "s.security")])
    assert erased.exit_code == 0, erased.output
    assert json.loads(erased.output)["recorded"] is True

    again = world.ask("s.audit", "POST", "/v1/admin/subjects/open", json={"subject": subject.hex()})
    assert again.status_code == 404
    assert again.json()["code"] == "subject.unknown"
    held = b"".join(p.read_bytes() for p in world.cluster.directory.glob("subjects.*"))
    assert key.key not in held
    after, trust = world.pack(tmp_path / "after.zip")
    report = verify(after, trust, now=4_000_000_000)
    assert not [f.code for f in report.findings if f.code.startswith(("subject", "erasure"))]
    assert report.types["ERASURE"] >= 1
    assert person(after, subject, None).erased is not None
    # Also for those who know nothing of persons, the pack stands as it did.
    assert {f.code for f in report.findings} == {
        f.code for f in verify(before, trust, now=4_000_000_000).findings
    }


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
async def test_a_person_is_named_over_either_transport(world: World, *, grpc: bool) -> None:
    """By the asynchronous client, and by a program behind the proxy: one SUBJECT for each."""
    named = reference(SECRET, f"王五 {grpc}")
    before = len(world.logged())
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
    async with AsyncClient.from_config(world.cluster.client_config(grpc=grpc)) as client:
        await client.infer("neg", {"x": np.asarray([1], np.float32)}, subject=named)
        with pytest.raises(RefusedError) as refused:
            await client.infer("neg", {"x": np.asarray([1], np.float32)}, subject=b"Zhang San")
        assert refused.value.code == "subject.malformed"
        async with session(client) as http:
            head = {"mifeng-subject": named.hex()}
            answer = await http.post("/v2/models/neg/infer", json=body, headers=head)
            assert answer.json()["outputs"][0]["data"] == [-1]
            assert (await http.post("/v2/models/neg/infer", json=body)).status_code == 200
    found = [e for e in world.logged()[before:] if isinstance(e, entries.Subject)]
    assert [e.subject for e in found] == [found[0].subject] * 2


def test_a_partner_erases_its_own(world: World) -> None:
    """A tenant's own key erases whom it named, and nobody else."""
    x = np.asarray([1], np.float32)
    other = reference(SECRET, "李四")
    with world.client() as client:
        client.infer("neg", {"x": x}, subject=other)
    key = (world.cluster.directory / "api.key").read_text()
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(world.cluster.http_socket)), base_url="http://g"
    ) as client:
        headers = {"authorization": f"Bearer {key}"}
        done = client.delete(f"/v1/subjects/{other.hex()}", headers=headers, timeout=30)
        assert done.status_code == 200
        assert done.json()["recorded"] is True
        again = client.delete(f"/v1/subjects/{other.hex()}", headers=headers, timeout=30)
        assert again.status_code == 404
        assert client.delete("/v1/subjects/zz", headers=headers).status_code == 400
        assert client.delete(f"/v1/subjects/{other.hex()}").status_code == 401


def test_offline_actions_need_a_system_administrator(world: World, tmp_path: Path) -> None:
    """On the host, without a token or with another role's, nothing is done."""
    import subprocess
    import sys

    document = yaml.safe_load((world.cluster.directory / "gateway.yaml").read_text())
    document["subjects"] = {"database": str(tmp_path / "s.db"), "key": str(tmp_path / "s.kek")}
    document["log"]["database"] = str(tmp_path / "log.db")
    document["log"]["guard"] = str(tmp_path / "guard")
    document["log"]["keys"] = str(tmp_path / "keys")
    config = tmp_path / "gateway.yaml"
    config.write_text(yaml.safe_dump(document))
    (tmp_path / "audit").write_text(TOKENS["s.audit"])

    def create(**env: str) -> str:
        base = {k: v for k, v in os.environ.items() if k != "MIFENG_ADMIN_TOKEN_FILE"}
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "--config", str(config), "--create-log"],
            env=base | env,
            capture_output=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 78
        return done.stderr.decode()

    assert "MIFENG_ADMIN_TOKEN_FILE" in create()
    assert "admin.role" in create(MIFENG_ADMIN_TOKEN_FILE=str(tmp_path / "audit"))
    assert not (tmp_path / "log.db").exists()


def test_draining_comes_last(world: World) -> None:
    """Only the system administrator stops the gateway; it goes, and its log is whole."""
    for who in ("s.security", "s.audit"):
        assert world.ask(who, "POST", "/v1/admin/drain").status_code == 403
    assert world.ask("s.system", "POST", "/v1/admin/drain").status_code == 202
    assert world.cluster.gateway.popen is not None
    assert world.cluster.gateway.popen.wait(30) == 0
