"""Count what a verified pack holds: what the items of a profile are judged by.

Read after `verify`, whose report says whether any of it stands.

Source: docs/compliance.md.
"""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attestation.bundle import Bundle
from attestation.errors import AttestationError
from mifeng.audit.pack import Pack
from mifeng.audit.report import Report
from mifeng.crypto import Sm3
from mifeng.errors import MalformedError
from mifeng.protocol.keyset import Keyset

from .configuration import Configuration

DAY_S: Final = 86_400
SUITES: Final = {0x0001: "sm", 0x0002: "sm-pq", 0x0101: "intl"}
_PIECE: Final = 1 << 20
_LABEL: Final = b"mifeng/v1/bundle\0"


@dataclass(slots=True, kw_only=True)
class Signals:
    """What a log holds, in numbers."""

    report: Report
    signatures: Counter[str] = field(default_factory=Counter)
    """Algorithm of the nodes' statements → how many."""
    suites: Counter[str] = field(default_factory=Counter)
    """Crypto suite → keysets that offer it."""
    tenants: Counter[str] = field(default_factory=Counter)
    """Tenant → requests."""
    models: Counter[str] = field(default_factory=Counter)
    nodes: set[str] = field(default_factory=set)
    """Those that were admitted."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Evidence kind → pieces."""
    tiers: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Day → admitted, rejected."""
    requests: Counter[str] = field(default_factory=Counter)
    """Day → requests."""
    roles: Counter[str] = field(default_factory=Counter)
    """Administrator role → actions."""
    refusals: Counter[str] = field(default_factory=Counter)
    configuration: Configuration | None = None
    """What the gateway's configuration states; None if the file was not given."""
    pack_digest: bytes = bytes(32)
    """SM3 of the pack's file."""
    client_auth: int = 0
    """Receipts of requests that an institution's own SM2 key had signed."""

    @property
    def span_days(self) -> int:
        """Days between the oldest and the newest entry."""
        return max(0, self.report.extent.last_at - self.report.first_at) // DAY_S

    @property
    def witnesses(self) -> set[str]:
        """Names of pinned witnesses that cosigned a checkpoint in the pack."""
        return {line.key.name for head in self.report.heads for line in head.witnesses}

    def has(self, code: str) -> bool:
        """Whether the verification found this."""
        return any(finding.code == code for finding in self.report.findings)

    def type(self, name: str) -> int:
        """Return how many entries there are of a type."""
        return self.report.types.get(name, 0)


def gather(path: Path, report: Report, *, configuration: Configuration | None = None) -> Signals:
    """Return the numbers of the pack that `report` is about."""
    found = Signals(report=report, configuration=configuration, pack_digest=_digest(path))
    with Pack(path) as pack:
        for number in pack.chunks:
            for _, data in pack.entries(number):
                for kind, entry in _document(data):
                    _count(found, kind, entry)
        _documents(pack, found)
    return found


def _digest(path: Path) -> bytes:
    running = Sm3()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            running.update(piece)
    return running.digest()


def _document(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield type and content of an entry; nothing for one that verification has refused."""
    try:
        document = json.loads(data)
        if "payloadType" in document:
            yield "INTENT", json.loads(b64decode(document["payload"]))
        else:
            yield document["type"], document
    except (ValueError, KeyError, TypeError):
        return


def _count(found: Signals, kind: str, entry: dict[str, Any]) -> None:
    try:
        match kind:
            case "INTENT":
                found.tenants[entry["tenant"]] += 1
                found.requests[_day(entry["issued"])] += 1
            case "COMPLETION" | "LATE":
                statement = entry["receipt"]
                found.signatures[statement["signatures"][0]["keyid"].partition(":")[0]] += 1
                made = json.loads(b64decode(statement["payload"]))
                found.models[made["model"]["name"]] += 1
                found.client_auth += made["client_auth"] is not None
            case "REFUSAL":
                found.refusals[entry["reason"]] += 1
            case "NODE_ADMITTED" | "NODE_REJECTED":
                admitted, rejected = found.verdicts.get(_day(entry["at"]), (0, 0))
                good = kind == "NODE_ADMITTED"
                found.verdicts[_day(entry["at"])] = (admitted + good, rejected + (not good))
                if good:
                    found.nodes.add(entry["node"])
                    found.tiers[entry["tier"]] += 1
            case "ADMIN":
                found.roles[entry["role"]] += 1
            case _:
                return
    except (ValueError, KeyError, TypeError, IndexError):
        return


def _documents(pack: Pack, found: Signals) -> None:
    for digest in pack.blobs:
        raw = pack.blob(digest) or b""
        if not raw.startswith(_LABEL):
            continue
        try:
            bundle = Bundle.decode(raw)
            keyset = Keyset.decode(bundle.keyset)
        except (AttestationError, MalformedError):
            continue
        found.suites.update(SUITES.get(suite, f"{suite:04x}") for suite in keyset.suites)
        parts = (bundle.cpu, *(device.evidence for device in bundle.accelerators))
        found.kinds.update(part.kind.value for part in parts)


def _day(at: int) -> str:
    return datetime.fromtimestamp(min(at, 253_402_300_799), UTC).strftime("%Y-%m-%d")
