"""The log under load and faults, then audited by a stranger: `make drill-audit`.

Two gateways share one log in PostgreSQL, two witnesses cosign it, a chain and a write-once folder
hold its checkpoints, two nodes serve both gateways. Under mixed load a gateway and a node are
killed and started again. Everything is stopped, the pack is cut, and in an empty folder without
network it is verified, bent byte by byte, explained and reported on. Prints a table of what was
done and found; ends with 1 if anything is not as it must be.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from mifeng.audit.pack import Pack
from mifeng.demo.cluster import ROOT
from mifeng.errors import UsageError
from tests.harness import evm
from tests.unit.auditlog.postgresserver import Server, binaries

from .audit_load import KINDS, Seen, everything
from .audit_stranger import judge
from .audit_world import WITNESSES, TwoGateways
from .offline import offline
from .table import Findings

LOAD_S = 24.0
KILL_GATEWAY_AT = 5.0
KILL_NODE_AT = 12.0
DEAD_S = 3.0
PROMISES = 20
"""Promises handed to the auditor, as a client would who does not trust the operator."""


async def under_load(world: TwoGateways, seen: Seen) -> None:
    """Kill and restart a gateway and a node while clients ask."""
    stop = asyncio.Event()
    began = time.monotonic()
    load = asyncio.create_task(everything(world, seen, stop))
    await asyncio.sleep(KILL_GATEWAY_AT)
    await asyncio.to_thread(world.second.kill)
    await asyncio.sleep(DEAD_S)
    world.sockets[1].unlink(missing_ok=True)
    world.second.start()
    await asyncio.sleep(KILL_NODE_AT - (time.monotonic() - began))
    await asyncio.to_thread(world.nodes[0].kill)
    await asyncio.sleep(DEAD_S)
    world.nodes[0].start()
    await asyncio.to_thread(world.wait_second)
    await asyncio.to_thread(world.wait_ready)
    await asyncio.sleep(max(0.0, LOAD_S - (time.monotonic() - began)))
    stop.set()
    await load


def live(world: TwoGateways, found: Findings, seen: Seen) -> None:
    """Everything that needs the processes."""
    with found.step("start PostgreSQL, witnesses, chain, gateways, nodes") as step:
        world.prepare()
        world.start()
        step.fact(f"{WITNESSES} witnesses; each of 2 gateways admitted both nodes (SIMULATED)")
        if world.chain is not None:
            step.fact(f"EVM chain {world.chain.chain_id} (anvil), contract deployed")
    with found.step("mixed load; one gateway, one node killed and restarted") as step:
        asyncio.run(under_load(world, seen))
        step.fact(f"SIGKILL: gateway at {KILL_GATEWAY_AT:.0f} s, node at {KILL_NODE_AT:.0f} s")
        answers = ", ".join(f"{n} × {kind}" for kind, n in sorted(seen.answers.items()))
        step.must(f"{len(seen.done)} answers ({answers})", hold=len(seen.answers) == len(KINDS))
        step.must(f"{len(seen.wrong)} wrong {' '.join(seen.wrong)}".strip(), hold=not seen.wrong)
        failures = ", ".join(f"{n} × {code}" for code, n in sorted(seen.failures.items()))
        step.must(f"told to clients: {failures or 'no failure'}", hold=not seen.unclean)
    with found.step("stop nodes, then gateways") as step:
        time.sleep(4)  # longer than a lease: what the killed gateway left is closed
        status = world.stop()
        step.must(f"exit status {status}", hold=not any(status))


def mifeng(*arguments: object) -> str:
    """Run `mifeng …` and return what it prints."""
    command = [sys.executable, "-m", "mifeng.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise UsageError(f"{arguments[:2]}: {(done.stderr or done.stdout)[-1500:]}")
    return done.stdout


def audit(*arguments: object) -> str:
    """Run `mifeng audit …` and return what it prints."""
    return mifeng("audit", *arguments)


def export(world: TwoGateways, found: Findings, dsn: Path, folder: Path, seen: Seen) -> None:
    """Cut the pack, and put into a folder what a stranger gets: pack, trust file, promises."""
    pack, other = folder / "pack.zip", world.directory / "published.zip"
    published = world.directory / "published"
    with found.step("export from the shared database, and from the tiles") as step:
        heads = (published / "checkpoint", published / "sha256" / "checkpoint")
        notes = [argument for head in heads for argument in ("--checkpoint", head)]
        notes += ["--anchors", world.directory / "anchors"]
        audit("export", "--postgres", dsn, *notes, "--out", pack)
        audit("export", "--published", published, "--out", other)
        compared = json.loads(audit("diff", pack, other, "--json"))
        step.fact(f"{pack.stat().st_size / 1e6:.1f} MB")
        same = not (compared["differing"] or compared["only_left"] or compared["only_right"])
        step.must(f"the two agree in {compared['common']} entries", hold=same)
    with found.step("acknowledged records looked for in the pack") as step:
        with Pack(pack) as opened:
            held = dict(each for number in opened.chunks for each in opened.entries(number))
        lost = [done.index for done in seen.done if held.get(done.index) != done.entry]
        step.must(f"{len(seen.done)} acknowledged, {len(lost)} lost or altered", hold=not lost)
    with found.step("what the auditor asks a chain's node beforehand") as step:
        anchors = pins(world, pack, folder)
        step.fact("; ".join(f"{each['name']}: {each['kind']}" for each in anchors))
        if world.chain is None:
            step.skip(f"EVM chain: {found.missing}")
    trust = {"trusted": anchors, "require": {"count": len(anchors), "within_s": 60}}
    document = {"log": world.pin, "policies": ["unsafe-simulated"], "exporters": []}
    (folder / "trust.yaml").write_text(yaml.safe_dump(document | {"anchors": trust}))
    for number, done in enumerate(seen.done[:: max(1, len(seen.done) // PROMISES)]):
        (folder / f"promise-{number:02}").write_bytes(done.promise)


def pins(world: TwoGateways, pack: Path, folder: Path) -> list[dict[str, Any]]:
    """Return anchors for the trust file: a copy of the folder, blocks that the chain has."""
    shutil.copytree(world.directory / "worm", folder / "worm")
    found = [{"name": "worm", "kind": "file", "directory": "worm"}]
    if world.chain is not None:
        lookup = ("anchor", "lookup", pack, "--name", "chain", "--rpc", world.chain.url)
        found += yaml.safe_load(mifeng(*lookup))
    return found


@contextmanager
def chain_or_none(directory: Path, found: Findings) -> Iterator[evm.Chain | None]:
    """Run a chain if there can be one; say why not otherwise."""
    with ExitStack() as stack:
        chain = None
        try:
            chain = stack.enter_context(evm.run(directory))
        except evm.Unavailable as exc:
            found.missing = str(exc)
        yield chain


def drill(found: Findings, directory: Path, fresh: Path) -> None:
    """Run everything; `fresh` is what a stranger has."""
    seen = Seen()
    with Server.run() as server, chain_or_none(directory, found) as chain:
        dsn = server.dsn_file(directory)
        world = TwoGateways(dsn, directory, chain)
        try:
            live(world, found, seen)
            export(world, found, dsn, fresh, seen)
        finally:
            world.close()
    shutil.rmtree(directory / "published")
    chosen = seen.done[len(seen.done) // 2].receipt.h
    judge(offline(fresh, ROOT), found, h=chosen.hex(), witnesses=WITNESSES)


def main() -> int:
    """Run the drill; 0 if all is as it must be."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    if binaries() is None:
        console.print("drill-audit: PostgreSQL is not installed (Debian package postgresql)")
        return 1
    found = Findings("drill-audit", console)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mf-") as name, tempfile.TemporaryDirectory() as fresh:
        try:
            drill(found, Path(name), Path(fresh))
        except UsageError as exc:
            console.print(f"[red]drill-audit ended early: {exc}[/]")
    found.show()
    console.print(f"{time.monotonic() - began:.0f} s; every node is SIMULATED")
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
