"""Small logs for tests, and an independent reading of what they hold."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.auditlog.config import LogConfig, create
from gateway.auditlog.failpoints import UNARMED, Failpoints
from gateway.auditlog.keys import LogKeys
from gateway.auditlog.log import AuditLog
from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey
from mifeng.protocol import dsse

ORIGIN = "log.example/2026"
KEYS = LogKeys.generate(twin=True)
NODE = SigningKey.generate("sm2")
RECEIPT = dsse.sign(b'{"outcome":"completed"}', "application/vnd.mifeng.receipt+json", NODE)
NOT_CLAIMED = dsse.sign(b'{"reason":"full"}', "application/vnd.mifeng.not-claimed+json", NODE)
KEYSET = bytes(32)
NOW = 1_800_000_000


class Hook:
    """Counts the points reached and does something at one of them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.raise_at: dict[str, BaseException] = {}

    def reach(self, point: str) -> None:
        """Note the point; raise what was armed for it, once."""
        self.seen.append(point)
        if error := self.raise_at.pop(point, None):
            raise error


def config(folder: Path, *, instance: str = "g1", twin: bool = True) -> LogConfig:
    """Return where a test's log lives; it publishes when told and beats once."""
    return LogConfig(
        path=folder / "log.db",
        guard=folder / "guard",
        origin=ORIGIN,
        instance=instance,
        twin=twin,
        publish_every_s=3600,
        heartbeat_every_s=3600,
    )


async def start(
    folder: Path,
    *,
    instance: str = "g1",
    twin: bool = True,
    keys: LogKeys = KEYS,
    points: Failpoints = UNARMED,
) -> AuditLog:
    """Open the log in `folder`, making it first if there is none."""
    settings = config(folder, instance=instance, twin=twin)
    if not settings.path.exists():
        create(settings)
    return await AuditLog.open(settings, keys, clock=lambda: NOW, points=points)


def h(number: int) -> bytes:
    """Return the header digest of a made-up request."""
    return hashlib.sha256(b"request %d" % number).digest()


def stored(path: Path) -> list[bytes]:
    """Return every entry of a closed log, read with nothing of ours."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT idx, data FROM entries ORDER BY idx").fetchall()
    finally:
        connection.close()
    assert [index for index, _ in rows] == list(range(len(rows))), "a gap in the log"
    return [data for _, data in rows]


def mth(entries: Sequence[bytes], *, twin: bool = False) -> bytes:
    """Return the root over `entries` by the recursive definition (RFC 9162 §2.1.1)."""
    digest = (lambda data: hashlib.sha256(data).digest()) if twin else sm3
    level = [digest(b"\0" + entry) for entry in entries]
    if not level:
        return digest(b"")

    def fold(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        k = 1 << (len(leaves) - 1).bit_length() - 1
        return digest(b"\1" + fold(leaves[:k]) + fold(leaves[k:]))

    return fold(level)


def roots(entries: Sequence[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
    """Return the SM3 roots at several sizes, in one pass; `mth` is the definition it equals."""
    wanted, found = set(sizes), {}
    stack: list[tuple[int, bytes]] = []
    for count in range(len(entries) + 1):
        if count in wanted:
            root = stack[-1][1] if stack else sm3(b"")
            for _, left in reversed(stack[:-1]):
                root = sm3(b"\1" + left + root)
            found[count] = root
        if count < len(entries):
            stack.append((1, sm3(b"\0" + entries[count])))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            (width, left), (_, right) = stack[-2:]
            stack[-2:] = [(2 * width, sm3(b"\1" + left + right))]
    return found


def assert_each_intent_ends_once(entries: Sequence[bytes], *, open_allowed: bool = False) -> None:
    """Check I2 and I3 by reading the entries' JSON: opened first, closed exactly once."""
    opened: dict[int, str] = {}
    closed: dict[int, str] = {}
    corrections: set[int] = set()
    for index, raw in enumerate(entries):
        document = json.loads(raw)
        if "payloadType" in document:
            payload = json.loads(dsse.parse(raw).payload)
            assert payload["index"] == index
            opened[index] = payload["h"]
            continue
        match document["type"]:
            case "COMPLETION" | "REFUSAL" | "ORPHANED":
                intent = document["intent"]
                assert opened[intent] == document["h"]
                assert intent not in closed
                closed[intent] = document["type"]
            case "LATE":
                assert closed[document["intent"]] == "ORPHANED"
                assert document["intent"] not in corrections
                corrections.add(document["intent"])
    assert open_allowed or set(opened) == set(closed)
