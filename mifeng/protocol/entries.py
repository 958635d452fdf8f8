"""Log entries: what the audit log says happened, one frozen class per type.

An entry is canonical JSON `{v, type, at, …}`; an INTENT is a DSSE envelope by the log's key,
because the node acts on it. Entries hold digests, names of institutions and machines, and signed
statements: no plaintext, no personal data except as salted commitments. Documents (evidence,
collateral, keysets, policies, verdicts) are blobs beside the log, named by their SM3.

Each class lists its fields with how they are written; reading and writing follow from the list.

Source: docs/spec/log.md §8.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Final, Self, get_type_hints

from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.errors import MalformedError, PeerError

from . import dsse, jsonc
from .entryfields import (
    Choice,
    Digests,
    FieldCodec,
    Flag,
    Hex,
    Integer,
    OptionalStatement,
    Statement,
    Text,
    Words,
)
from .jsonc import Fields, Json, JsonInput
from .merkle import MAX_SIZE

VERSION: Final = 1
MAX_ENTRY: Final = 65_535
"""Bytes of one entry: entry bundles (c2sp.org/tlog-tiles) count them in a u16."""
INTENT_TYPE: Final = "application/vnd.mifeng.intent+json"
KEY_TYPE: Final = "application/vnd.mifeng.log-key+json"

Digest32 = Annotated[bytes, Hex(32)]
Index = Annotated[int, Integer(0, MAX_SIZE - 1)]
Time = Annotated[int, Integer(0, jsonc.MAX_INT)]
Count = Annotated[int, Integer(0, jsonc.MAX_INT)]
Name = Annotated[str, Text(128)]
Code = Annotated[str, Text(64)]
Blobs = Annotated[tuple[bytes, ...], Digests(64)]
Signed = Annotated[bytes, Statement()]
SignedOrNone = Annotated[bytes | None, OptionalStatement()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something with one canonical JSON form made of its fields."""

    TYPE: ClassVar[str]

    def encode(self) -> bytes:
        """Return the canonical bytes; raises `UsageError` if a field has no encoding."""
        document: dict[str, JsonInput] = {"v": VERSION, "type": self.TYPE}
        for name, codec in _CODECS[type(self)]:
            document[name] = codec.write(getattr(self, name))
        return jsonc.dumps(document)

    @classmethod
    def read(cls, source: Fields) -> Self:
        """Return the record whose fields are left in `source`; raises `MalformedError`."""
        values = {name: codec.read(source, name) for name, codec in _CODECS[cls]}
        source.end()
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent(Record):
    """The log's permission to run one request once; the payload of an INTENT entry."""

    TYPE = "INTENT"

    origin: Annotated[str, Text(255)]
    index: Index
    """Where this very entry stands in the log."""
    h: Digest32
    keyset: Digest32
    attempt: Annotated[int, Integer(1, 255)]
    """1 for the first dispatch of H; more only after a signed NOT_CLAIMED."""
    tenant: Name
    issued: Time
    deadline: Time

    def sign(self, signer: SigningKey) -> bytes:
        """Return the entry: a DSSE envelope by the log's key, the exact bytes the node gets."""
        return dsse.sign(self.encode(), INTENT_TYPE, signer)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIntent:
    """An INTENT entry as logged. Its signature is unverified: see `verify_intent`."""

    intent: Intent
    statement: bytes

    def encode(self) -> bytes:
        """Return the entry's bytes."""
        return self.statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Record):
    """An intent ended in a node's receipt. Durable before the final frame leaves."""

    TYPE = "COMPLETION"

    at: Time
    h: Digest32
    intent: Index
    receipt: Signed
    """The node's DSSE statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Record):
    """An intent ended without execution."""

    TYPE = "REFUSAL"

    at: Time
    h: Digest32
    intent: Index
    by: Annotated[str, Choice("node", "gateway")]
    reason: Code
    statement: SignedOrNone
    """The node's signed NOT_CLAIMED. None only if the gateway sent the node nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphaned(Record):
    """Nobody can say how an intent ended; content may have been delivered."""

    TYPE = "ORPHANED"

    at: Time
    h: Digest32
    intent: Index
    reason: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Late(Record):
    """A receipt that came to light after its intent was declared orphaned."""

    TYPE = "LATE"

    at: Time
    h: Digest32
    intent: Index
    orphaned: Index
    """The ORPHANED entry this corrects."""
    receipt: Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally(Record):
    """A node's signed count and head of its chain of receipts."""

    TYPE = "TALLY"

    at: Time
    node: Name
    keyset: Digest32
    statement: Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAdmitted(Record):
    """The gateway appraised a node and will dispatch to it."""

    TYPE = "NODE_ADMITTED"

    at: Time
    node: Name
    keyset: Digest32
    evidence: Blobs
    collateral: Blobs
    policy: Digest32
    verdict: Digest32
    """Blob: the appraisal result, as EAR claims."""
    tier: Name
    simulated: Annotated[bool, Flag()]
    valid_until: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRejected(Record):
    """The gateway appraised a node and refused it."""

    TYPE = "NODE_REJECTED"

    at: Time
    node: Name
    keyset: Digest32
    evidence: Blobs
    collateral: Blobs
    policy: Digest32
    findings: Annotated[tuple[str, ...], Words(64)]
    """Stable codes of every shortfall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeExpired(Record):
    """A node that was admitted is used no longer."""

    TYPE = "NODE_EXPIRED"

    at: Time
    node: Name
    keyset: Digest32
    reason: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysetLogged(Record):
    """A keyset came into use. Clients demand a proof of this entry before they seal to it."""

    TYPE = "KEYSET"

    at: Time
    node: Name
    epoch: Count
    keyset: Digest32
    """Digest of the keyset bytes, which are a blob."""
    evidence: Blobs
    """Blobs: the anchor evidence, CPU first, then accelerators in device-id order."""
    collateral: Blobs
    freshness: Annotated[int, Integer(1, 2)]
    """Kind of nonce the evidence answers: 1 a challenge, 2 a cosigned note."""
    nonce: Digest32
    simulated: Annotated[bool, Flag()]
    not_before: Time
    not_after: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange(Record):
    """The payload of a KEY entry: which key signs for the log from this entry on."""

    TYPE = "LOG_KEY"

    origin: Annotated[str, Text(255)]
    key: Annotated[str, Text(512)]
    """Verifier key of the key that signs from now on."""
    twin: Annotated[str, Text(512, empty=True)]
    """Verifier key of the SHA-256 twin; empty where there is none."""
    previous: Annotated[str, Text(512, empty=True)]
    """Verifier key of the key that signs this change; empty in entry 0, which signs itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Record):
    """The log begins, or changes its key; signed by the key it had."""

    TYPE = "KEY"

    at: Time
    statement: Signed
    """DSSE of type `KEY_TYPE` around a `KeyChange`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyActivated(Record):
    """A policy document came into force."""

    TYPE = "POLICY"

    at: Time
    name: Name
    policy: Digest32
    actor: Digest32
    """What activated it: SM3 of the gateway's configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Record):
    """Something that nodes or clients may require to be published here."""

    TYPE = "RELEASE"

    at: Time
    kind: Annotated[str, Choice("image", "measurement", "model", "policy", "rules", "firmware")]
    name: Name
    version: Name
    digest: Annotated[str, Text(160)]
    """Lower-case hex behind its algorithm and a colon, e.g. `sha384:…` for a measurement."""
    blob: Annotated[tuple[bytes, ...], Digests(8)]
    """Documents that describe it: manifest, SBOM, signature."""
    withdrawn: Annotated[bool, Flag()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant(Record):
    """A tenant was created, changed or closed."""

    TYPE = "TENANT"

    at: Time
    tenant: Name
    action: Code
    detail: Digest32
    """Salted commitment to the change."""
    actor: Digest32


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin(Record):
    """An administrator or auditor did something."""

    TYPE = "ADMIN"

    at: Time
    role: Annotated[str, Choice("system", "security", "audit")]
    actor: Digest32
    """Salted commitment to the person."""
    action: Code
    subject: Name
    success: Annotated[bool, Flag()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Record):
    """Whom a request is about, to whoever has that person's key; see `subject`."""

    TYPE = "SUBJECT"

    at: Time
    h: Digest32
    intent: Index
    subject: Digest32
    """Salted commitment; the same for all entries about this person."""
    sealed: Annotated[str, Text(1024)]
    """Private fields under the person's key, hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure(Record):
    """The key of a subject's private fields was destroyed; proofs are unaffected."""

    TYPE = "ERASURE"

    at: Time
    subject: Digest32
    """The salted commitment that other entries carry for this subject."""
    reason: Code
    actor: Digest32


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Record):
    """The log is alive. A gap between heartbeats is a finding."""

    TYPE = "HEARTBEAT"

    at: Time
    instance: Name
    """Which gateway process."""
    interval: Annotated[int, Integer(1, 86_400)]
    """Seconds until the next one is due."""


Closing = Completion | Refusal | Orphaned
"""What ends an intent; each intent has exactly one."""

Entry = (
    SignedIntent
    | Closing
    | Late
    | Tally
    | NodeAdmitted
    | NodeRejected
    | NodeExpired
    | KeysetLogged
    | Key
    | PolicyActivated
    | Release
    | Tenant
    | Admin
    | Subject
    | Erasure
    | Heartbeat
)

_PLAIN: Final = {
    cls.TYPE: cls
    for cls in (
        Completion,
        Refusal,
        Orphaned,
        Late,
        Tally,
        NodeAdmitted,
        NodeRejected,
        NodeExpired,
        KeysetLogged,
        Key,
        PolicyActivated,
        Release,
        Tenant,
        Admin,
        Subject,
        Erasure,
        Heartbeat,
    )
}
_CODECS: Final[dict[type[Record], tuple[tuple[str, FieldCodec], ...]]] = {
    cls: tuple(
        (field.name, get_type_hints(cls, include_extras=True)[field.name].__metadata__[0])
        for field in fields(cls)
    )
    for cls in (Intent, KeyChange, *_PLAIN.values())
}
TYPES: Final = (Intent.TYPE, *_PLAIN)
"""Names of all entry types."""


def decode(data: bytes) -> Entry:
    """Return the entry `data` encodes. Signatures inside it are unverified.

    Args:
        data: untrusted; any bytes.

    Raises:
        MalformedError: not the canonical bytes of an entry of a type we know.
    """
    document = jsonc.loads(data, limit=MAX_ENTRY)
    if isinstance(document, dict) and "payloadType" in document:
        return SignedIntent(intent=_intent(dsse.from_json(document)), statement=data)
    source, kind = _open(document, "entry")
    cls = _PLAIN.get(kind)
    if cls is None:
        raise MalformedError(f"entry: of unknown type {kind}")
    return cls.read(source)


def entry_type(entry: Entry) -> str:
    """Return the name of an entry's type."""
    return Intent.TYPE if isinstance(entry, SignedIntent) else entry.TYPE


def verify_intent(statement: bytes, *, origin: str, keys: Collection[VerifyKey]) -> Intent:
    """Return the intent in a statement that the log `origin` signed.

    What the intent permits (which request, tenant, keyset, until when) the caller compares.

    Raises:
        MalformedError: not an INTENT.
        PeerError: signed by none of `keys`, or for another log.
    """
    (intent,) = verify_intents([statement], origin=origin, keys=keys)
    if isinstance(intent, PeerError):
        raise intent
    return intent


def verify_intents(
    statements: Sequence[bytes], *, origin: str, keys: Collection[VerifyKey]
) -> list[Intent | PeerError]:
    """Return for each statement what `verify_intent` returns or raises."""
    results: dict[int, Intent | PeerError] = {}
    claims: dict[int, tuple[dsse.Envelope, str, VerifyKey]] = {}
    for place, statement in enumerate(statements):
        try:
            envelope = dsse.parse(statement, limit=MAX_ENTRY)
            claims[place] = (envelope, INTENT_TYPE, _pinned(envelope, keys))
        except PeerError as exc:
            results[place] = exc
    verified = dsse.verify_each(list(claims.values()))
    for (place, (envelope, _, _)), found in zip(claims.items(), verified, strict=True):
        try:
            if isinstance(found, PeerError):
                raise found
            intent = _intent(envelope)
            if intent.origin != origin:
                raise PeerError(f"intent: of log {intent.origin}, not {origin}")
            results[place] = intent
        except PeerError as exc:
            results[place] = exc
    return [results[place] for place in range(len(statements))]


def sign_key_change(change: KeyChange, signer: SigningKey) -> bytes:
    """Return the statement of a KEY entry, signed by the key that the log had until then."""
    return dsse.sign(change.encode(), KEY_TYPE, signer)


def verify_key_change(statement: bytes, *, origin: str, keys: Collection[VerifyKey]) -> KeyChange:
    """Return the change in a KEY entry's statement; raises as `verify_intent` does."""
    change = _key_change(_verified(statement, KEY_TYPE, keys))
    if change.origin != origin:
        raise PeerError(f"log-key: of log {change.origin}, not {origin}")
    return change


def parse_key_change(statement: bytes) -> KeyChange:
    """Return the change in a KEY entry's statement, unverified: for a log reading itself."""
    return _key_change(dsse.parse(statement, limit=MAX_ENTRY))


def _key_change(envelope: dsse.Envelope) -> KeyChange:
    source, kind = _open(jsonc.loads(envelope.payload), "log-key")
    if envelope.payload_type != KEY_TYPE or kind != KeyChange.TYPE:
        raise MalformedError("log-key: not a change of the log's key")
    return KeyChange.read(source)


def _verified(statement: bytes, payload_type: str, keys: Collection[VerifyKey]) -> dsse.Envelope:
    envelope = dsse.parse(statement, limit=MAX_ENTRY)
    dsse.verify_parsed(envelope, payload_type, _pinned(envelope, keys))
    return envelope


def _pinned(envelope: dsse.Envelope, keys: Collection[VerifyKey]) -> VerifyKey:
    for key in keys:
        if envelope.keyid == dsse.key_id(key.alg, key.public_bytes):
            return key
    raise PeerError(f"dsse: signed by {envelope.keyid}, which is not pinned")


def _intent(envelope: dsse.Envelope) -> Intent:
    if envelope.payload_type != INTENT_TYPE:
        raise MalformedError(f"intent: is {envelope.payload_type}")
    source, kind = _open(jsonc.loads(envelope.payload), "intent")
    if kind != Intent.TYPE:
        raise MalformedError("intent: payload of another type")
    return Intent.read(source)


def _open(document: Json, what: str) -> tuple[Fields, str]:
    source = Fields(document, what)
    source.integer("v", low=VERSION, high=VERSION)
    return source, source.text("type", limit=64)
