"""Start a gateway: open the log, link the nodes, listen; drain on SIGTERM.

    readiness false → refuse new exchanges → finish those under way → close HTTP and gRPC
    → flush and close the log

The signals are ours: uvicorn would raise them again after its own shutdown, and nothing after
`serve()` would run.
"""

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import yaml

import policies
from attestation.policy import Policy
from mifeng.crypto import CryptoError
from mifeng.crypto.providers import providers, require_constant_time
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import MifengError, UsageError
from mifeng.floors import Floors
from mifeng.protocol import entries
from mifeng.protocol.entries import PolicyActivated
from mifeng.protocol.keyset import LogIdentity
from mifeng.protocol.note import Sm2NoteSigner
from policies.load import shipped_bytes

from . import events
from .anchors import starting as anchors
from .api import grpc as grpc_api
from .api import http as http_api
from .auditlog import config as auditlog
from .auditlog import operating
from .auditlog.errors import AuditLogError
from .auditlog.failpoints import UNARMED, Failpoints
from .auditlog.keys import LogKeys
from .auditlog.log import AuditLog
from .auditlog.store import StoreError
from .beside import Acts, Beside
from .collateral.staple import Stapler
from .config import ConfigError, GatewayConfig, LimitsConfig, load
from .events import log
from .fanout import FanOut
from .listening import bound, restrict
from .metrics import Metrics
from .nodes import Nodes
from .operations import Operations
from .quota import Quota
from .relay import Relay, RelayLimits
from .releases import Releases
from .roles import offline
from .roles.actions import Action
from .subjects.people import People
from .tenants import Tenants

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


class _Http(uvicorn.Server):
    """uvicorn without its own signal handling, on a socket file of ours if it is given one."""

    def __init__(self, config: uvicorn.Config, file: socket.socket | None) -> None:
        super().__init__(config)
        self._file = file

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().serve([self._file] if self._file is not None else sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def read_passphrase(settings: GatewayConfig) -> bytes:
    """Return the passphrase of the log's keys; raises `ConfigError`."""
    try:
        return settings.log.passphrase.read_bytes().strip()
    except OSError as exc:
        raise ConfigError(f"log.passphrase: {exc.strerror}") from exc


def read_keys(settings: GatewayConfig) -> LogKeys:
    """Return the log's signing keys.

    Raises:
        ConfigError: unreadable, wrong passphrase, or not keys of the right kind.
    """
    try:
        return LogKeys.read(settings.log.keys, read_passphrase(settings))
    except OSError as exc:
        raise ConfigError(f"{exc.filename}: {exc.strerror}") from exc
    except CryptoError as exc:
        raise ConfigError(f"log.keys: {exc}") from exc


def create_log(settings: GatewayConfig) -> str:
    """Make key files and an empty log, and return the pin that clients and nodes need, as YAML.

    An operator's act: a gateway never creates a log by itself, so a lost one is noticed.

    Raises:
        ConfigError: there is one already, or it cannot be written.
    """
    try:
        settings.log.keys.mkdir(parents=True, exist_ok=True)
        for path in (settings.log.database, settings.log.guard):
            if isinstance(path, Path):
                path.parent.mkdir(parents=True, exist_ok=True)
        LogKeys.create(settings.log.keys, read_passphrase(settings), twin=settings.log.twin)
        auditlog.create(settings.log.settings("create"))
    except (OSError, AuditLogError) as exc:
        raise ConfigError(f"log: {exc}") from exc
    key = Sm2NoteSigner(settings.log.origin, read_keys(settings).signer).key
    witnesses = settings.log.witnesses
    pin = {
        "origin": settings.log.origin,
        "keys": [key.encode()],
        "witnesses": [each.encode() for each in witnesses.keys] if witnesses else [],
        "quorum": witnesses.quorum if witnesses else 0,
    }
    return yaml.safe_dump({"log": pin}, sort_keys=False)


def operate(settings: GatewayConfig, arguments: argparse.Namespace) -> str | None:
    """Do what an operator asked for with the log, and say what was done; None if nothing was.

    Raises:
        ConfigError: the log's keys cannot be read, or its storage does not answer.
        AuditLogError: it was refused; see `auditlog.operating`.
    """
    log_settings = settings.log.settings("operator")
    try:
        if arguments.restore_log:
            return operating.restore_published(log_settings, read_keys(settings))
        if arguments.move_log:
            database, guard = arguments.move_log
            return operating.move(database, guard, log_settings)
        if arguments.prune_published and settings.log.publish:
            days = settings.log.publish.retention_days
            keys = read_keys(settings)
            return operating.prune_published(log_settings, keys, days, now=int(time.time()))
    except StoreError as exc:
        raise ConfigError(f"log: {exc}") from exc
    if arguments.prune_published:
        raise ConfigError("log.publish: no place is configured")
    return None


def raise_file_limit() -> None:
    """Let this process hold as many connections as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_policy(name: str) -> tuple[Policy, bytes]:
    """Return a shipped policy by name, or one from a file, and the document's bytes.

    Raises:
        ConfigError: neither exists, or it does not say exactly what a policy must say.
    """
    try:
        if Path(name).suffix in (".yaml", ".yml"):
            document = Path(name).read_bytes()
        else:
            document = shipped_bytes(name)
        return policies.parse(document), document
    except (policies.PolicyError, OSError) as exc:
        raise ConfigError(f"policy: {exc}") from exc


async def record_policy(audit: AuditLog, policy: Policy, document: bytes, *, source: bytes) -> None:
    """Keep the policy beside the log and, if it is a new one, say that it is in force.

    `source` is the digest of the configuration that says so, `GatewayConfig.source`.
    """
    known = await audit.of_type(PolicyActivated.TYPE)
    if known:
        latest = entries.decode(await audit.entry(known[-1]))
        if isinstance(latest, PolicyActivated) and latest.policy == policy.digest:
            return
    await audit.put_blob(document)
    await audit.append(
        PolicyActivated(
            at=int(time.time()),
            name=policy.name,
            policy=policy.digest,
            actor=source,
        )
    )


def _uvicorn(app: object, listen: str) -> _Http:
    scheme, _, rest = listen.partition(":")
    place: dict[str, object] = {}
    file = None
    if scheme == "tcp":
        host, _, port = rest.rpartition(":")
        place = {"host": host.strip("[]"), "port": int(port)}
    else:
        file = bound(Path(rest))
    settings = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI application
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 * 1024,
        **place,  # type: ignore[arg-type]
    )
    return _Http(settings, file)


def read_floors(settings: GatewayConfig) -> Floors:
    """Return what is remembered of collateral: beside the guard, which no backup turns back.

    Gateways that share a guard over the network keep it with their collateral, if they fetch any.

    Raises:
        ConfigError: the file is damaged; an operator must look.
    """
    guard, path = settings.log.guard, None
    if isinstance(guard, Path):
        path = guard.with_name(f"{guard.name}.floors")
    elif settings.collateral is not None:
        path = settings.collateral.directory / "floors.json"
    try:
        return Floors(path)
    except UsageError as exc:
        raise ConfigError(str(exc)) from exc


def _nodes(
    settings: GatewayConfig, audit: AuditLog, policy: Policy, stapler: Stapler | None
) -> Nodes:
    return Nodes(
        addresses={node.node_id: node.address for node in settings.nodes},
        audit=audit,
        policy=policy,
        identity=LogIdentity.of(audit.pin),
        stapler=stapler,
        floors=read_floors(settings),
    )


def _relay_limits(limits: LimitsConfig) -> RelayLimits:
    return RelayLimits(
        max_request_bytes=limits.max_request_bytes,
        max_deadline_s=limits.max_deadline_s,
        max_exchanges=limits.max_exchanges,
        max_per_tenant=limits.max_per_tenant,
        idle_s=limits.idle_s,
    )


async def _serve_rpc(settings: GatewayConfig, operations: Operations) -> grpc_api.Server | None:
    if settings.grpc is None:
        return None
    rpc = grpc_api.server(operations, max_concurrent=settings.limits.max_exchanges)
    scheme, _, rest = settings.grpc.listen.partition(":")
    if rpc.add_insecure_port(rest if scheme == "tcp" else settings.grpc.listen) == 0:
        raise ConfigError(f"grpc.listen: {settings.grpc.listen} cannot be bound")
    restrict(settings.grpc.listen)
    await rpc.start()
    return rpc


async def _open_log(settings: GatewayConfig, instance: str, points: Failpoints) -> AuditLog:
    return await AuditLog.open(
        settings.log.settings(instance),
        read_keys(settings),
        points=points,
        witnesses=settings.log.witnesses,
    )


def _operations(
    settings: GatewayConfig,
    audit: AuditLog,
    nodes: Nodes,
    metrics: Metrics,
    people: People | None,
) -> Operations:
    quota = Quota(challenges=settings.limits.challenges)
    relay = Relay(
        nodes=nodes,
        audit=audit,
        quota=quota,
        limits=_relay_limits(settings.limits),
        metrics=metrics,
        people=people,
    )
    return Operations(
        nodes=nodes,
        audit=audit,
        relay=relay,
        quota=quota,
        tenants=Tenants(key for tenant in settings.tenants for key in tenant.stored()),
        releases=Releases(
            audit=audit, keys=settings.releases.verify_keys() if settings.releases else ()
        ),
        people=people,
    )


async def run(settings: GatewayConfig, *, points: Failpoints = UNARMED) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: see `config.load`.
        points: for crash drills, which start the gateway from a module of their own.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    policy, document = read_policy(settings.policy)
    metrics = Metrics()
    instance = f"gw-{random_bytes(8).hex()}"
    audit = await _open_log(settings, instance, points)
    await record_policy(audit, policy, document, source=settings.source)
    beside = await Beside.open(settings, audit, read_passphrase(settings))
    stapler, fetcher = settings.collateral.stapler() if settings.collateral else (None, None)
    nodes = _nodes(settings, audit, policy, stapler)
    operations = _operations(settings, audit, nodes, metrics, beside.people)
    relay = operations.relay

    def ready() -> bool:
        admitted = any(node.candidate(time.time()) is not None for node in nodes.all())
        may = not relay.draining and not stop.is_set()
        return admitted and may and audit.healthy and audit.showing.ready

    close_anchors = anchors.start(
        settings.anchors, settings.log.settings("anchors"), audit, metrics, points
    )
    nodes.start()
    fanout = FanOut(settings.log.settings(instance), audit, nodes)
    fanout.start()
    http = _uvicorn(http_api.build(operations, metrics, ready=ready), settings.http.listen)
    serving = asyncio.create_task(http.serve())
    rpc = await _serve_rpc(settings, operations)
    acts = Acts(operations=operations, policy=document, drain=stop.set)
    await beside.serve(acts, metrics, instance=instance, server=_uvicorn)
    log.info("gateway.listening", listen=settings.http.listen, provider=providers().sm2.name)
    try:
        await asyncio.wait(
            (serving, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED
        )
        log.info("gateway.draining")
        await relay.drain(settings.limits.drain_s)
    finally:
        http.should_exit = True
        await beside.stop_serving()
        if rpc is not None:
            await rpc.stop(grace=5)
        await asyncio.gather(serving, return_exceptions=True)
        await fanout.close()
        await nodes.close()
        if fetcher is not None:
            await fetcher.close()
        await close_anchors()
        await audit.close()
        log.info("gateway.stopped")
        await beside.close()


def _action(arguments: argparse.Namespace) -> Action | None:
    """Return what an operator asks for, as the table of roles calls it."""
    asked = {
        Action.LOG_CREATE: arguments.create_log,
        Action.LOG_RESTORE: arguments.restore_log,
        Action.LOG_MOVE: arguments.move_log,
        Action.LOG_PRUNE: arguments.prune_published,
    }
    return next((action for action, wanted in asked.items() if wanted), None)


def main(argv: list[str] | None = None) -> int:
    """Run `python -m gateway`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="gateway", description="Run one mifeng gateway.")
    parser.add_argument("--config", type=Path, required=True, help="YAML configuration")
    command = parser.add_mutually_exclusive_group()
    command.add_argument(
        "--create-log",
        action="store_true",
        help="make the log and its keys, print the pin that clients and nodes need, and exit",
    )
    command.add_argument(
        "--restore-log",
        action="store_true",
        help="make the log's lost database anew from log.publish, and exit",
    )
    command.add_argument(
        "--move-log",
        nargs=2,
        type=Path,
        metavar=("DATABASE", "GUARD"),
        help="move the log from a SQLite file into the configured storage, and exit",
    )
    command.add_argument(
        "--prune-published",
        action="store_true",
        help="remove published entries older than log.publish.retention_days, and exit",
    )
    arguments = parser.parse_args(argv)
    events.configure(logging.INFO)
    raise_file_limit()
    try:
        settings = load(arguments.config)
        if action := _action(arguments):
            offline.permit(settings, action, read_passphrase(settings))
        if arguments.create_log:
            print(create_log(settings), end="")  # noqa: T201 - the command's result
            return 0
        if done := operate(settings, arguments):
            print(done)  # noqa: T201 - the command's result
            return 0
        if settings.require_constant_time_crypto:
            require_constant_time()
        try:
            import uvloop
        except ImportError:
            asyncio.run(run(settings))
        else:
            uvloop.run(run(settings))
    except (ConfigError, CryptoError, MifengError, OSError) as exc:
        code = getattr(exc, "code", "os")
        print(f"gateway: {code}: {exc}", file=sys.stderr)  # noqa: T201 - the process's last words
        return EXIT_CONFIG
    return 0
