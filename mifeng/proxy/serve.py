"""Run the proxy: HTTP and, if asked for, gRPC, until a signal; explain what it trusts."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from mifeng.client import AsyncClient, ClientConfig
from mifeng.errors import UsageError

from .http import Fronts
from .upstream import Upstream


class _Http(uvicorn.Server):
    """uvicorn without its own signal handling."""

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


def local(address: str) -> tuple[str, int] | Path:
    """Return a listening address on this machine.

    Raises:
        UsageError: another machine could reach it: the proxy speaks plaintext.
    """
    if address.startswith("unix:"):
        return Path(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdecimal():
        raise UsageError(f"--listen {address}: the proxy listens on this machine only")
    return host.strip("[]"), int(port)


async def serve(config: ClientConfig, options: ProxyOptions) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no loop signals
            loop.add_signal_handler(number, stop.set)
    upstream = Upstream(AsyncClient.from_config(config), strict=options.strict)
    upstream.start()
    place = local(options.listen)
    where: dict[str, Any] = (
        {"uds": str(place)} if isinstance(place, Path) else {"host": place[0], "port": place[1]}
    )
    http = _Http(
        uvicorn.Config(
            Fronts(upstream, token=options.token).app(),
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            **where,
        )
    )
    serving = asyncio.create_task(http.serve())
    rpc = await _start_grpc(upstream, options) if options.grpc else None
    await asyncio.wait(
        (serving, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED
    )
    http.should_exit = True
    if rpc is not None:
        await rpc.stop(grace=5)
    await asyncio.gather(serving, return_exceptions=True)
    await upstream.close()


async def _start_grpc(upstream: Upstream, options: ProxyOptions) -> Any:  # noqa: ANN401 - grpc.aio
    import grpc

    from .oipgrpc import MAX_MESSAGE, OipService

    address = options.grpc or ""
    local(address)
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
        )
    )
    server.add_generic_rpc_handlers((OipService(upstream, token=options.token).handlers(),))
    if server.add_insecure_port(address) == 0:
        raise UsageError(f"--grpc {address}: cannot be bound")
    await server.start()
    return server


async def check(config: ClientConfig) -> list[str]:
    """Return, in plain words, what a proxy with this configuration trusts and why; raises."""
    terms = config.terms()
    pin, policy = terms.log, terms.policy
    lines = [
        f"gateway {config.gateway}: carries ciphertext and is trusted with nothing else",
        f"policy {policy.name} ({policy.digest.hex()[:16]}…) decides which machines may read",
        f"log {pin.origin}: its signature is checked with {len(pin.keys)} pinned key(s)",
        f"witnesses: {pin.quorum} of {len(pin.witnesses)} must have cosigned"
        if pin.quorum
        else "witnesses: none configured, so every answer is UNWITNESSED",
        f"suites accepted, best first: {', '.join(config.suites)}",
    ]
    async with AsyncClient.from_config(config) as client:
        for model in sorted(await client.models()):
            nodes = await client.attest(model)
            for node in nodes:
                simulated = " SIMULATED" if node.key.simulated else ""
                lines.append(
                    f"model {model} on {node.keyset.node_id}: tier {node.key.tier.label}"
                    f"{simulated}, keyset {node.key.keyset_digest.hex()[:12]}… in the log, "
                    f"valid {node.valid_until - node.keyset.not_before} s"
                )
        lines += [f"refused {each.node_id}: {each.error}" for each in client.refused]
    return lines
