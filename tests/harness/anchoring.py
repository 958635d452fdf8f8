"""What tests of anchors share: a timestamp authority, and a service that runs for a while."""

import asyncio
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.anchors.kinds import Anchor
from gateway.anchors.metrics import AnchorMetrics
from gateway.anchors.queue import Queue
from gateway.anchors.service import Anchors, Timing
from gateway.auditlog.failpoints import UNARMED, Failpoints

QUICK = Timing(every_s=0.05, poll_s=0.02, backoff_s=0.02, max_backoff_s=0.05, stuck_s=3600)


@dataclass
class Carrier:
    """Runs the service over a directory until a number of records is there."""

    directory: Path
    latest: Callable[[], bytes]
    points: Failpoints = UNARMED
    timing: Timing = QUICK
    now: int = 1_800_000_000
    published: dict[str, bytes] = field(default_factory=dict)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def service(self, *members: Anchor) -> Anchors:
        """Return a service that is not started."""
        return Anchors(
            members,
            Queue(self.directory),
            latest=self.latest,
            timing=self.timing,
            metrics=AnchorMetrics(self.registry),
            publish=self.published.__setitem__,
            clock=lambda: self.now,
            points=self.points,
        )

    async def until(self, done: Callable[[], bool], *members: Anchor, seconds: float = 30) -> None:
        """Run a service until something is true."""
        service = self.service(*members)
        service.start()
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    await asyncio.sleep(0.02)
        finally:
            await service.close()

    async def carry(self, *members: Anchor, records: int = 1) -> list[bytes]:
        """Run a service until there are so many records, and return them by name."""
        await self.until(lambda: len(self.published) >= records, *members)
        return [path.read_bytes() for path in self.files()]

    def files(self) -> list[Path]:
        """Return the records there are."""
        return sorted((self.directory / "records").glob("*.json"))


CONFIG = """
[tsa]
default_tsa = test
[test]
serial = serial
signer_digest = sha256
default_policy = 1.3.6.1.4.1.13762.3
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[authority]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[req]
distinguished_name = name
[name]
"""


@dataclass
class StampServer:
    """`openssl ts` behind a tiny HTTP server."""

    url: str
    directory: Path
    refuse: Sequence[int] = ()
    """Status codes to answer with first, one per request."""
    asked: int = 0

    @property
    def certificate(self) -> Path:
        """The authority's certificate, PEM."""
        return self.directory / "tsa.pem"

    @property
    def root(self) -> Path:
        """Its issuer's, PEM."""
        return self.directory / "root.pem"

    def answer(self, query: bytes) -> bytes:
        """Return what the authority answers."""
        (self.directory / "query.tsq").write_bytes(query)
        _openssl(
            self.directory,
            *("ts", "-reply", "-queryfile", "query.tsq", "-signer", "tsa.pem"),
            *("-inkey", "tsa.key", "-config", "tsa.cnf", "-out", "reply.tsr"),
        )
        return (self.directory / "reply.tsr").read_bytes()


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@contextmanager
def stamp_server(directory: Path) -> Iterator[StampServer]:
    """Run a timestamp authority with a root of its own, or skip the test."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    directory.mkdir()
    (directory / "tsa.cnf").write_text(CONFIG)
    (directory / "serial").write_text("01\n")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "tsa.cnf")
    root = ("-extensions", "root", "-keyout", "root.key", "-out", "root.pem")
    _openssl(directory, "req", "-x509", *new, "-subj", "/CN=root", "-days", "30", *root)
    _openssl(directory, "req", *new, "-subj", "/CN=tsa", "-keyout", "tsa.key", "-out", "tsa.csr")
    issue = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "20")
    extensions = ("-extfile", "tsa.cnf", "-extensions", "authority")
    _openssl(directory, "x509", "-req", "-in", "tsa.csr", *issue, *extensions, "-out", "tsa.pem")
    state = StampServer(url="", directory=directory)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.asked += 1
            status, *state.refuse = (*state.refuse, 200)[: len(state.refuse) + 1]
            answer = state.answer(body) if status == 200 else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
