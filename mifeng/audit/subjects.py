"""Persons in a pack: what must hold of them, and what the key of one of them opens.

An auditor needs no key to verify a pack. With one, that the gateway disclosed for a reason it
logged, the entries about that person open; after the person's erasure there is none to be had.

Source: docs/spec/log.md §8.6; docs/privacy.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mifeng.errors import MalformedError, PeerError, UsageError
from mifeng.protocol import entries, jsonc
from mifeng.protocol.subject import KEY_BYTES, PrivateFields, unseal

from .facts import Facts
from .findings import Findings
from .pack import Pack
from .wording import moment, printable

MAX_KEY_FILE = 4096


def check(facts: Facts, found: Findings, *, whole: bool) -> None:
    """Add what does not hold of SUBJECT and ERASURE entries.

    Args:
        facts: of a pack, complete.
        found: where to add.
        whole: whether the pack holds every entry of the log.
    """
    erased: dict[bytes, int] = {}
    for index, raw in facts.ask(
        "SELECT idx, data FROM others WHERE type IN ('SUBJECT', 'ERASURE') ORDER BY idx"
    ):
        entry = entries.decode(raw)
        if isinstance(entry, entries.Erasure):
            if entry.subject in erased:
                found.warning("erasure.twice", index, subject=entry.subject.hex())
            erased.setdefault(entry.subject, index)
        elif isinstance(entry, entries.Subject):
            if entry.subject in erased:
                found.error("subject.after-erasure", index, subject=entry.subject.hex())
            h = facts.one("SELECT h FROM intents WHERE idx = ?", entry.intent)
            if (h is None and whole) or (h is not None and h != entry.h) or entry.intent >= index:
                found.error("subject.no-intent", index)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKey:
    """A person's key, as the audit administrator's action `subject.open` gives it out."""

    subject: bytes
    key: bytes

    def encode(self) -> bytes:
        """Return the file's bytes: canonical JSON."""
        return jsonc.dumps(
            {
                "v": 1,
                "kind": "mifeng-subject-key",
                "subject": self.subject.hex(),
                "key": self.key.hex(),
            }
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the key in a file; raises `UsageError`."""
        try:
            source = jsonc.Fields(
                jsonc.loads(path.read_bytes().strip(), limit=MAX_KEY_FILE), "subject-key"
            )
            source.integer("v", low=1, high=1)
            source.choice("kind", ("mifeng-subject-key",))
            made = cls(subject=source.hex("subject", 32), key=source.hex("key", KEY_BYTES))
            source.end()
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        except MalformedError as exc:
            raise UsageError(f"{path}: {exc}") from exc
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One entry about a person, opened."""

    index: int
    at: int
    intent: int
    h: bytes
    fields: PrivateFields


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What a pack holds about one person."""

    opened: tuple[Opened, ...]
    unopened: tuple[int, ...]
    """Entries with the person's commitment that the key does not open: it is not the key."""
    erased: int | None
    """Index of the ERASURE."""

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON."""
        return {
            "opened": [
                {
                    "index": one.index,
                    "at": one.at,
                    "intent": one.intent,
                    "h": one.h.hex(),
                    "tenant": one.fields.tenant,
                    "reference": one.fields.reference,
                }
                for one in self.opened
            ],
            "unopened": list(self.unopened),
            "erased": self.erased,
        }


def person(path: Path, subject: bytes, key: bytes | None) -> Person:
    """Return what a pack, which is to be verified before, holds about a person.

    Args:
        path: the pack.
        subject: the person's commitment.
        key: the person's key; None to list without opening.
    """
    opened: list[Opened] = []
    unopened: list[int] = []
    erased: int | None = None
    with Pack(path) as pack:
        for index, entry in _about(pack, subject):
            if isinstance(entry, entries.Erasure):
                erased = index
                continue
            try:
                fields = _opened(entry, key, origin=pack.manifest.origin)
            except (PeerError, MalformedError):
                unopened.append(index)
                continue
            found = Opened(index=index, at=entry.at, intent=entry.intent, h=entry.h, fields=fields)
            opened.append(found)
    return Person(opened=tuple(opened), unopened=tuple(unopened), erased=erased)


def _about(pack: Pack, subject: bytes) -> Iterator[tuple[int, entries.Subject | entries.Erasure]]:
    for number in pack.chunks:
        for index, data in pack.entries(number):
            if b'"type":"SUBJECT"' not in data and b'"type":"ERASURE"' not in data:
                continue
            try:
                entry = entries.decode(data)
            except MalformedError:
                continue
            if isinstance(entry, entries.Subject | entries.Erasure) and entry.subject == subject:
                yield index, entry


def _opened(entry: entries.Subject, key: bytes | None, *, origin: str) -> PrivateFields:
    if key is None:
        raise PeerError("subject: no key")
    return unseal(key, entry.sealed, origin=origin, intent=entry.intent, subject=entry.subject)


def tell(subject: bytes, found: Person, lang: str) -> list[str]:
    """Return what a pack holds about a person, in sentences."""
    zh = lang == "zh"
    lines = [f"{'主体' if zh else 'person'} {subject.hex()}"]
    for one in found.opened:
        fields = one.fields
        lines.append(
            f"条目 {one.index}: {moment(one.at)}, 许可 {one.intent} 的请求涉及租户"
            f" {printable(fields.tenant)} 的主体 {fields.reference}; 承诺已验证"
            if zh
            else f"entry {one.index}: {moment(one.at)}, the request of intent {one.intent} is about"
            f" {fields.reference} of tenant {printable(fields.tenant)}; the commitment opens"
        )
    if found.unopened:
        shown = ", ".join(map(str, found.unopened))
        lines.append(f"未打开的条目: {shown}" if zh else f"entries that were not opened: {shown}")
    if found.erased is not None:
        lines.append(
            f"条目 {found.erased} 记录该主体的密钥已销毁: 此后没有人能再打开其私密字段,"
            " 日志的每一项证明不变"
            if zh
            else f"entry {found.erased} records that this person's key was destroyed: since then"
            " nobody can open the private fields, and every proof of the log is as before"
        )
    elif not found.opened and not found.unopened:
        lines.append("证据包中没有该主体的条目" if zh else "the pack holds nothing about them")
    return lines
