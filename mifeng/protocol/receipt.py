"""What a node signs: receipts for what it claimed, refusals for what it did not, tallies.

Every claim ends in exactly one receipt, and receipts form a chain: `seq` counts them and `prev`
is the digest of what the one before says. A tally states the head of the chain, so an answer
given without a record shows later as a gap. A refusal before the claim is a `NotClaimed`; it is
outside the chain, because nothing was executed, and it is what makes resealing to another node
safe.

A receipt is published. It holds digests only: of sealed frames, and salted ones of plaintexts,
the salt being sealed to the client. Usage is rounded up to powers of two.

Source: docs/spec/receipt.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Final, Self

from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.errors import MalformedError, PeerError, ReceiptRejectedError

from . import dsse, jsonc
from .header import DIGEST_BYTES

VERSION: Final = 1
MAX_STATEMENT_BYTES: Final = 32 * 1024
RECEIPT_TYPE: Final = "application/vnd.mifeng.receipt+json"
NOT_CLAIMED_TYPE: Final = "application/vnd.mifeng.not-claimed+json"
TALLY_TYPE: Final = "application/vnd.mifeng.tally+json"

COMPLETED: Final = "completed"
FAILED: Final = "failed"
"""The model refused or broke; the answer is a sealed error."""
ABORTED: Final = "aborted"
"""Cancelled, past its deadline, or the node stopped; the answer may be cut short."""
OUTCOMES: Final = (COMPLETED, FAILED, ABORTED)

SIMULATED: Final = "SIMULATED"
UNWITNESSED: Final = "UNWITNESSED"
MARKS: Final = (SIMULATED, UNWITNESSED)
_CHAIN: Final = b"mifeng/v1/chain\0"
_MIN_USAGE: Final = 256
_MAX_USAGE_KEYS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One claim and how it ended. Digests are 32 bytes, times Unix seconds of the node's clock."""

    h: bytes
    """Digest of the request header: which request this is about."""
    outcome: str
    reason: str
    """Stable code of a failure or abort; empty when completed."""
    origin: str
    intent_index: int
    """Where the log recorded the intent the node acted on."""
    seq: int
    prev: bytes
    keyset: bytes
    model: str
    model_digest: bytes
    backend: str
    """Backend and execution provider that ran, e.g. `onnxruntime/CPUExecutionProvider 1.31.1`."""
    device: str
    sealed_request: bytes
    sealed_response: bytes
    """Body digests over all sealed frames of a direction, as they crossed the wire."""
    salted_request: bytes | None
    salted_response: bytes | None
    """Salted body digests of the plaintexts; None where the policy leaves large bodies out."""
    node_policy: bytes
    client_policy: bytes
    usage: Mapping[str, int]
    """Rounded up by `bucket_usage`."""
    client_auth: bytes | None
    """SM3 of the SM2 key that signed the request inside the seal, if one did."""
    started: int
    finished: int
    log_size: int
    log_root: bytes
    """The log as this node has last seen it, so that nodes witness it too."""
    marks: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the canonical JSON payload."""
        return jsonc.dumps(
            {
                "v": VERSION,
                "h": self.h.hex(),
                "outcome": self.outcome,
                "reason": self.reason,
                "intent": {"origin": self.origin, "index": self.intent_index},
                "seq": self.seq,
                "prev": self.prev.hex(),
                "keyset": self.keyset.hex(),
                "model": {"name": self.model, "digest": self.model_digest.hex()},
                "backend": self.backend,
                "device": self.device,
                "sealed_request": self.sealed_request.hex(),
                "sealed_response": self.sealed_response.hex(),
                "salted_request": _hex_or_none(self.salted_request),
                "salted_response": _hex_or_none(self.salted_response),
                "node_policy": self.node_policy.hex(),
                "client_policy": self.client_policy.hex(),
                "usage": dict(self.usage),
                "client_auth": _hex_or_none(self.client_auth),
                "started": self.started,
                "finished": self.finished,
                "log": {"size": self.log_size, "root": self.log_root.hex()},
                "marks": list(self.marks),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the receipt `payload` encodes, or raise `MalformedError`."""
        fields = _open(payload, "receipt")
        intent, model, log = fields.object("intent"), fields.object("model"), fields.object("log")
        receipt = cls(
            h=fields.hex("h", DIGEST_BYTES),
            outcome=fields.choice("outcome", OUTCOMES),
            reason=fields.text("reason", limit=64, empty=True),
            origin=intent.text("origin", limit=255),
            intent_index=intent.integer("index"),
            seq=fields.integer("seq"),
            prev=fields.hex("prev", DIGEST_BYTES),
            keyset=fields.hex("keyset", DIGEST_BYTES),
            model=model.text("name", limit=128),
            model_digest=model.hex("digest", DIGEST_BYTES),
            backend=fields.text("backend", limit=128),
            device=fields.text("device", limit=128),
            sealed_request=fields.hex("sealed_request", DIGEST_BYTES),
            sealed_response=fields.hex("sealed_response", DIGEST_BYTES),
            salted_request=fields.hex_or_none("salted_request", DIGEST_BYTES),
            salted_response=fields.hex_or_none("salted_response", DIGEST_BYTES),
            node_policy=fields.hex("node_policy", DIGEST_BYTES),
            client_policy=fields.hex("client_policy", DIGEST_BYTES),
            usage=_usage(fields.map("usage")),
            client_auth=fields.hex_or_none("client_auth", DIGEST_BYTES),
            started=fields.integer("started"),
            finished=fields.integer("finished"),
            log_size=log.integer("size"),
            log_root=log.hex("root", DIGEST_BYTES),
            marks=_marks(fields.array("marks", limit=len(MARKS))),
        )
        for part in (intent, model, log, fields):
            part.end()
        return receipt

    def sign(self, key: SigningKey) -> bytes:
        """Return the signed statement, the exact bytes that travel and are logged."""
        return dsse.sign(self.encode(), RECEIPT_TYPE, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotClaimed:
    """The node did not claim a request and, under this keyset, never will."""

    h: bytes
    reason: str
    origin: str
    intent_index: int
    keyset: bytes
    at: int
    marks: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the canonical JSON payload."""
        return jsonc.dumps(
            {
                "v": VERSION,
                "h": self.h.hex(),
                "reason": self.reason,
                "intent": {"origin": self.origin, "index": self.intent_index},
                "keyset": self.keyset.hex(),
                "at": self.at,
                "marks": list(self.marks),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the refusal `payload` encodes, or raise `MalformedError`."""
        fields = _open(payload, "not-claimed")
        intent = fields.object("intent")
        refusal = cls(
            h=fields.hex("h", DIGEST_BYTES),
            reason=fields.text("reason", limit=64),
            origin=intent.text("origin", limit=255),
            intent_index=intent.integer("index"),
            keyset=fields.hex("keyset", DIGEST_BYTES),
            at=fields.integer("at"),
            marks=_marks(fields.array("marks", limit=len(MARKS))),
        )
        intent.end()
        fields.end()
        return refusal

    def sign(self, key: SigningKey) -> bytes:
        """Return the signed statement."""
        return dsse.sign(self.encode(), NOT_CLAIMED_TYPE, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The head of a keyset's chain of receipts at one moment."""

    keyset: bytes
    count: int
    """Receipts signed so far; the next one has this `seq`."""
    head: bytes
    """What the next receipt's `prev` will be."""
    final: bool
    """The keyset's keys are erased; nothing can follow."""
    at: int

    def encode(self) -> bytes:
        """Return the canonical JSON payload."""
        return jsonc.dumps(
            {
                "v": VERSION,
                "keyset": self.keyset.hex(),
                "count": self.count,
                "head": self.head.hex(),
                "final": self.final,
                "at": self.at,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the tally `payload` encodes, or raise `MalformedError`."""
        fields = _open(payload, "tally")
        tally = cls(
            keyset=fields.hex("keyset", DIGEST_BYTES),
            count=fields.integer("count"),
            head=fields.hex("head", DIGEST_BYTES),
            final=fields.flag("final"),
            at=fields.integer("at"),
        )
        fields.end()
        return tally

    def sign(self, key: SigningKey) -> bytes:
        """Return the signed statement."""
        return dsse.sign(self.encode(), TALLY_TYPE, key)


def first_prev(keyset: bytes) -> bytes:
    """Return `prev` of the first receipt under a keyset."""
    return sm3(_CHAIN + keyset)


def link(payload: bytes) -> bytes:
    """Return `prev` of the receipt that follows the one with this payload.

    It covers what that one's signature covers and not the signature: links can be made in order
    while signatures are made side by side, and none is bound to the bytes of a hedged signature.
    """
    return sm3(dsse.pae(RECEIPT_TYPE, payload))


def next_prev(statement: bytes) -> bytes:
    """Return `prev` of the receipt that follows a signed one, or raise `MalformedError`."""
    return link(dsse.parse(statement).payload)


def bucket_usage(amount: int) -> int:
    """Round an amount up to a power of two, at least 256, so that padding is not undone."""
    return max(_MIN_USAGE, 1 << (amount - 1).bit_length()) if amount > 0 else 0


def verify_receipt(statement: bytes, key: VerifyKey) -> Receipt:
    """Return the receipt in a statement that `key` signed; the caller compares its contents.

    Raises:
        ReceiptRejectedError: not signed by `key`, or not a receipt.
    """
    return Receipt.decode(_verified(statement, RECEIPT_TYPE, key))


_MINT: Final = object()
"""Handed to `VerifiedReceipt` by `verify_receipts` and by nothing else."""


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A statement that `verify_receipts` found to be signed by a key, and what it says."""

    statement: bytes
    key: VerifyKey
    receipt: Receipt
    mint: InitVar[object]

    def __post_init__(self, mint: object) -> None:
        if mint is not _MINT:
            raise TypeError("a VerifiedReceipt is made by verify_receipts() only")

    def of(self, statement: bytes, key: VerifyKey) -> Receipt:
        """Return the receipt if this is about exactly that statement and key.

        Raises:
            ReceiptRejectedError: it is not.
        """
        if (statement, key) != (self.statement, self.key):
            raise ReceiptRejectedError("statement: another one was verified")
        return self.receipt


def verify_receipts(
    claims: Sequence[tuple[bytes, VerifyKey]],
) -> list[VerifiedReceipt | PeerError]:
    """Return for each (statement, key) that it verifies, or what `verify_receipt` raises.

    Signatures are checked together; each has its own verdict.
    """
    results: dict[int, VerifiedReceipt | PeerError] = {}
    envelopes: dict[int, dsse.Envelope] = {}
    for place, (statement, _) in enumerate(claims):
        try:
            envelopes[place] = dsse.parse(_bounded(statement))
        except PeerError as exc:
            results[place] = exc
    jobs = [(each, RECEIPT_TYPE, claims[place][1]) for place, each in envelopes.items()]
    for place, payload in zip(envelopes, dsse.verify_each(jobs), strict=True):
        try:
            if isinstance(payload, PeerError):
                raise _not_this_node(payload)
            results[place] = VerifiedReceipt(*claims[place], Receipt.decode(payload), _MINT)
        except PeerError as exc:
            results[place] = exc
    return [results[place] for place in range(len(claims))]


def verify_not_claimed(statement: bytes, key: VerifyKey) -> NotClaimed:
    """Return the refusal in a statement that `key` signed, or raise `ReceiptRejectedError`."""
    return NotClaimed.decode(_verified(statement, NOT_CLAIMED_TYPE, key))


def verify_tally(statement: bytes, key: VerifyKey) -> Tally:
    """Return the tally in a statement that `key` signed, or raise `ReceiptRejectedError`."""
    return Tally.decode(_verified(statement, TALLY_TYPE, key))


def _verified(statement: bytes, payload_type: str, key: VerifyKey) -> bytes:
    envelope = dsse.parse(_bounded(statement))
    try:
        return dsse.verify_parsed(envelope, payload_type, key)
    except PeerError as exc:
        raise _not_this_node(exc) from exc


def _bounded(statement: bytes) -> bytes:
    if len(statement) > MAX_STATEMENT_BYTES:
        raise ReceiptRejectedError("statement: too long")
    return statement


def _not_this_node(cause: PeerError) -> ReceiptRejectedError:
    made = ReceiptRejectedError("statement: not signed by this node")
    made.__cause__ = cause
    return made


def _open(payload: bytes, what: str) -> jsonc.Fields:
    fields = jsonc.Fields(jsonc.loads(payload, limit=MAX_STATEMENT_BYTES), what)
    fields.integer("v", low=VERSION, high=VERSION)
    return fields


def _hex_or_none(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _marks(values: list[jsonc.Json]) -> tuple[str, ...]:
    marks = tuple(str(value) for value in values)
    if marks != tuple(mark for mark in MARKS if mark in marks):
        raise MalformedError("statement: unknown marks, or out of order")
    return marks


def _usage(values: dict[str, jsonc.Json]) -> dict[str, int]:
    usage = {}
    if len(values) > _MAX_USAGE_KEYS:
        raise MalformedError("receipt: too many usage fields")
    for name, value in values.items():
        if type(value) is not int or value != bucket_usage(value):
            raise MalformedError("receipt: usage is not rounded")
        usage[name] = value
    return usage
