"""Which keys spoke for a log: the chain of its KEY entries, anchored in the auditor's pin.

Source: docs/spec/log.md §8.5.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mifeng.crypto import CryptoError, sm3
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import MalformedError, PeerError
from mifeng.protocol import dsse, entries
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.keyset import verify_keys
from mifeng.protocol.merkle import SHA256
from mifeng.protocol.note import NoteKey

from .container import PackMalformedError
from .findings import Findings
from .pack import Pack

_MARK = b'"type":"KEY"'


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeysSeen:
    """The keys an auditor may believe."""

    by_id: dict[str, VerifyKey]
    """For INTENTs, by key id."""
    names: frozenset[bytes]
    """SM3 of their verifier key strings: what a keyset's `log.keys` lists."""
    twin: LogPin | None
    """Pin of the SHA-256 twin, if the log's newest KEY names one."""
    current: NoteKey | None
    """The key that signs at the end."""


def log_keys(pack: Pack, pin: LogPin, found: Findings) -> LogKeysSeen:
    """Return the pinned keys and those that a chain of KEY entries joins to one of them."""
    chain: list[NoteKey] = []
    twin = ""
    for index, entry in _changes(pack):
        try:
            change = entries.parse_key_change(entry.statement)
            before = (NoteKey.decode(change.previous),) if change.previous else ()
            new = NoteKey.decode(change.key)
            signers = before or (new,)
            keys = tuple(VerifyKey("sm2", key.public) for key in signers)
            entries.verify_key_change(entry.statement, origin=pin.origin, keys=keys)
        except (PeerError, CryptoError) as exc:
            found.error("key.signature", index, why=str(exc)[:80])
            continue
        if (chain[-1:] != [*before]) if chain else bool(before) is (index == 0):
            found.error("key.chain", index)
        chain.append(new)
        twin = change.twin
    if chain and not set(chain) & set(pin.keys):
        found.error("key.not-pinned")
        chain = []
    by_id = {dsse.key_id(key.alg, key.public_bytes): key for key in verify_keys(pin)}
    for key in chain:
        spoken = VerifyKey("sm2", key.public)
        by_id[dsse.key_id("sm2", key.public)] = spoken
    return LogKeysSeen(
        by_id=by_id,
        names=frozenset(sm3(key.encode().encode()) for key in (*pin.keys, *chain)),
        twin=_twin(pin, twin) if chain else None,
        current=chain[-1] if chain else None,
    )


def _changes(pack: Pack) -> Iterable[tuple[int, entries.Key]]:
    for number in pack.chunks:
        try:
            records = pack.entries(number)
        except PackMalformedError:  # reported when the chunk is read
            continue
        for index, data in records:
            if _MARK in data:
                try:
                    entry = entries.decode(data)
                except MalformedError:
                    continue
                if isinstance(entry, entries.Key):
                    yield index, entry


def _twin(pin: LogPin, key: str) -> LogPin | None:
    if not key:
        return None
    try:
        keys = (NoteKey.decode(key),)
    except MalformedError:
        return None
    origin = f"{pin.origin}/sha256"
    return LogPin(origin=origin, world=SHA256, keys=keys, witnesses=pin.witnesses, quorum=0)
