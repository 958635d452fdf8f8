"""Socket files of the gateway: their mode, and what is not taken over."""

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import main as gateway
from gateway.config import ConfigError
from gateway.listening import bound, restrict


async def hello(_scope: object, _receive: object, send: Any) -> None:
    """Answer as an application does."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
async def test_a_served_socket_is_for_user_and_group(umask: int, tmp_path: Path) -> None:
    """The mode that the server listens under is ours, and what a crash left is replaced."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    before = os.umask(umask)
    try:
        server = gateway._uvicorn(hello, f"unix:{path}")
    finally:
        os.umask(before)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as client:
        assert (await client.get("http://g/")).text == "hello"
    server.should_exit = True
    await serving


def test_what_is_there_is_not_taken_over(tmp_path: Path) -> None:
    """Another process's socket, a file, a folder that is not there: refused by name."""
    path = tmp_path / "s"
    with bound(path) as first:
        first.listen()
        with pytest.raises(ConfigError, match="somebody listens"):
            bound(path)
    bound(path).close()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="no socket"):
        bound(tmp_path / "file")
    for place in (tmp_path / "none" / "s", tmp_path / ("s" * 120)):
        with pytest.raises(ConfigError, match=f"unix:{place}"):
            bound(place)


def test_a_librarys_socket_is_restricted(tmp_path: Path) -> None:
    """What gRPC has bound gets the same mode; an address of a network has none."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    path.chmod(0o777)
    restrict(f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    restrict("tcp:127.0.0.1:1")
