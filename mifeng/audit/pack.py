"""What an audit pack holds, and how it is written and read.

    anchors/<size>-<kind>-<n>   what third parties answered for a checkpoint (anchor.md)
    blobs/<SM3>                 documents the entries name: evidence, collateral, keysets, policies
    checkpoints/<size>-<world>-<n>.note
    entries/<chunk>             entries with their indexes, 4096 indexes to a chunk
    gaps/<world>                roots of the subtrees that stand for entries left out
    leaves/<chunk>              SM3 leaf hashes of the same entries, so that damage is located
    manifest.json               what this is, and the SM3 of every member above
    signature.json              whoever exported it signed the manifest; may be absent

Reading is in pieces: memory does not grow with the log. Nothing read here is verified but its
shape; `verify` does that.

Source: docs/spec/audit-pack.md.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from mifeng.crypto import Sm3, sm3
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.errors import MalformedError
from mifeng.protocol import dsse, jsonc
from mifeng.protocol.entries import MAX_ENTRY
from mifeng.protocol.merkle import DIGEST_BYTES, MAX_SIZE, WORLDS, Digest
from mifeng.protocol.note import MAX_NOTE

from .anchors.record import KINDS, MAX_RECORD
from .container import MAX_MEMBERS, Container, ContainerWriter, PackMalformedError

VERSION: Final = 1
CHUNK: Final = 4096
"""Indexes to a chunk: a multiple of it begins each one."""
PACK_TYPE: Final = "application/vnd.mifeng.audit-pack+json"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "signature.json"
SCOPES: Final = ("all", "range", "tenant", "request")
_MAX_MANIFEST: Final = 32 << 20
_MAX_BLOB: Final = 33 << 20
MAX_RECORDS: Final = 16_384
MAX_RECORD_BYTES: Final = 256 << 20
"""Of a pack's anchor records, all together: each is parsed, and its signatures are checked."""
_PREFIX: Final = 12
_NOTE_NAME: Final = re.compile(r"checkpoints/([0-9]{16})-(sm3|sha256)-([0-9]{2})\.note")
_ANCHOR_NAME: Final = re.compile(rf"anchors/([0-9]{{16}})-({'|'.join(KINDS)})-([0-9]{{2}})")
_CHUNK_NAME: Final = re.compile(r"(entries|leaves)/([0-9]{12})")
_BLOB_NAME: Final = re.compile(r"blobs/([0-9a-f]{64})")
_OTHER_NAMES: Final = ("gaps/sm3", "gaps/sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the exporter chose. A claim: `verify` works out itself what is missing."""

    kind: str
    """One of `SCOPES`."""
    subject: str
    """Tenant, request digest in hex, or `low-high`; empty for `all`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the pack says it is. Members are by name, without manifest and signature."""

    origin: str
    scope: Scope
    made_at: int
    """Unix seconds."""
    size: int
    """Entries of the newest checkpoint in the pack."""
    count: int
    """Entries in the pack."""
    members: Mapping[str, bytes]
    """SM3 of each member's content."""

    def encode(self) -> bytes:
        """Return the canonical JSON bytes."""
        return jsonc.dumps(
            {
                "v": VERSION,
                "kind": "mifeng-audit-pack",
                "origin": self.origin,
                "scope": {"kind": self.scope.kind, "subject": self.scope.subject},
                "made_at": self.made_at,
                "size": self.size,
                "count": self.count,
                "members": {name: digest.hex() for name, digest in self.members.items()},
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the manifest `data` encodes; raises `MalformedError`."""
        fields = jsonc.Fields(jsonc.loads(data, limit=_MAX_MANIFEST), "manifest")
        fields.integer("v", low=VERSION, high=VERSION)
        fields.choice("kind", ("mifeng-audit-pack",))
        scope = fields.object("scope")
        names = fields.map("members")
        named = jsonc.Fields(names, "manifest.members")
        manifest = cls(
            origin=fields.text("origin", limit=255),
            scope=Scope(
                kind=scope.choice("kind", SCOPES),
                subject=scope.text("subject", limit=160, empty=True),
            ),
            made_at=fields.integer("made_at"),
            size=fields.integer("size", high=MAX_SIZE),
            count=fields.integer("count", high=MAX_SIZE),
            members=MappingProxyType({name: named.hex(name, DIGEST_BYTES) for name in names}),
        )
        for part in (scope, named, fields):
            part.end()
        return manifest


@dataclass(frozen=True, slots=True)
class NoteFile:
    """A checkpoint note in a pack, unverified."""

    size: int
    world: str
    note: bytes
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorFile:
    """An anchor record in a pack, unverified."""

    size: int
    kind: str
    data: bytes
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Who a pack says it is from."""

    keyid: str
    trusted: bool
    """Whether that key is one of ours and its signature verified; else it is a mere claim."""


class PackWriter:
    """Writes a pack. Call in this order: `anchors`, `blob`s, `checkpoints`, `chunk`s, `finish`."""

    def __init__(self, container: ContainerWriter) -> None:
        self._container = container
        self._digests: dict[str, bytes] = {}
        self._leaves: list[tuple[int, bytes]] = []
        self.count = 0

    def _add(self, name: str, data: bytes) -> None:
        self._container.add(name, [data])
        self._digests[name] = sm3(data)

    def anchors(self, records: Iterable[tuple[int, str, bytes]]) -> None:
        """Add anchor records given as (size, kind, record), each once, in a fixed order."""
        seen: dict[tuple[int, str], int] = {}
        for size, kind, data in sorted(set(records)):
            number = seen[size, kind] = seen.get((size, kind), -1) + 1
            self._add(f"anchors/{size:016d}-{kind}-{number:02d}", data)

    def blob(self, data: bytes) -> None:
        """Add a document; in ascending order of digest."""
        self._add(f"blobs/{sm3(data).hex()}", data)

    def checkpoints(self, notes: Iterable[tuple[int, str, bytes]]) -> None:
        """Add notes given as (size, world, note), each once, in a fixed order."""
        seen: dict[tuple[int, str], int] = {}
        for size, world, data in sorted(set(notes)):
            number = seen[size, world] = seen.get((size, world), -1) + 1
            self._add(f"checkpoints/{size:016d}-{world}-{number:02d}.note", data)

    def chunk(self, number: int, records: Sequence[tuple[int, bytes]], leaves: bytes) -> None:
        """Add the entries of one chunk, ascending, with their leaf hashes."""
        parts: list[bytes] = []
        for index, entry in records:
            parts += (index.to_bytes(8, "big"), len(entry).to_bytes(4, "big"), entry)
        self._add(f"entries/{number:012d}", b"".join(parts))
        self._leaves.append((number, leaves))
        self.count += len(records)

    def finish(
        self,
        *,
        gaps: Mapping[str, Sequence[Digest]],
        origin: str,
        scope: Scope,
        made_at: int,
        size: int,
        signer: SigningKey | None,
    ) -> Manifest:
        """Add subtree roots, leaf hashes, manifest and signature; returns the manifest."""
        for world in sorted(gaps):
            self._add(f"gaps/{world}", b"".join(gaps[world]))
        for number, leaves in self._leaves:
            self._add(f"leaves/{number:012d}", leaves)
        manifest = Manifest(
            origin=origin,
            scope=scope,
            made_at=made_at,
            size=size,
            count=self.count,
            members=self._digests,
        )
        data = manifest.encode()
        self._container.add(MANIFEST, [data])
        if signer is not None:
            statement: dict[str, jsonc.JsonInput] = {
                "v": VERSION,
                "manifest": sm3(data).hex(),
                "at": made_at,
            }
            signed = dsse.sign(jsonc.dumps(statement), PACK_TYPE, signer)
            self._container.add(SIGNATURE, [signed])
        return manifest


class Pack:
    """A pack opened for reading. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open a pack and read its manifest.

        Raises:
            PackMalformedError: not a pack in its one form; the message says where.
            UsageError: it cannot be read.
        """
        self._container = Container(path)
        self.path = path
        try:
            self._manifest_bytes = self._container.read(MANIFEST, limit=_MAX_MANIFEST)
            try:
                self.manifest = Manifest.decode(self._manifest_bytes)
            except MalformedError as exc:
                raise PackMalformedError(f"pack: {MANIFEST}: {exc}") from exc
            self._check_names()
        except BaseException:
            self._container.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.__exit__()

    def _check_names(self) -> None:
        have = [name for name in self._container.members if name not in (MANIFEST, SIGNATURE)]
        if have != sorted(self.manifest.members):
            odd = sorted(set(have) ^ set(self.manifest.members))
            raise PackMalformedError(f"pack: members and manifest differ in {odd[:3]}")
        for name in have:
            known = (_NOTE_NAME, _CHUNK_NAME, _BLOB_NAME, _ANCHOR_NAME)
            if name not in _OTHER_NAMES and not any(form.fullmatch(name) for form in known):
                raise PackMalformedError(f"pack: member {name} of no kind we know")
        if self.chunks != self._numbers("leaves"):
            raise PackMalformedError("pack: entries without leaf hashes, or the reverse")
        anchors = [name for name in have if _ANCHOR_NAME.fullmatch(name)]
        volume = sum(self._container.members[name].size for name in anchors)
        if len(anchors) > MAX_RECORDS or volume > MAX_RECORD_BYTES:
            raise PackMalformedError(
                f"pack: {len(anchors)} anchor records of {volume} bytes, "
                f"limit {MAX_RECORDS} of {MAX_RECORD_BYTES}"
            )

    def _numbers(self, kind: str) -> list[int]:
        found = (_CHUNK_NAME.fullmatch(name) for name in self.manifest.members)
        return sorted(int(match[2]) for match in found if match and match[1] == kind)

    @property
    def chunks(self) -> list[int]:
        """Numbers of the chunks, ascending."""
        return self._numbers("entries")

    @property
    def blobs(self) -> list[bytes]:
        """Digests that documents are filed under, ascending."""
        found = (_BLOB_NAME.fullmatch(name) for name in self.manifest.members)
        return sorted(bytes.fromhex(match[1]) for match in found if match)

    def intact(self, name: str) -> bool:
        """Whether a member has the digest that the manifest gives it."""
        state = Sm3()
        try:
            for piece in self._container.pieces(name):
                state.update(piece)
        except PackMalformedError:
            return False
        return state.digest() == self.manifest.members[name]

    def _content(self, name: str, limit: int) -> bytes:
        """Return a member, damaged or not: what is damaged is reported by `intact`."""
        member = self._container.members[name]
        if member.size > limit:
            raise PackMalformedError(f"pack: {name} has {member.size} bytes, limit {limit}")
        pieces: list[bytes] = []
        with contextlib.suppress(PackMalformedError):
            pieces.extend(self._container.pieces(name))
        return b"".join(pieces)

    def blob(self, digest: bytes) -> bytes | None:
        """Return the document with this SM3, or None if it is absent or altered."""
        name = f"blobs/{digest.hex()}"
        if name not in self.manifest.members:
            return None
        data = self._content(name, _MAX_BLOB)
        return data if sm3(data) == digest else None

    def notes(self) -> Iterator[NoteFile]:
        """Yield the checkpoint notes, by size."""
        for name in self.manifest.members:
            if match := _NOTE_NAME.fullmatch(name):
                note = self._content(name, MAX_NOTE)
                yield NoteFile(int(match[1]), match[2], note, name)

    def anchors(self) -> Iterator[AnchorFile]:
        """Yield the anchor records, by size."""
        for name in self.manifest.members:
            if match := _ANCHOR_NAME.fullmatch(name):
                data = self._content(name, MAX_RECORD)
                yield AnchorFile(size=int(match[1]), kind=match[2], data=data, member=name)

    def gaps(self, world: str) -> list[Digest]:
        """Return the roots that stand for entries left out, in order."""
        name = f"gaps/{world}"
        if name not in self.manifest.members:
            return []
        data = self._content(name, MAX_MEMBERS << 10)
        return [Digest(data[i : i + DIGEST_BYTES]) for i in range(0, len(data), DIGEST_BYTES)]

    def leaves(self, number: int) -> list[Digest]:
        """Return the leaf hashes filed for a chunk."""
        data = self._content(f"leaves/{number:012d}", CHUNK * DIGEST_BYTES)
        return [Digest(data[i : i + DIGEST_BYTES]) for i in range(0, len(data), DIGEST_BYTES)]

    def entries(self, number: int) -> list[tuple[int, bytes]]:
        """Return index and bytes of a chunk's entries, ascending.

        Raises:
            PackMalformedError: not records of that chunk.
        """
        name = f"entries/{number:012d}"
        data = self._content(name, CHUNK * (MAX_ENTRY + _PREFIX))
        found: list[tuple[int, bytes]] = []
        at, least = 0, number * CHUNK
        while at < len(data):
            index = int.from_bytes(data[at : at + 8], "big")
            size = int.from_bytes(data[at + 8 : at + _PREFIX], "big")
            at += _PREFIX + size
            if not least <= index < (number + 1) * CHUNK or size > MAX_ENTRY or at > len(data):
                raise PackMalformedError(f"pack: {name} is damaged after entry {least - 1}")
            found.append((index, data[at - size : at]))
            least = index + 1
        return found

    def signature(self, keys: Iterable[VerifyKey]) -> Attribution | None:
        """Return who signed this pack, or None if nobody did.

        Raises:
            PeerError: not a signature, or one of `keys` signed wrongly or another manifest.
        """
        if SIGNATURE not in self._container.members:
            return None
        envelope = dsse.parse(self._container.read(SIGNATURE, limit=1 << 16))
        for key in keys:
            if envelope.keyid == dsse.key_id(key.alg, key.public_bytes):
                dsse.verify_parsed(envelope, PACK_TYPE, key)
                break
        else:
            return Attribution(keyid=envelope.keyid, trusted=False)
        fields = jsonc.Fields(jsonc.loads(envelope.payload), "pack signature")
        fields.integer("v", low=VERSION, high=VERSION)
        manifest = fields.hex("manifest", DIGEST_BYTES)
        fields.integer("at")
        fields.end()
        if manifest != sm3(self._manifest_bytes):
            raise PackMalformedError("pack: its signature is about another manifest")
        return Attribution(keyid=envelope.keyid, trusted=True)


def worlds(notes: Iterable[NoteFile]) -> list[str]:
    """Return the names of the hash worlds that notes are of, SM3 first."""
    present = {note.world for note in notes}
    return [name for name in WORLDS if name in present]
