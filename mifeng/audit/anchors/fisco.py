"""Transactions of FISCO-BCOS 3 chains in national cryptography: SM3 hash, SM2 signature, TARS.

What an anchor record of kind `fisco-bcos` carries is the signed transaction itself. It verifies
offline as far as it goes: this account signed this call with this note. That the chain executed it
must be looked up: a trust file pins the transaction hashes that an auditor saw executed there.
Non-GM chains take ordinary Ethereum transactions; their call data is held to the same claim.

Source: docs/spec/anchor.md §5; FISCO-BCOS 3 `Transaction.tars` and its hash over the fields;
GB/T 32918.2 with the default user id.
"""

from dataclasses import dataclass
from typing import Final, Self

from mifeng.crypto import CryptoError, Sm2PrivateKey, Sm2PublicKey, sm3
from mifeng.errors import MalformedError, PeerError
from mifeng.protocol.jsonc import Fields, Json

from . import rlp, tars
from .calls import APPEND, Entry
from .evm import ADDRESS
from .keccak import keccak256
from .record import AnchorRecord

APPEND_GM: Final = sm3(b"append(bytes32,uint64,bytes32,bytes32)")[:4]
"""Compilers for GM chains name functions by SM3, not by Keccak."""
LATEST_GM: Final = sm3(b"latest(bytes32)")[:4]
_SIGNATURE: Final = 64
_POINT: Final = 64
_HASH: Final = 32
_ATTRIBUTE: Final = 1
_MAX_RAW: Final = 64 << 10
_DYNAMIC_FEE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionData:
    """What is hashed and signed; version 0 of the format."""

    chain_id: str
    group_id: str
    block_limit: int
    """Last block that may include it."""
    nonce: str
    """Random, decimal: the chain takes each once."""
    to: str
    """Contract, `0x` and 40 hex digits."""
    input: bytes
    abi: str = ""
    version: int = 0

    def preimage(self) -> bytes:
        """Return the bytes whose SM3 is the transaction's hash."""
        return b"".join(
            (
                self.version.to_bytes(4, "big", signed=True),
                self.chain_id.encode(),
                self.group_id.encode(),
                self.block_limit.to_bytes(8, "big", signed=True),
                self.nonce.encode(),
                self.to.encode(),
                self.input,
                self.abi.encode(),
            )
        )

    def hash(self) -> bytes:
        """Return the hash by which a GM chain knows the transaction."""
        return sm3(self.preimage())

    def fields(self) -> dict[int, tars.ValueInput]:
        """Return the record `TransactionData`."""
        return {
            1: self.version,
            2: self.chain_id,
            3: self.group_id,
            4: self.block_limit,
            5: self.nonce,
            6: self.to,
            7: self.input,
            8: self.abi,
        }

    def sign(self, key: Sm2PrivateKey) -> bytes:
        """Return the transaction as `sendTransaction` takes it.

        The signature is over the hash as a message, so Z and a second SM3 go into it; behind it
        stands the public key without its first byte, from which the chain makes the sender.
        """
        digest = self.hash()
        signature = key.sign(digest) + key.public_key().to_bytes()[1:]
        return tars.encode({1: self.fields(), 2: digest, 3: signature, 5: _ATTRIBUTE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A signed transaction whose hash and signature were checked."""

    data: TransactionData
    hash: bytes
    sender: bytes
    """Last 20 bytes of the SM3 of the public key's coordinates."""


def parse(raw: bytes) -> Transaction:
    """Return a GM transaction whose hash is of its fields and whose signature verifies.

    Raises:
        MalformedError: not such a transaction.
        PeerError: another hash, or a wrong signature.
    """
    record = tars.decode(raw)
    inner = record.get(1)
    if not isinstance(inner, dict):
        raise MalformedError("transaction: no data")
    data = _data(inner)
    digest, signed = record.get(2), record.get(3)
    if not isinstance(signed, bytes) or len(signed) != _SIGNATURE + _POINT:
        raise MalformedError("transaction: no SM2 signature with its public key")
    if digest != data.hash():
        raise PeerError("transaction: its hash is of other fields")
    point = signed[_SIGNATURE:]
    try:
        Sm2PublicKey.from_bytes(b"\x04" + point).verify(signed[:_SIGNATURE], data.hash())
    except CryptoError as exc:
        raise PeerError("transaction: its signature does not verify") from exc
    return Transaction(data=data, hash=data.hash(), sender=sm3(point)[-ADDRESS:])


def _data(fields: dict[int, tars.Value]) -> TransactionData:
    def text(tag: int) -> str:
        value = fields.get(tag, "")
        if not isinstance(value, str):
            raise MalformedError(f"transaction: field {tag} is not a string")
        return value

    version, limit, call = fields.get(1, 0), fields.get(4, 0), fields.get(7, b"")
    if version != 0 or not isinstance(limit, int) or not isinstance(call, bytes):
        raise MalformedError("transaction: not of version 0")
    return TransactionData(
        chain_id=text(2),
        group_id=text(3),
        block_limit=limit,
        nonce=text(5),
        to=text(6),
        input=call,
        abi=text(8),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`proof` of kind `fisco-bcos`."""

    gm: bool
    chain_id: str
    group_id: str
    contract: bytes
    block: int
    """Where the gateway saw it executed: its word."""
    raw: bytes

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {
            "gm": self.gm,
            "chain_id": self.chain_id,
            "group_id": self.group_id,
            "contract": self.contract.hex(),
            "block": self.block,
            "raw": self.raw.hex(),
        }

    @classmethod
    def of(cls, record: AnchorRecord) -> Self:
        """Return the proof in a record; raises `MalformedError`."""
        fields = Fields(record.proof, "anchor.proof")
        raw = fields.text("raw", limit=2 * _MAX_RAW)
        proof = cls(
            gm=fields.flag("gm"),
            chain_id=fields.text("chain_id", limit=64),
            group_id=fields.text("group_id", limit=64, empty=True),
            contract=fields.hex("contract", ADDRESS),
            block=fields.integer("block"),
            raw=Fields({"raw": raw}, "anchor.proof").hex("raw", len(raw) // 2),
        )
        fields.end()
        return proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the record proves by itself."""

    transaction: bytes
    """Hash: what an auditor looks up."""
    chain_id: str
    group_id: str
    contract: bytes
    block: int
    """Where the gateway saw it executed: its word."""


def verify(record: AnchorRecord) -> Shown:
    """Return the transaction that asks the contract to record this note.

    Does not show that a chain executed it: look its hash up.

    Raises:
        MalformedError: something does not parse.
        PeerError: the transaction is about something else, or not signed.
    """
    proof = Proof.of(record)
    wanted = Entry.of(record.note, record.claim)
    if proof.gm:
        made = parse(proof.raw)
        place = (made.data.chain_id, made.data.group_id)
        to, call, digest = made.data.to.lower(), made.data.input, made.hash
        if place != (proof.chain_id, proof.group_id):
            raise PeerError("anchor: the transaction is for another chain or group")
        calls = (wanted.call(APPEND_GM), wanted.call(APPEND))
        if to != f"0x{proof.contract.hex()}" or call not in calls:
            raise PeerError("anchor: the transaction does not record this note")
    else:
        contract, call = _ethereum(proof.raw)
        digest = keccak256(proof.raw)
        if contract != proof.contract or call != wanted.call(APPEND):
            raise PeerError("anchor: the transaction does not record this note")
    return Shown(
        transaction=digest,
        chain_id=proof.chain_id,
        group_id=proof.group_id,
        contract=proof.contract,
        block=proof.block,
    )


def _ethereum(raw: bytes) -> tuple[bytes, bytes]:
    """Return recipient and call data of a legacy or dynamic-fee transaction."""
    if raw[:1] == bytes([_DYNAMIC_FEE]):
        fields, at, count = rlp.decode_list(raw[1:], "transaction"), 5, 12
    else:
        fields, at, count = rlp.decode_list(raw, "transaction"), 3, 9
    if len(fields) != count:
        raise MalformedError("transaction: neither legacy nor dynamic-fee")
    return rlp.text(fields[at], "to"), rlp.text(fields[at + 2], "data")
