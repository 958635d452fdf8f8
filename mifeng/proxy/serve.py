"""Run the proxy: HTTP and, if asked for, gRPC, until a signal."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from mifeng.client import AsyncClient, ClientConfig
from mifeng.errors import UsageError

from .http import Fronts
from .listening import bound, local
from .upstream import Upstream


class _Http(uvicorn.Server):
    """uvicorn without its own signal handling, that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """Where the proxy listens and how strict it is."""

    listen: str
    """`127.0.0.1:PORT` or `unix:PATH`."""
    grpc: str | None
    token: str | None
    strict: bool


async def serve(
    config: ClientConfig, options: ProxyOptions, *, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: how the gateway is reached and what is trusted.
        options: see the class.
        ready: called once programs can connect.

    Raises:
        UsageError: an address cannot be listened on, or the configuration is unusable.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    place = local(options.listen)
    listener = bound(place)
    upstream = Upstream(AsyncClient.from_config(config), strict=options.strict)
    rpc = await _start_grpc(upstream, options) if options.grpc else None
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no loop signals
            loop.add_signal_handler(number, stop.set)
    # A stream that breaks on purpose is no crash; its reason is counted and told to the program.
    logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
    logging.getLogger("uvicorn.error").propagate = False
    http = _Http(
        uvicorn.Config(
            Fronts(upstream, token=options.token).app(),
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        ),
        ready,
    )
    upstream.start()
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    http.should_exit = True
    if rpc is not None:
        await rpc.stop(grace=5)
    await asyncio.gather(serving, return_exceptions=True)
    await upstream.close()
    if isinstance(place, Path):
        place.unlink(missing_ok=True)


async def _start_grpc(upstream: Upstream, options: ProxyOptions) -> Any:  # noqa: ANN401 - grpc.aio
    import grpc

    from .oipgrpc import MAX_MESSAGE, OipService

    address = options.grpc or ""
    local(address, "--grpc")
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.so_reuseport", 0),
        )
    )
    server.add_generic_rpc_handlers((OipService(upstream, token=options.token).handlers(),))
    try:
        server.add_insecure_port(address)
    except RuntimeError as exc:
        raise UsageError(f"--grpc {address}: cannot be bound") from exc
    await server.start()
    return server
