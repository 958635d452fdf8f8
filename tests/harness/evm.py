"""A real EVM chain on this machine: anvil from npm, with the anchor contract deployed.

    with evm.run(directory) as chain:
        chain.url, chain.contract, chain.key_file, chain.chain_id

Packages come from npm into `.cache/evm` once, at the versions `deploy/anchors/evm/package.json`
names. Where there is no npm, or it cannot install them, `install` says why and callers skip. The
chain is real software and its blocks are real; nobody but this machine takes part in it.
"""

import fcntl
import functools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "deploy" / "anchors" / "evm"
CACHE: Final = ROOT / ".cache" / "evm"
INSTALL_S: Final = 240
KEY: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""Private key of anvil's first account: published in its documentation, worth nothing."""
ACCOUNT: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


class Unavailable(Exception):  # noqa: N818 - not a fault
    """There is no chain to be had here; the text says why."""


@functools.cache
def install() -> Path:
    """Return the folder with anvil and solc, installed if they are not there yet.

    Raises:
        Unavailable: no npm, or it cannot install them.
    """
    wanted = json.loads((SOURCE / "package.json").read_text())["devDependencies"]
    modules = CACHE / "node_modules"
    if _installed(modules, wanted):
        return modules
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Unavailable("needs npm and node")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _installed(modules, wanted):  # by another process meanwhile
            _npm_install(npm, wanted)
    return modules


def _npm_install(npm: str, wanted: Mapping[str, str]) -> None:
    names = [f"{name}@{version}" for name, version in wanted.items()]
    command = [npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(CACHE)]
    try:
        subprocess.run(
            [*command, *names], cwd=CACHE, check=True, capture_output=True, timeout=INSTALL_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        raise Unavailable(f"npm cannot install {', '.join(names)}") from exc


def _installed(modules: Path, wanted: Mapping[str, str]) -> bool:
    return all(_version(modules / name) == version for name, version in wanted.items())


def _version(package: Path) -> str | None:
    manifest = package / "package.json"
    return json.loads(manifest.read_text())["version"] if manifest.is_file() else None


def anvil() -> Path:
    """Return the anvil program; raises `Unavailable`."""
    found = sorted((install() / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    if not found:
        raise Unavailable("npm has no anvil for this machine")
    return found[0]


@dataclass(frozen=True)
class Chain:
    """A running chain."""

    url: str
    chain_id: int
    contract: str
    """Address of the anchor contract, 0x and 40 hex digits."""
    key_file: Path
    """Private key of the contract's owner, in hex."""
    process: "subprocess.Popen[bytes]"

    def call(self, method: str, *arguments: Any) -> Any:
        """Return the result of one JSON-RPC call."""
        return _call(self.url, method, *arguments)

    def mine(self, blocks: int = 1) -> None:
        """Make empty blocks."""
        self.call("anvil_mine", hex(blocks))

    def automine(self, *, on: bool) -> None:
        """Say whether each transaction makes a block at once."""
        self.call("evm_setAutomine", on)

    def newest(self) -> dict[str, Any]:
        """Return the newest block, with the hashes of its transactions."""
        block: dict[str, Any] = self.call("eth_getBlockByNumber", "latest", False)  # noqa: FBT003
        return block

    def deploy(self) -> str:
        """Deploy another instance of the contract and return its address."""
        return deploy(self.url)


def _call(url: str, method: str, *arguments: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(arguments)}
    with httpx.Client(timeout=30, trust_env=False, verify=False) as client:  # loopback, plain
        answer = client.post(url, json=body).json()
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    return answer["result"]


def deploy(url: str) -> str:
    """Deploy the anchor contract as `ACCOUNT` and return its address."""
    code = "0x" + json.loads((SOURCE / "MifengAnchor.json").read_text())["bytecode"]
    costs = {"gas": hex(2_000_000), "gasPrice": hex(10**10)}
    sent = _call(url, "eth_sendTransaction", {"from": ACCOUNT, "data": code, **costs})
    for _ in range(100):
        receipt = _call(url, "eth_getTransactionReceipt", sent)
        if receipt is not None:
            assert receipt["status"] == "0x1"
            return str(receipt["contractAddress"])
        time.sleep(0.1)
    raise RuntimeError("the contract was not deployed in time")


@contextmanager
def run(directory: Path, *arguments: str, chain_id: int = 31337) -> Iterator[Chain]:
    """Run a chain on a free port, with the contract deployed, and end it afterwards.

    Args:
        directory: for the log and the key file; must exist.
        arguments: further ones for anvil, e.g. `--block-time 1`; without, each transaction makes
            a block at once.
        chain_id: of the chain.

    Raises:
        Unavailable: there is no anvil here.
    """
    program = anvil()
    output = directory / "anvil.log"
    command = [str(program), "--port", "0", "--chain-id", str(chain_id), *arguments]
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        url = _listening(process, output)
        key_file = directory / "evm.key"
        key_file.write_text(KEY + "\n")
        key_file.chmod(0o600)
        yield Chain(url, chain_id, deploy(url), key_file, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listening(process: "subprocess.Popen[bytes]", output: Path) -> str:
    for _ in range(300):
        for line in output.read_text(errors="replace").splitlines():
            if line.startswith("Listening on "):
                url = "http://" + line.removeprefix("Listening on ").strip()
                with suppress(httpx.HTTPError):
                    _call(url, "eth_chainId")
                    return url
        if process.poll() is not None:
            raise Unavailable(f"anvil does not run here: exit {process.returncode}")
        time.sleep(0.1)
    raise RuntimeError("anvil did not listen in 30 s")
