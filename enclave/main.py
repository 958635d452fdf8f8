"""Start a node: harden, load models, make keys, listen. The only reader of configuration."""

import argparse
import asyncio
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accel_backends import BackendError
from attestation.bundle import Freshness
from attestation.errors import AttestationError
from mifeng.crypto import CryptoError
from mifeng.crypto.providers import require_constant_time
from mifeng.errors import MalformedError
from mifeng.protocol.keyset import LogIdentity, Software

from . import config, hygiene, models
from .epochs import Identity, KeyRing
from .evidence import Attester, AttesterError
from .evidence.simulated import MEASUREMENT_BYTES, SimulatedAttester
from .executor import Executor, Limits
from .intents import LogWatch
from .server import Attest, NodeServer

log = logging.getLogger("mifeng.node")
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


def image_digest() -> bytes:
    """Return the digest the simulated hardware reports as its launch measurement.

    Real hardware measures the image by itself; this stands in for it and covers our own code.
    """
    from mifeng.crypto import sm3

    root = Path(__file__).parent.parent
    files = sorted(
        path
        for package in ("mifeng", "attestation", "accel_backends", "enclave")
        for path in (root / package).rglob("*.py")
    )
    parts = (sm3(str(p.relative_to(root)).encode()) + sm3(p.read_bytes()) for p in files)
    return sm3(b"".join(parts))


def attester(settings: config.NodeConfig, image: bytes) -> Attester:
    """Return the configured source of evidence.

    Raises:
        ConfigError: the combination does not exist.
        AttesterError: the device is not there.
    """
    tee = settings.tee
    if tee.kind == "unsafe-simulated":
        if tee.accelerators not in ("none", "unsafe-simulated"):
            raise config.ConfigError("tee.accelerators: a simulated CPU binds simulated devices")
        return SimulatedAttester(
            node_id=settings.node_id,
            measurement=image + bytes(MEASUREMENT_BYTES - len(image)),
            accelerators=tee.simulated_accelerators,
        )
    from .evidence.hardware import hardware_attester

    return hardware_attester(tee.kind, tee.accelerators)


def attest_with(keyring: KeyRing, source: Attester) -> Attest:
    """Return the server's way to answer a challenge for the active keyset."""

    async def attest(payload: bytes) -> bytes:
        if payload[:1] not in (b"\x01", b"\x02"):
            raise MalformedError("freshness: kind")
        try:
            freshness = Freshness(kind=1 if payload[0] == 1 else 2, x=payload[1:])
        except AttestationError as exc:
            raise MalformedError(str(exc)) from exc
        bundle = await source.collect(keyring.active.keyset_bytes, freshness)
        return bundle.encode()

    return attest


async def run(settings: config.NodeConfig, config_digest: bytes) -> None:
    """Serve until SIGTERM or SIGINT, then drain and erase the keys."""
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(settings.limits.concurrency, thread_name_prefix="model")
    served = await loop.run_in_executor(None, lambda: models.load(settings, pool=pool))
    image, pin = image_digest(), settings.log.pin()
    identity = Identity(
        node_id=settings.node_id,
        suites=settings.suite_ids,
        software=Software(
            image=image, config=config_digest, policy=_policy_digest(settings, config_digest)
        ),
        models=served.models,
        log=LogIdentity.of(pin),
        simulated=settings.tee.kind == "unsafe-simulated",
        life_s=settings.keyset.life_s,
        active_s=settings.keyset.active_s,
    )
    keyring, watch = KeyRing(identity, now=int(_now())), LogWatch(pin)
    limits = settings.limits
    executor = Executor(
        keyring=keyring,
        engines=served.engines,
        log=watch,
        limits=Limits(
            concurrency=limits.concurrency,
            max_body_bytes=limits.max_body_bytes,
            first_frame_s=limits.first_frame_s,
            max_salted_bytes=limits.max_salted_bytes,
        ),
    )
    server = NodeServer(
        executor=executor,
        watch=watch,
        attest=attest_with(keyring, attester(settings, image)),
        node_id=settings.node_id,
        capacity=limits.concurrency,
        tally_s=settings.tally_s,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start(settings.listen)
    log.info(
        "node.ready",
        extra={"node_id": settings.node_id, "listen": settings.listen, "tee": settings.tee.kind},
    )
    housekeeping = asyncio.create_task(server.housekeeping())
    await asyncio.wait(
        (housekeeping, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED
    )
    if housekeeping.done():
        housekeeping.result()
    housekeeping.cancel()
    await server.drain(settings.drain_s)
    for engine in served.engines.values():
        await engine.close()
    pool.shutdown(wait=False, cancel_futures=True)
    log.info("node.stopped", extra={"node_id": settings.node_id})


def _policy_digest(settings: config.NodeConfig, config_digest: bytes) -> bytes:
    """Return the digest of the node's own policy; its configuration where it has no other."""
    from mifeng.crypto import sm3

    return sm3(settings.policy.read_bytes()) if settings.policy else config_digest


def _now() -> float:
    import time

    return time.time()


def main(argv: list[str] | None = None) -> int:
    """Run `python -m enclave`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="enclave", description="Run one attested node.")
    parser.add_argument("--config", type=Path, required=True, help="measured YAML configuration")
    arguments = parser.parse_args(argv)
    hygiene.configure_logging()
    try:
        hygiene.harden()
        settings, digest = config.load(arguments.config)
        if settings.require_constant_time_crypto:
            require_constant_time()
        try:
            import uvloop
        except ImportError:
            asyncio.run(run(settings, digest))
        else:
            uvloop.run(run(settings, digest))
    except (
        config.ConfigError,
        hygiene.EnvironmentRefusedError,
        AttesterError,
        BackendError,
        CryptoError,
        MalformedError,
    ) as exc:
        code = getattr(exc, "code", "error")
        print(f"node: {code}: {exc}", file=sys.stderr)  # noqa: T201 - before anything secret exists
        return EXIT_CONFIG
    return 0
