"""A witness cosigns one history per log, whatever it is sent and however often it restarts."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.auditlog.views import TreeView
from gateway.witnesses import Witnesses, WitnessesConfig
from mifeng.cli.witness import command
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, PeerError, RefusedError, TransportError, UsageError
from mifeng.pins import PinDocument
from mifeng.protocol import checkpoint, entries, merkle, note
from mifeng.protocol.checkpoint import Checkpoint, LogPin, verify_witnessed
from mifeng.protocol.merkle import SHA256, SM3, Digest, HashWorld
from mifeng.protocol.note import Ed25519NoteSigner, NoteSigner, Sm2NoteSigner
from mifeng.witness.client import Prove, WitnessClient
from mifeng.witness.keys import WitnessKeys
from mifeng.witness.server import Answer, Server, Witness
from mifeng.witness.state import State
from mifeng.witness.wire import MAX_REQUEST, SIZE_TYPE, AddCheckpoint
from tests.harness.bend import bent as spoilt
from tests.unit.auditlog import harness

NOW = 1_800_000_000
KEYS = WitnessKeys.generate("witness.example/w1")


class Log:
    """A log in a list, in either hash world."""

    def __init__(self, origin: str, world: HashWorld = SM3) -> None:
        self.origin, self.world = origin, world
        self.entries: list[bytes] = []
        self.signer: NoteSigner = (
            Sm2NoteSigner(origin, SigningKey.generate("sm2"))
            if world is SM3
            else Ed25519NoteSigner(origin, Ed25519PrivateKey.generate())
        )

    @property
    def pin(self) -> LogPin:
        """The log as its verifiers know it."""
        keys = (self.signer.key,)
        return LogPin(origin=self.origin, world=self.world, keys=keys, witnesses=(), quorum=0)

    def grow(self, count: int, text: bytes = b"entry") -> "Log":
        """Append entries."""
        self.entries += [b"%b %d" % (text, len(self.entries) + i) for i in range(count)]
        return self

    def _get(self, level: int, index: int) -> Digest:
        data = self.entries[index << level : (index + 1) << level]
        leaves = self.world.leaf_hashes(data)
        return merkle.root(self.world, merkle.extend(self.world, (), 0, leaves)[0])

    def note(self, size: int | None = None) -> bytes:
        """Return the signed checkpoint at a size."""
        size = len(self.entries) if size is None else size
        root = merkle.root_at(self.world, self._get, size)
        return checkpoint.sign(Checkpoint(origin=self.origin, size=size, root=root), [self.signer])

    def path(self, old: int, new: int | None = None) -> tuple[Digest, ...]:
        """Return the consistency proof between two sizes."""
        new = len(self.entries) if new is None else new
        return tuple(merkle.consistency_path(self.world, self._get, old=old, new=new))

    def request(self, old: int, new: int | None = None) -> bytes:
        """Return the body of a request."""
        return AddCheckpoint(old=old, path=self.path(old, new), note=self.note(new)).encode()

    def prover(self) -> Prove:
        """Return what proves to a client of a witness."""

        async def prove(old: int) -> tuple[Digest, ...]:
            return self.path(old)

        return prove


@pytest.fixture
def log() -> Log:
    """A log with five entries."""
    return Log("log.example/one").grow(5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A witness's empty memory."""
    State.create(tmp_path / "state")
    return tmp_path / "state"


def witness(folder: Path, *logs: Log) -> Witness:
    """Return a witness of some logs, with its memory open until the test ends."""
    pins = {log.origin: log.pin for log in logs}
    return Witness(KEYS, pins, State(folder, pins), clock=lambda: NOW)


def cosigned(log: Log, answer: Answer) -> list[int | None]:
    """Verify an answer's lines under both keys and return their times."""
    assert answer.status == 200, answer.body
    signed = note.verify(note.parse(log.note() + answer.body), KEYS.public)
    return [line.time for line in signed]


@pytest.mark.parametrize("world", [SM3, SHA256], ids=["sm3", "sha256"])
async def test_a_log_is_followed(world: HashWorld, folder: Path) -> None:
    """From nothing, over growth, to the same size again: both keys cosign each time."""
    log = Log("log.example/any", world).grow(5)
    one = witness(folder, log)
    assert cosigned(log, await one.add_checkpoint(log.request(0))) == [NOW, NOW]
    for count in (1, 2, 4, 7):
        before = len(log.entries)
        log.grow(count)
        assert cosigned(log, await one.add_checkpoint(log.request(before)))
    size = len(log.entries)
    assert cosigned(log, await one.add_checkpoint(log.request(size)))


async def test_a_fork_is_never_cosigned(log: Log, folder: Path) -> None:
    """Another history under the same key is refused, and what convicts it is kept."""
    one = witness(folder, log)
    await one.add_checkpoint(log.request(0))
    fork = Log(log.origin)
    fork.signer = log.signer
    fork.grow(5, b"other")
    same_size = await one.add_checkpoint(fork.request(5))
    assert (same_size.status, same_size.body, same_size.kind) == (409, b"5\n", SIZE_TYPE)
    fork.grow(3, b"other")
    assert (await one.add_checkpoint(fork.request(5))).status == 422
    kept = list((folder / "evidence").iterdir())
    assert len(kept) == 2
    assert all(AddCheckpoint.decode(path.read_bytes()) for path in kept)
    log.grow(1)
    assert cosigned(log, await one.add_checkpoint(log.request(5)))


async def test_it_never_goes_back(log: Log, folder: Path) -> None:
    """A smaller tree, an old size it is not at, and a proof that starts elsewhere are refused."""
    one = witness(folder, log)
    await one.add_checkpoint(log.request(0))
    smaller = await one.add_checkpoint(log.request(0, 3))
    assert (smaller.status, smaller.body) == (409, b"5\n")
    assert (await one.add_checkpoint(log.request(3))).body == b"5\n"
    above = AddCheckpoint(old=9, path=(), note=log.note()).encode()
    assert (await one.add_checkpoint(above)).status == 400
    log.grow(4)
    unproven = AddCheckpoint(old=5, path=(), note=log.note()).encode()
    assert (await one.add_checkpoint(unproven)).status == 422


async def test_who_may_ask(log: Log, folder: Path) -> None:
    """An unknown log is 404, one without its log's signature 403, nonsense 400."""
    one = witness(folder, log)
    stranger = Log("log.example/two").grow(1)
    assert (await one.add_checkpoint(stranger.request(0))).status == 404
    forged = Log(log.origin).grow(1)
    assert (await one.add_checkpoint(forged.request(0))).status == 403
    assert (await one.add_checkpoint(b"old 0\n\nnothing\n")).status == 400


async def test_it_remembers_over_restarts(log: Log, folder: Path) -> None:
    """After a restart it is where it was; while it runs nobody else uses its memory."""
    first = witness(folder, log)
    await first.add_checkpoint(log.request(0))
    with pytest.raises(UsageError):
        witness(folder, log)
    first.state.__exit__()
    second = witness(folder, log)
    assert (await second.add_checkpoint(log.request(0))).body == b"5\n"
    log.grow(2)
    assert cosigned(log, await second.add_checkpoint(log.request(5)))
    second.state.__exit__()


async def test_a_lost_or_damaged_memory_stops_it(log: Log, folder: Path) -> None:
    """It does not start from nothing by itself, nor from something that is not the log's."""
    one = witness(folder, log)
    await one.add_checkpoint(log.request(0))
    one.state.__exit__()
    (path,) = folder.glob("*.note")
    good = path.read_bytes()
    path.write_bytes(good[:-8])
    with pytest.raises(UsageError):
        witness(folder, log)
    path.write_bytes(good)
    witness(folder, log).state.__exit__()
    with pytest.raises(UsageError):
        State(folder.parent, {})


async def test_what_is_not_remembered_is_not_cosigned(log: Log, folder: Path) -> None:
    """If the disk fails there is no cosignature."""
    one = witness(folder, log)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    one.state.remember = full  # type: ignore[method-assign]
    assert (await one.add_checkpoint(log.request(0))).status == 503


async def test_concurrent_requests_follow_one_history(log: Log, folder: Path) -> None:
    """Of many racing requests each either extends what is remembered or is told where that is."""
    log.grow(20)
    one = witness(folder, log)
    await one.add_checkpoint(log.request(0, 5))
    answers = await asyncio.gather(
        *(one.add_checkpoint(log.request(5, new)) for new in range(6, 26))
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [200] + [409] * 19
    latest = one.state.latest(log.origin)
    assert latest is not None
    assert latest.checkpoint.size == 6


def test_the_request_has_one_spelling(log: Log) -> None:
    """It survives a round trip; a bent one is malformed, or not what was sent."""
    log.grow(3)
    data = log.request(5)
    assert AddCheckpoint.decode(data).encode() == data
    for bent in spoilt(data):
        try:
            found = AddCheckpoint.decode(bent)
        except MalformedError:
            continue
        assert found.encode() == bent
    for bad in (b"", b"old 01\n\n", b"old 1", b"old -1\n\nx", b"x" * (MAX_REQUEST + 1)):
        with pytest.raises(MalformedError):
            AddCheckpoint.decode(bad)
    with pytest.raises(MalformedError):
        AddCheckpoint.decode(b"old 1\n" + base64.b64encode(bytes(32)) + b"\n" * 1 + b"AA==\n\n")


# Over the wire.

Serve = Callable[..., Awaitable[tuple[str, Witness]]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts witnesses on unix sockets and ends them after the test."""
    running: list[tuple[Server, Witness]] = []

    async def start(*logs: Log, name: str = "w1") -> tuple[str, Witness]:
        folder = tmp_path / name
        State.create(folder)
        pins = {log.origin: log.pin for log in logs}
        keys = WitnessKeys.generate(f"witness.example/{name}")
        made = Witness(keys, pins, State(folder, pins))
        server = Server(made)
        listen = f"unix:{tmp_path / name}.sock"
        await server.start(listen)
        running.append((server, made))
        return listen, made

    yield start
    for server, made in running:
        await server.close()
        made.state.__exit__()


def client(listen: str, made: Witness, *, ed25519: bool = False) -> WitnessClient:
    """Return a client of a witness."""
    return WitnessClient(listen, made.keys.public[ed25519], timeout_s=10)


@pytest.mark.parametrize("ed25519", [False, True], ids=["sm2", "ed25519"])
async def test_a_client_finds_out_where_the_witness_is(
    serve: Serve, log: Log, *, ed25519: bool
) -> None:
    """A client that knows nothing, or the wrong thing, proves from where it is told."""
    listen, made = await serve(log)
    asker = client(listen, made, ed25519=ed25519)
    line = await asker.cosign(log.note(), 5, log.prover())
    assert line.name == "witness.example/w1"
    await asker.close()
    log.grow(6)
    again = client(listen, made, ed25519=ed25519)
    await again.cosign(log.note(), 11, log.prover())
    assert again.known == 11
    await again.close()


async def test_http_edges(serve: Serve, log: Log, tmp_path: Path) -> None:
    """Other paths, methods and lengths are answered; a broken request ends the connection."""
    listen, _ = await serve(log)
    transport = httpx.AsyncHTTPTransport(uds=listen.removeprefix("unix:"))
    async with httpx.AsyncClient(transport=transport, base_url="http://w") as http:
        assert (await http.get("/add-checkpoint")).status_code == 405
        assert (await http.head("/add-checkpoint")).status_code == 405
        assert (await http.post("/else")).status_code == 404
        assert (await http.post("/add-checkpoint", content=b"x" * 300_000)).status_code == 413
        assert (await http.post("/add-checkpoint", content=log.request(0))).status_code == 200
    reader, writer = await asyncio.open_unix_connection(listen.removeprefix("unix:"))
    writer.write(b"nonsense\r\n\r\n")
    assert await reader.read() == b""
    writer.close()


async def test_n_of_m(serve: Serve, log: Log, tmp_path: Path) -> None:
    """The gateway's client has enough when the quorum has cosigned, and says who has not."""
    reached = [await serve(log, name=f"w{i}") for i in (1, 2)]
    ignorant = await serve(Log("log.example/other"), name="w3")
    members = [client(*each) for each in (*reached, ignorant)]
    gone = WitnessClient(f"unix:{tmp_path}/gone.sock", KEYS.public[0], timeout_s=1)
    pool = Witnesses([*members, gone], quorum=2)
    got = await pool.gather(log.note(), 5, log.prover())
    assert (got.count, got.enough, got.alarming) == (2, True, ())
    assert got.refusals == (
        ("witness.example/w1", "transport"),
        ("witness.example/w3", "witness.404"),
    )
    witnesses = tuple(made.keys.public[0] for _, made in reached)
    pin = LogPin(origin=log.origin, world=SM3, keys=log.pin.keys, witnesses=witnesses, quorum=2)
    assert len(verify_witnessed(got.note, pin).cosigned) == 2
    await pool.close()


async def test_a_witness_that_knows_another_history_is_an_alarm(serve: Serve, log: Log) -> None:
    """A log restored to an older state, and forked since, meets its witness."""
    listen, made = await serve(log)
    asker = client(listen, made)
    await asker.cosign(log.note(), 5, log.prover())
    await asker.close()
    fork = Log(log.origin)
    fork.signer = log.signer
    for size in (5, 3, 9):
        fork.entries.clear()
        fork.grow(size, b"other")
        pool = Witnesses([client(listen, made)], quorum=1)
        got = await pool.gather(fork.note(), size, fork.prover())
        assert not got.enough
        assert got.alarming or got.ahead > size, got.refusals
        await pool.close()


async def test_an_impostor_is_not_believed(serve: Serve, log: Log) -> None:
    """Whoever answers without the pinned witness's key gives nothing."""
    listen, _ = await serve(log)
    asker = WitnessClient(listen, KEYS.public[0], timeout_s=10)
    with pytest.raises(PeerError):
        await asker.cosign(log.note(), 5, log.prover())
    await asker.close()
    nowhere = WitnessClient("unix:/nonexistent", KEYS.public[0], timeout_s=1)
    with pytest.raises(TransportError):
        await nowhere.cosign(log.note(), 5, log.prover())
    await nowhere.close()


async def test_a_stale_note_is_not_sent(log: Log) -> None:
    """A client that knows the witness to be ahead does not even ask."""
    asker = WitnessClient("unix:/nonexistent", KEYS.public[0], timeout_s=1)
    asker.known = 9
    with pytest.raises(RefusedError):
        await asker.cosign(log.note(), 5, log.prover())
    await asker.close()


def test_the_configuration_of_a_gateway_is_strict() -> None:
    """A log's key is no witness's key, nobody counts twice, and a quorum must be reachable."""
    member = {"url": "https://w.example", "key": KEYS.public[0].encode()}
    assert Witnesses.of(WitnessesConfig.model_validate({"members": [member], "quorum": 1}))
    log_key = Log("log.example/x").signer.key.encode()
    twin = {"twin_key": KEYS.public[1].encode()}
    other = WitnessKeys.generate("witness.example/w2").public[0]
    second = {"url": "https://v.example", "key": other.encode()}
    assert Witnesses.of(WitnessesConfig.model_validate({"members": [member, second], "quorum": 2}))
    for wrong in (
        {"members": [member], "quorum": 2},
        {"members": [member | {"key": log_key}], "quorum": 1},
        {"members": [member | {"key": "?"}], "quorum": 1},
        {"members": [member | twin, second | twin], "quorum": 2},
    ):
        with pytest.raises(ValueError, match=r"quorum|key"):
            WitnessesConfig.model_validate(wrong)


def test_what_clients_and_auditors_pin_is_strict() -> None:
    """No log cosigns itself: a key without times is no witness's, and two keys are not two."""
    log_key = Log("log.example/x").signer.key.encode()
    sm2, ed25519 = (key.encode() for key in KEYS.public)
    pinned = {"origin": "log.example/x", "keys": [log_key], "witnesses": [sm2], "quorum": 1}
    assert PinDocument.model_validate(pinned).pin().quorum == 1
    for wrong in (
        {"witnesses": [log_key]},
        {"witnesses": [sm2, log_key]},
        {"witnesses": [sm2, ed25519], "quorum": 2},
        {"witnesses": [], "quorum": 1},
    ):
        with pytest.raises(ValueError, match=r"quorum|witnesses"):
            PinDocument.model_validate(pinned | wrong).pin()


def test_keygen_and_show(tmp_path: Path, log: Log) -> None:
    """Keys are made once and shown as what others pin."""
    (tmp_path / "passphrase").write_text("correct horse battery staple")
    keys = [key.encode() for key in log.pin.keys]
    document = {
        "name": "witness.example/w1",
        "listen": "tcp:127.0.0.1:0",
        "keys": "keys",
        "passphrase": "passphrase",
        "state": "state",
        "logs": [{"origin": log.origin, "world": "sm3", "keys": keys}],
    }
    path = tmp_path / "witness.yaml"
    path.write_text(yaml.safe_dump(document))
    runner = CliRunner()
    made = runner.invoke(command, ["keygen", "-c", str(path)])
    assert made.exit_code == 0, made.exception
    shown = runner.invoke(command, ["show", "-c", str(path)])
    assert shown.output == made.output
    first, second = (note.NoteKey.decode(line) for line in shown.output.split())
    assert first.type is note.SignatureType.SM2_COSIGNATURE
    assert second.type is note.SignatureType.COSIGNATURE
    again = runner.invoke(command, ["keygen", "-c", str(path)])
    assert isinstance(again.exception, UsageError)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "two words"},
        {"listen": "nowhere"},
        {"logs": []},
        {"more": 1},
        {"logs": [{"origin": "a", "world": "md5", "keys": ["k"]}]},
        {"logs": [{"origin": "a", "world": "sm3", "keys": ["k"]}]},
        {"logs": "twice"},
        {"passphrase": "absent"},
        {"keys": "absent"},
        {"passphrase": "wrong"},
    ],
)
def test_a_witness_is_configured_completely_or_not_at_all(
    change: dict[str, object], prepared: Path, tmp_path: Path
) -> None:
    """Every key is needed and known; keys and memory are those that keygen made."""
    folder = shutil.copytree(prepared, tmp_path / "w")
    path = folder / "witness.yaml"
    document = yaml.safe_load(path.read_text())
    wanted = {"logs": document["logs"] * 2} if change == {"logs": "twice"} else change
    path.write_text(yaml.safe_dump(document | wanted))
    served = CliRunner().invoke(command, ["serve", "-c", str(path)])
    assert isinstance(served.exception, UsageError)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A witness's folder as keygen leaves it."""
    folder = tmp_path_factory.mktemp("witness")
    log = Log("log.example/one")
    (folder / "passphrase").write_text("correct horse battery staple")
    (folder / "wrong").write_text("another")
    document = {
        "name": "witness.example/w1",
        "listen": "unix:w.sock",
        "keys": "keys",
        "passphrase": "passphrase",
        "state": "state",
        "logs": [{"origin": log.origin, "world": "sm3", "keys": [log.signer.key.encode()]}],
    }
    path = folder / "witness.yaml"
    path.write_text(yaml.safe_dump(document))
    assert CliRunner().invoke(command, ["keygen", "-c", str(path)]).exit_code == 0
    return folder


async def test_a_real_log_is_witnessed_while_it_grows(serve: Serve, tmp_path: Path) -> None:
    """The gateway's own log proves to its witness from where that is, in both hash worlds."""
    audit = await harness.start(tmp_path)
    twin = audit.twin
    assert twin is not None
    listen, made = await serve_pins(serve, audit.pin, twin.pin)
    beat = entries.Heartbeat(at=harness.NOW, instance="g", interval=60)
    pools = [Witnesses([client(listen, made, ed25519=ed)], quorum=1) for ed in (False, True)]
    for count in (1, 300, 7):
        await asyncio.gather(*(audit.append(beat) for _ in range(count)))
        audit.publish()
        for view, pool, key in zip((audit.tree, twin), pools, made.keys.public, strict=True):
            shown = view.published

            async def prove(old: int, view: TreeView = view) -> tuple[Digest, ...]:
                return (await view.consistency(old, view.published.tree.size)).path

            got = await pool.gather(shown.note, shown.tree.size, prove)
            assert got.enough, got.refusals
            pin = replace(view.pin, witnesses=(key,), quorum=1)
            assert verify_witnessed(got.note, pin).checkpoint == shown.checkpoint
    await audit.close()
    for pool in pools:
        await pool.close()


async def serve_pins(serve: Serve, *pins: LogPin) -> tuple[str, Witness]:
    """Start a witness of logs that are known by their pins only."""
    logs = [Log(pin.origin, pin.world) for pin in pins]
    listen, made = await serve(*logs)
    made.logs = {pin.origin: pin for pin in pins}
    return listen, made
