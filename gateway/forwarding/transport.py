"""Carry messages to one receiver: UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425).

Streams use octet counting, never a line break as the end: a message cannot forge another one.
TLS verifies the receiver against a named CA and its name; there is no switch to leave that out.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

CONNECT_S: Final = 5.0
SEND_S: Final = 5.0
CLOSE_S: Final = 1.0
_HIGH_WATER: Final = 64 * 1024

Kind = Literal["udp", "tcp", "tls"]


class TransportError(Exception):
    """The receiver cannot be reached, or went away; or our certificate cannot be used."""


class Transport(Protocol):
    """One connection, or none yet."""

    async def send(self, message: bytes) -> None:
        """Send one message; raises `TransportError`."""
        ...

    async def close(self) -> None:
        """Close."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where a security centre listens."""

    kind: Kind
    host: str
    port: int
    ca: Path | None = None
    """TLS: certificates that may have issued the receiver's."""
    certificate: Path | None = None
    """TLS: our own certificate and key, not encrypted, if the receiver asks for one."""


def open_transport(receiver: Receiver) -> Transport:
    """Return what carries messages there; connects when first used."""
    return _Datagrams(receiver) if receiver.kind == "udp" else _Stream(receiver)


class _Datagrams:
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._socket: socket.socket | None = None

    async def send(self, message: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._socket is None:
                async with asyncio.timeout(CONNECT_S):
                    self._socket = await self._connected(loop)
            await loop.sock_sendall(self._socket, message)
        except (OSError, UnicodeError) as exc:  # TimeoutError, and a name that is none
            await self.close()
            raise TransportError(type(exc).__name__) from exc

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        found = await loop.getaddrinfo(
            self._receiver.host, self._receiver.port, type=socket.SOCK_DGRAM
        )
        family, kind, number, _, address = found[0]
        made = socket.socket(family, kind, number)
        made.setblocking(False)  # noqa: FBT003 - the socket's own signature
        try:
            await loop.sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        return made

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Stream:
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    async def send(self, message: bytes) -> None:
        try:
            if self._writer is None or self._gone():
                await self.close()
                async with asyncio.timeout(CONNECT_S):
                    await self._connect()
            writer = self._writer
            assert writer is not None  # noqa: S101 - `_connect` returned
            writer.write(b"%d %b" % (len(message), message))
            async with asyncio.timeout(SEND_S):
                await writer.drain()
        except (OSError, UnicodeError) as exc:  # TimeoutError, ssl.SSLError; a name that is none
            await self.close()
            raise TransportError(type(exc).__name__) from exc

    def _gone(self) -> bool:
        """Whether the receiver closed: a syslog receiver sends nothing else."""
        return self._reader is not None and self._reader.at_eof()

    async def _connect(self) -> None:
        receiver = self._receiver
        context = _context(receiver) if receiver.kind == "tls" else None
        self._reader, self._writer = await asyncio.open_connection(
            receiver.host,
            receiver.port,
            ssl=context,
            server_hostname=receiver.host if context else None,
        )
        self._writer.transport.set_write_buffer_limits(high=_HIGH_WATER)

    async def close(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await writer.wait_closed()
            except OSError:  # TimeoutError is one: it does not read what we have written
                writer.transport.abort()


def _context(receiver: Receiver) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=receiver.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if receiver.certificate is not None:
        _load(context, receiver.certificate)
    return context


def _load(context: ssl.SSLContext, certificate: Path) -> None:
    """Load our certificate and key; OpenSSL would ask the terminal for a missing passphrase."""

    def encrypted() -> bytes:
        raise TransportError("its private key is encrypted; give one that is not, of mode 0600")

    context.load_cert_chain(certificate, password=encrypted)


def check(receiver: Receiver) -> None:
    """Return if our own certificate and key can be used.

    Raises:
        TransportError: they cannot; the message says why.
    """
    if receiver.certificate is None:
        return
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), receiver.certificate)
    except OSError as exc:  # ssl.SSLError is one
        raise TransportError(exc.strerror or type(exc).__name__) from exc
