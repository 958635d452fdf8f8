"""Was what a node ran released in the log before it was used? Asked where the trust file says so.

    releases: {keys: [hex of an SM2 public key], require: [measurement, model]}

Of every keyset whose evidence was accepted again: the CPU's measurements that the policy compares
(all of them, if it names none) and the digests of the models it serves must each be in a RELEASE
that stands before the KEYSET entry, the newest about it, and not be withdrawn by it. With `keys`,
one of the entry's documents must be signed by one of them and say just that.

A later withdrawal refutes nothing: the next keyset of the node is judged after it.

Source: docs/spec/log.md §8.7; docs/spec/audit-pack.md §4.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from attestation.policy import Policy
from attestation.result import AttestedKey
from mifeng.crypto import sm3
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import PeerError
from mifeng.protocol import entries, release
from mifeng.protocol.entries import Release
from mifeng.protocol.keyset import Keyset

from .facts import Facts
from .findings import Findings
from .pack import Pack

__all__ = ["NO_RELEASES", "ReleasePins", "Released", "ReleasesDocument"]

Kind: TypeAlias = Literal["measurement", "model"]
_SHOWN: Final = 32
"""Digits of a digest that a finding shows."""


class ReleasesDocument(BaseModel):
    """Section `releases` of a trust file. No field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[list[str], Field(max_length=16)]
    """Hex of SM2 public keys that sign releases. Empty: being in the log is enough."""
    require: Annotated[list[Kind], Field(min_length=1, max_length=2)]

    def pins(self) -> "ReleasePins":
        """Return the pins; raises `CryptoError` or `ValueError`."""
        keys = tuple(VerifyKey("sm2", bytes.fromhex(key)) for key in self.keys)
        return ReleasePins(keys=keys, require=frozenset(self.require))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePins:
    """What must have been released, and by whom."""

    keys: tuple[VerifyKey, ...] = ()
    require: frozenset[Kind] = frozenset()
    """Empty: nothing must."""


NO_RELEASES: Final = ReleasePins()


class Released:
    """The RELEASE entries of a pack, by what they are about."""

    def __init__(self, pack: Pack, facts: Facts, pins: ReleasePins, found: Findings) -> None:
        """Take a pack whose facts are complete; findings are added to `found`."""
        self._pack, self._pins, self._found = pack, pins, found
        self._about: dict[tuple[str, str], list[tuple[int, Release]]] = {}
        self._signed: dict[int, bool] = {}
        if not pins.require:
            return
        query = "SELECT idx, data FROM others WHERE type = ? ORDER BY idx"
        for index, data in facts.ask(query, Release.TYPE):
            entry = entries.decode(data)
            if isinstance(entry, Release):
                about = (entry.kind, entry.digest.partition(":")[2])
                self._about.setdefault(about, []).append((index, entry))

    def check(self, index: int, key: AttestedKey, keyset: Keyset, judged: Iterable[Policy]) -> None:
        """Add what is wanting for the keyset of the KEYSET entry at `index`.

        Args:
            index: of the entry; what is released after it comes too late.
            key: as the evidence shows it.
            keyset: that it speaks for.
            judged: policies it was held against.
        """
        wanted = list(self._wanted(key, keyset, tuple(judged)))
        if "measurement" in self._pins.require and all(kind == "model" for kind, *_ in wanted):
            self._found.error("release.measurement", index, subject=f"{keyset.node_id} -")
        for kind, name, value in wanted:
            subject = f"{keyset.node_id} {name} {value.hex()[:_SHOWN]}"
            about = self._about.get((kind, value.hex()), [])
            before = bisect_left(about, index, key=lambda each: each[0])
            if not before:
                self._found.error(f"release.{kind}", index, subject=subject)
                continue
            at, entry = about[before - 1]
            if entry.withdrawn:
                self._found.error("release.withdrawn", at, index, subject=subject)
            elif not self._is_signed(at, entry):
                self._found.error("release.unsigned", at, subject=subject)

    def _wanted(
        self, key: AttestedKey, keyset: Keyset, judged: tuple[Policy, ...]
    ) -> Iterator[tuple[Kind, str, bytes]]:
        if "measurement" in self._pins.require:
            measured: Mapping[str, bytes] = key.claims[0].measurements
            rules = (policy.rules.get(key.claims[0].kind) for policy in judged)
            compared = {name for rule in rules if rule for name in rule.references}
            for name in sorted((compared or set(measured)) & set(measured)):
                yield "measurement", name, measured[name]
        if "model" in self._pins.require:
            for name, model in sorted(keyset.models.items()):
                yield "model", name, model.digest

    def _is_signed(self, index: int, entry: Release) -> bool:
        """Whether a release key signed a document that the entry names, about this very item."""
        if not self._pins.keys:
            return True
        if index not in self._signed:
            item = release.Item(
                kind=entry.kind, name=entry.name, version=entry.version, digest=entry.digest
            )
            self._signed[index] = any(
                item in statement.items and not statement.withdrawn
                for statement in self._statements(entry)
            )
        return self._signed[index]

    def _statements(self, entry: Release) -> Iterator[release.Statement]:
        for digest in entry.blob:
            document = self._pack.blob(digest)
            if document is None or sm3(document) != digest:
                continue
            try:
                yield release.verify(document, self._pins.keys)
            except PeerError:
                continue
