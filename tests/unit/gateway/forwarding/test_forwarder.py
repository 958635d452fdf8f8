"""Forwarding to real receivers over UDP, TCP and TLS: sent, queued, dropped, counted and said."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.forwarding import forwarder as forwarding
from gateway.forwarding import transport
from gateway.forwarding.config import CentreConfig
from gateway.forwarding.event import Event
from gateway.forwarding.forwarder import Centre, Forwarder
from gateway.forwarding.syslog import Source
from gateway.forwarding.transport import Receiver
from mifeng.errors import UsageError
from tests.unit.gateway.forwarding import reading

SOURCE = Source(host="gw")


def event(number: int, name: str = "node.rejected", *, at: float = 1.0) -> Event:
    """Return a numbered event."""
    return Event(name=name, at=at, fields=(("index", number),))


class Received(asyncio.DatagramProtocol):
    """What a receiver got, over any transport."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.more = asyncio.Event()
        self.streams: set[asyncio.StreamWriter] = set()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """See `asyncio.DatagramProtocol`."""
        self.messages.append(data)
        self.more.set()

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a stream of counted octets until it ends."""
        self.streams.add(writer)
        left = b""
        try:
            while piece := await reader.read(65_536):
                found, left = reading.octet_counted(left + piece)
                self.messages += found
                self.more.set()
        finally:
            self.streams.discard(writer)
            writer.close()

    async def wait(self, count: int) -> list[reading.Read]:
        """Return the messages, as soon as there are so many."""
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self.more.clear()
                await self.more.wait()
        return [reading.syslog(message) for message in self.messages]


def numbers(read: list[reading.Read]) -> list[int]:
    """Return the numbers of numbered events."""
    params = [next(iter(message.elements.values())) for message in read]
    return [int(each["index"]) for each in params if "index" in each]


@pytest.fixture
async def tcp() -> AsyncIterator[tuple[Received, int]]:
    """A syslog receiver over TCP."""
    received = Received()
    server = await asyncio.start_server(received.stream, "127.0.0.1", 0)
    yield received, server.sockets[0].getsockname()[1]
    server.close()
    for writer in list(received.streams):
        writer.close()
    await server.wait_closed()


def made(port: int, kind: str = "tcp", *, queue: int = 1000, **more: Path) -> Forwarder:
    """Return a forwarder to this machine."""
    receiver = Receiver(kind=kind, host="127.0.0.1", port=port, **more)  # type: ignore[arg-type]
    return Forwarder(Centre(name="c", receiver=receiver, format="syslog", queue=queue), SOURCE)


async def test_tcp_carries_events_in_order(tcp: tuple[Received, int]) -> None:
    """Fifty events arrive once each, in order, counted octet by octet."""
    received, port = tcp
    sender = made(port)
    sender.start()
    for number in range(50):
        sender.offer(event(number))
    assert numbers(await received.wait(50)) == list(range(50))
    await sender.close()
    assert sender.status() == {
        "centre": "c",
        "connected": True,
        "sent": 50,
        "waiting": 0,
        "dropped": 0,
    }


async def test_udp_carries_one_message_in_one_datagram() -> None:
    """Each datagram is a whole message."""
    received = Received()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: received, ("127.0.0.1", 0))
    sender = made(transport.get_extra_info("sockname")[1], "udp")
    sender.start()
    for number in range(5):
        sender.offer(event(number))
    assert numbers(await received.wait(5)) == list(range(5))
    await sender.close()
    transport.close()


async def test_events_wait_for_a_receiver_that_comes_later(
    monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    """Nobody listens at first; what was queued arrives in order once somebody does."""
    monkeypatch.setattr(forwarding, "RETRY_S", 0.02)
    sender = made(unused_port)
    sender.start()
    for number in range(3):
        sender.offer(event(number))
    await asyncio.sleep(0.05)
    assert sender.status()["waiting"] == 3
    assert not sender.connected
    received = Received()
    server = await asyncio.start_server(received.stream, "127.0.0.1", unused_port)
    assert numbers(await received.wait(3)) == [0, 1, 2]
    await sender.close()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def unused_port() -> int:
    """A port nobody listens at."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_full_queue_drops_counts_and_says_so(
    monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    """The queue never grows; the first thing a receiver hears is how much is missing."""
    monkeypatch.setattr(forwarding, "RETRY_S", 0.02)
    sender = made(unused_port, queue=3)
    for number in range(10):
        sender.offer(event(number))
    assert sender.status()["waiting"] == 3
    assert sender.dropped == 7
    received = Received()
    server = await asyncio.start_server(received.stream, "127.0.0.1", unused_port)
    sender.start()
    first, *rest = await received.wait(4)
    assert first.msgid == "forwarding.dropped"
    assert next(iter(first.elements.values()))["size"] == "7"
    assert numbers(rest) == [0, 1, 2]
    await sender.close()
    server.close()
    await server.wait_closed()


async def test_a_flood_of_one_kind_leaves_room_for_others(tcp: tuple[Received, int]) -> None:
    """More than a hundred of one name in a second are counted, another name still passes."""
    received, port = tcp
    sender = made(port)
    for number in range(500):
        sender.offer(event(number, "tenant.unauthenticated"))
    sender.offer(event(1000, "node.rejected"))
    sender.start()
    read = await received.wait(102)
    assert read[0].msgid == "forwarding.dropped"
    assert next(iter(read[0].elements.values()))["size"] == "400"
    assert numbers(read)[-1] == 1000
    sender.offer(event(1001, "tenant.unauthenticated", at=2.0))
    assert numbers(await received.wait(103))[-1] == 1001
    await sender.close()


async def test_offering_never_waits(unused_port: int) -> None:
    """A receiver that is away, and a hundred thousand events: nothing blocks, memory is bounded."""
    sender = made(unused_port, queue=100)
    sender.start()
    for number in range(100_000):
        sender.offer(event(number, at=float(number)))
    assert sender.status()["waiting"] == 100
    assert sender.dropped == 99_900
    await sender.close()


async def test_a_broken_connection_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, tcp: tuple[Received, int]
) -> None:
    """After the receiver closes, later events arrive over a new connection."""
    monkeypatch.setattr(forwarding, "RETRY_S", 0.02)
    received, port = tcp
    sender = made(port)
    sender.start()
    sender.offer(event(0))
    await received.wait(1)
    for writer in list(received.streams):
        writer.close()
    await asyncio.sleep(0.05)
    sender.offer(event(1))
    assert numbers(await received.wait(2)) == [0, 1]
    await sender.close()


def certificate(folder: Path, *, name: str = "127.0.0.1") -> Path:
    """Write a self-signed certificate with its key, and return the file."""
    from ipaddress import ip_address

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(cert.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def test_tls_verifies_the_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The named CA's receiver gets the events; one with another certificate gets nothing."""
    monkeypatch.setattr(forwarding, "RETRY_S", 0.02)
    own = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other")
    received = Received()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server = await asyncio.start_server(received.stream, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    stranger = made(port, "tls", ca=other)
    stranger.start()
    stranger.offer(event(99))
    await asyncio.sleep(0.2)
    assert not stranger.connected
    assert not received.messages
    await stranger.close()
    sender = made(port, "tls", ca=own)
    sender.start()
    sender.offer(event(1))
    assert numbers(await received.wait(1)) == [1]
    await sender.close()
    server.close()
    await server.wait_closed()


def test_an_encrypted_key_is_a_configuration_error(tmp_path: Path) -> None:
    """Nobody is asked for a passphrase at a terminal: it is said at once, by the centre's name."""
    own = certificate(tmp_path)
    settings = {"name": "soc", "transport": "tls", "format": "cef", "host": "h", "port": 1}
    settings |= {"ca": own, "certificate": own}
    assert CentreConfig.model_validate(settings).centre().receiver.certificate == own
    pem = own.read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    closed = tmp_path / "closed.pem"
    closed.write_bytes(
        pem[: pem.index(b"-----BEGIN PRIVATE")]
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    centre = CentreConfig.model_validate(settings | {"certificate": closed})
    with pytest.raises(UsageError, match=r"forwarding\.centres\.soc: .* encrypted"):
        centre.centre()
    centre = CentreConfig.model_validate(settings | {"certificate": tmp_path / "none"})
    with pytest.raises(UsageError, match="No such file"):
        centre.centre()


async def test_cef_travels_the_same_way(tcp: tuple[Received, int]) -> None:
    """A CEF centre gets CEF messages."""
    received, port = tcp
    receiver = Receiver(kind="tcp", host="127.0.0.1", port=port)
    sender = Forwarder(Centre(name="c", receiver=receiver, format="cef", queue=9), SOURCE)
    sender.start()
    sender.offer(event(5))
    (read,) = await received.wait(1)
    assert reading.cef(read.text)[1]["cn1"] == "5"
    await sender.close()


async def test_a_receiver_that_does_not_read_keeps_nothing_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After giving up, the connection is gone, with everything that was written to it."""
    monkeypatch.setattr(transport, "SEND_S", 0.05)
    monkeypatch.setattr(transport, "CLOSE_S", 0.05)
    release = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024)
    port = server.sockets[0].getsockname()[1]
    stream = transport._Stream(Receiver(kind="tcp", host="127.0.0.1", port=port))
    await stream.send(b"x")
    writer = stream._writer
    assert writer is not None
    with pytest.raises(transport.TransportError):
        while True:
            await stream.send(b"x" * (1 << 20))
    await asyncio.sleep(0)
    assert writer.get_extra_info("socket").fileno() == -1
    release.set()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_a_name_that_is_none_is_a_receiver_that_is_away(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The sender lives on, and says what it dropped once there is somebody to say it to."""
    monkeypatch.setattr(forwarding, "RETRY_S", 0.01)
    receiver = Receiver(kind=kind, host="a" * 64 + ".example", port=1)  # type: ignore[arg-type]
    sender = Forwarder(Centre(name="c", receiver=receiver, format="cef", queue=2), SOURCE)
    sender.start()
    sender.offer(event(0))
    await asyncio.sleep(0.05)
    assert sender._task is not None
    assert not sender._task.done()
    assert sender.status()["waiting"] == 1
    await sender.close()
