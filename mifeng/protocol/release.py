"""What a release key publishes: images, measurements, models, policies and verdict rules.

    {v: 1, at, withdrawn, items: [{kind, name, version, digest}, …]}    signed, DSSE

The gateway appends one RELEASE entry for each item, with the signed document beside the log. A
client that insists on releases wants every measurement its policy compares, and the model, to be
in an entry that is included in the pinned log and not withdrawn since, and, where it pins release
keys, in a document signed by one of them.

Source: docs/spec/log.md §8.7.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.errors import MalformedError, NodeRejectedError, PeerError

from . import dsse
from .entries import Release
from .jsonc import Fields, Json, dumps, loads

RELEASE_TYPE: Final = "application/vnd.mifeng.release+json"
KINDS: Final = ("image", "measurement", "model", "policy", "rules", "firmware")
VERSION: Final = 1
MAX_ITEMS: Final = 256
MAX_DOCUMENT: Final = 256 << 10
_MAX_TEXT: Final = 160


class UnreleasedError(NodeRejectedError):
    """What the node runs is not in the log as released, or was withdrawn; the message says what."""

    code = "peer.unreleased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that is released."""

    kind: str
    """One of `KINDS`."""
    name: str
    version: str
    digest: str
    """Lower-case hex behind its algorithm and a colon, e.g. `sha384:…`."""

    @property
    def value(self) -> str:
        """The hex part."""
        return self.digest.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a release document says."""

    at: int
    """Unix seconds, the signer's word."""
    withdrawn: bool
    """Whether the items are taken back instead."""
    items: tuple[Item, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes that are signed."""
        items: list[Json] = [
            {"kind": i.kind, "name": i.name, "version": i.version, "digest": i.digest}
            for i in self.items
        ]
        return dumps({"v": VERSION, "at": self.at, "withdrawn": self.withdrawn, "items": items})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the statement that `data` encodes; raises `MalformedError`."""
        fields = Fields(loads(data, limit=MAX_DOCUMENT), "release")
        fields.integer("v", low=VERSION, high=VERSION)
        statement = cls(
            at=fields.integer("at"),
            withdrawn=fields.flag("withdrawn"),
            items=tuple(_item(value) for value in fields.array("items", limit=MAX_ITEMS)),
        )
        fields.end()
        if not statement.items or len(set(statement.items)) != len(statement.items):
            raise MalformedError("release: no items, or one twice")
        return statement

    def sign(self, key: SigningKey) -> bytes:
        """Return the document."""
        return dsse.sign(self.encode(), RELEASE_TYPE, key)

    def entries(self, document: bytes, *, at: int) -> list[Release]:
        """Return the log entries that publish this statement, in order of its items."""
        return [
            Release(
                at=at,
                kind=item.kind,
                name=item.name,
                version=item.version,
                digest=item.digest,
                blob=(sm3(document),),
                withdrawn=self.withdrawn,
            )
            for item in self.items
        ]


def _item(value: Json) -> Item:
    fields = Fields(value, "release.items")
    item = Item(
        kind=fields.choice("kind", KINDS),
        name=fields.text("name", limit=_MAX_TEXT),
        version=fields.text("version", limit=_MAX_TEXT),
        digest=fields.text("digest", limit=_MAX_TEXT),
    )
    fields.end()
    algorithm, colon, hexadecimal = item.digest.partition(":")
    plain = algorithm.isascii() and algorithm.isalnum() and algorithm == algorithm.lower()
    if not (plain and colon and hexadecimal and set(hexadecimal) <= set("0123456789abcdef")):
        raise MalformedError("release: a digest is not algorithm:hex")
    return item


def verify(document: bytes, keys: Iterable[VerifyKey]) -> Statement:
    """Return what a document says, if one of `keys` signed it.

    Args:
        document: untrusted; any bytes.
        keys: release keys that are believed.

    Raises:
        MalformedError: not a release document.
        PeerError: signed by no key of these.
    """
    envelope = dsse.parse(document, limit=MAX_DOCUMENT)
    for key in keys:
        if envelope.keyid == dsse.key_id(key.alg, key.public_bytes):
            return Statement.decode(dsse.verify_parsed(envelope, RELEASE_TYPE, key))
    raise PeerError("release: signed by no release key that is known here")


def find(
    kind: str, value: bytes, what: str, listed: Sequence[tuple[int, Release]]
) -> tuple[int, Release]:
    """Return the newest entry that releases a digest.

    Args:
        kind: of what is wanted, one of `KINDS`.
        value: its digest, without the algorithm's name.
        what: how to call it in a refusal.
        listed: RELEASE entries by index, unverified: whoever believes the result proves that it is
            included in the log.

    Raises:
        UnreleasedError: none does, or the newest one takes it back.
    """
    about = [
        (index, entry)
        for index, entry in listed
        if entry.kind == kind and entry.digest.partition(":")[2] == value.hex()
    ]
    if not about:
        raise UnreleasedError(f"{what} {value.hex()} is not in the log as released")
    newest = max(about, key=lambda each: each[0])
    if newest[1].withdrawn:
        raise UnreleasedError(f"{what} {value.hex()} was withdrawn at entry {newest[0]}")
    return newest
