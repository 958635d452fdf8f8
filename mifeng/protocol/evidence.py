"""Appraise what an offer brings: for a challenge of the client's own, or after a cosigned note.

Source: docs/spec/keyset.md §4; docs/spec/binding.md §2.
"""

from collections.abc import Collection, Mapping
from typing import Final

from attestation.appraise import appraise
from attestation.bundle import Bundle, Freshness
from attestation.errors import AttestationError
from attestation.policy import Policy
from attestation.result import AttestedKey
from mifeng.crypto import sm3
from mifeng.errors import NodeRejectedError, PeerError

from .checkpoint import LogPin
from .freshness import check_note
from .keyset import Keyset
from .offer import Offer

NOTE: Final = 2
"""Freshness by a cosigned note."""


def appraise_offer(
    offer: Offer,
    policy: Policy,
    nonce32s: Collection[bytes],
    *,
    now: int,
    floors: Mapping[str, int],
    appraised: Mapping[bytes, AttestedKey],
) -> tuple[AttestedKey, Freshness]:
    """Return the node's key, if its evidence is what a policy wants; see `session.trust`.

    Evidence made after a note, where no challenge was made, is not known to be recent yet:
    `check_recent` tells, once the keyset's life is known.

    Raises:
        NodeRejectedError: anything; `__cause__` lists every shortfall.
    """
    try:
        bundle = Bundle.decode(offer.bundle)
        fresh = bundle.freshness
        # A note is looked at once the keyset's life is known; own challenges admit no note.
        if fresh.nonce32 not in nonce32s and (nonce32s or fresh.kind != NOTE):
            raise NodeRejectedError("the evidence was not made for a challenge of this client")
        known = appraised.get(sm3(offer.bundle))
        if known is not None and _holds(known, policy, now, floors):
            return known, fresh
        key = appraise(bundle, policy, nonce32=fresh.nonce32, now=now, floors=floors)
    except AttestationError as exc:
        raise NodeRejectedError(f"{exc.code}: {exc}") from exc
    return key, fresh


def _holds(key: AttestedKey, policy: Policy, now: int, floors: Mapping[str, int]) -> bool:
    """Whether appraising the same bytes again would come to this verdict."""
    numbers = (each for claims in key.claims for each in claims.ratchets.items())
    newest = all(number >= floors.get(name, number) for name, number in numbers)
    return newest and key.policy_digest == policy.digest and now < key.valid_until


def check_recent(note: bytes, keyset: Keyset, log: LogPin, policy: Policy, now: int) -> None:
    """Refuse evidence after a note that no witness of ours shows to be recent.

    Raises:
        NodeRejectedError: too few pinned witnesses cosigned it, or too long ago.
    """
    try:
        check_note(
            note,
            log,
            not_after=keyset.not_after,
            max_age_s=policy.max_evidence_age_s,
            max_life_s=policy.max_keyset_life_s,
            now=now,
        )
    except PeerError as exc:
        raise NodeRejectedError(f"freshness.note: {exc}") from exc
