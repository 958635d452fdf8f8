"""Judge the anchors of a pack: what each shows, who vouches for it, and whether that is enough.

An anchor *vouches* for its checkpoint if its record verifies and the auditor's trust file carries
the rest of the way: the block, the executed transaction, the authority's certificate, the copy of
the write-once directory. Else it is reported with what remains to be looked up.

Source: docs/spec/anchor.md §6, §7.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mifeng.audit.facts import ALL_TIMES
from mifeng.errors import MalformedError, PeerError
from mifeng.protocol import checkpoint
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3

from . import evm, fisco, stamp
from .pins import PIN_OF, AnchorPins, EvmPin, FiscoPin, Pin, WormCopy
from .record import AnchorRecord
from .stamp import Authority, StampLibraryMissingError

if TYPE_CHECKING:
    from mifeng.audit.facts import Facts
    from mifeng.audit.findings import Findings
    from mifeng.audit.history import Seen
    from mifeng.audit.pack import AnchorFile, Pack
    from mifeng.audit.rules import Extent

SKEW_S: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """One anchor whose record verified as far as it goes."""

    kind: str
    name: str
    size: int
    """Of the checkpoint."""
    vouches: bool
    """Whether the trust file carries the rest of the way."""
    at: int | None
    """Unix seconds at which the third party says it had the note; None if it does not say."""
    place: str
    """Where to look: block and contract, transaction, file."""

    def to_json(self) -> dict[str, str | int | bool | None]:
        """Return it as plain JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "size": self.size,
            "vouches": self.vouches,
            "at": self.at,
            "place": self.place,
        }


def anchors(
    pack: "Pack", pins: AnchorPins, log: LogPin, seen: "Sequence[Seen]", found: "Findings"
) -> tuple[Anchored, ...]:
    """Return the anchors of a pack that verify; what is wrong with others is a finding."""
    heads = {(each.size, each.signed.checkpoint.root) for each in seen if each.world is SM3}
    verified = []
    for file in pack.anchors():
        if not pack.intact(file.member):
            found.error("member.altered", subject=file.member)
        try:
            anchored = _one(file, pins, log, heads, found)
        except StampLibraryMissingError:
            found.warning("anchor.unverifiable", subject=file.member)
        except MalformedError as exc:
            found.error("anchor.malformed", subject=file.member, why=str(exc)[:80])
        except PeerError as exc:
            found.error("anchor.invalid", subject=file.member, why=str(exc)[:80])
        else:
            verified.append(anchored)
    return tuple(sorted(verified, key=lambda each: (each.size, each.name)))


def _one(
    file: "AnchorFile",
    pins: AnchorPins,
    log: LogPin,
    heads: Collection[tuple[int, bytes]],
    found: "Findings",
) -> Anchored:
    record = AnchorRecord.decode(file.data)
    claim = checkpoint.verify(record.note, log).checkpoint
    if (claim.size, record.kind) != (file.size, file.kind):
        found.error("anchor.name", subject=file.member)
    if (claim.size, claim.root) not in heads:
        found.error("anchor.unrelated", subject=file.member)
    pin = pins.trusted.get(record.name)
    if pin is not None and not isinstance(pin, PIN_OF[record.kind]):
        pin = None
    anchored = _judge(record, claim.size, pin)
    if not anchored.vouches:
        code = "anchor.untrusted" if pin is None else "anchor.unpinned"
        found.note(code, subject=file.member, place=anchored.place)
    return anchored


def _judge(record: AnchorRecord, size: int, pin: Pin | None) -> Anchored:
    """Return what a record shows; raises `PeerError` if it or the auditor's pin refutes it."""
    at: int | None = None
    vouches = False
    match record.kind:
        case "evm":
            block = evm.verify(record)
            place = f"chain {block.chain_id} contract 0x{block.contract.hex()}"
            place += f" block {block.block} 0x{block.block_hash.hex()}"
            at = block.time
            if isinstance(pin, EvmPin):
                _same(pin.chain_id, block.chain_id, "chain")
                _same(pin.contract, block.contract, "contract")
                vouches = evm.pinned(block, pin.blocks)
        case "fisco-bcos":
            made = fisco.verify(record)
            place = f"chain {made.chain_id} group {made.group_id}"
            place += f" contract 0x{made.contract.hex()} transaction 0x{made.transaction.hex()}"
            if isinstance(pin, FiscoPin):
                _same((pin.chain_id, pin.group_id), (made.chain_id, made.group_id), "chain")
                _same(pin.contract, made.contract, "contract")
                vouches = made.transaction in pin.transactions
        case "rfc3161":
            place = record.name
            response = stamp.response_of(record)
            if isinstance(pin, Authority):
                at, vouches = stamp.verify(response, record.note, pin), True
        case _:
            place = str(record.proof.get("file", ""))[:128]
            if isinstance(pin, WormCopy):
                _same(record.note, pin.files.get(place), "file in the write-once directory")
                vouches = True
    return Anchored(
        kind=record.kind, name=record.name, size=size, vouches=vouches, at=at, place=place
    )


def _same(wanted: object, found: object, what: str) -> None:
    if wanted != found:
        raise PeerError(f"anchor: another {what} than the one pinned")


def check(
    anchored: Sequence[Anchored],
    pins: AnchorPins,
    facts: "Facts",
    extent: "Extent",
    found: "Findings",
) -> None:
    """Hold entries' dates, and the trust file's requirement, against the anchors that vouch."""
    vouching = [each for each in anchored if each.vouches]
    limits = [(each.size, each.at + SKEW_S, each.name) for each in vouching if each.at is not None]
    for name, index in facts.dated_after(limits):
        found.error("time.after-anchor", index, subject=name)
    if pins.require is None:
        return
    reach: dict[str, int] = {}
    for each in vouching:
        reach[each.name] = max(each.size, reach.get(each.name, 0))
    sizes = sorted(reach.values(), reverse=True)
    need = pins.require.count
    covered = sizes[need - 1] if len(sizes) >= need else 0
    query = f"SELECT min(idx) FROM {ALL_TIMES} WHERE idx >= ? AND at < ?"  # noqa: S608
    index = facts.one(query, covered, extent.last_at - pins.require.within_s)
    if index is not None:
        found.error("anchor.required", index, covered=covered, need=need, have=len(sizes))
