"""The proof, as a value, that appraisal happened.

A `None` from a checking function is a poor sign that the check ran. So sealing
asks for an `AttestedKey`, and `appraise` is the only code that can make one.
"""

from dataclasses import InitVar, dataclass
from typing import Final, NoReturn, final

from .claims import Claims, Tier

MINT: Final = object()
"""Handed to `AttestedKey` by `appraise` and by nothing else (a test counts the call sites)."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AttestedKey:
    """The keyset of a node that passed a policy, and until when that holds."""

    keyset: bytes
    """Exact bytes, as bound by the evidence."""

    keyset_digest: bytes
    """SM3 of `keyset`, 32 bytes."""

    nonce32: bytes
    """The freshness the evidence commits to."""

    tier: Tier

    simulated: bool
    """Some of the evidence is simulated: everything derived from this key must say SIMULATED."""

    policy_name: str
    policy_digest: bytes

    valid_until: int
    """Unix seconds: the earliest expiry of anything the verdict relied on."""

    evidence_digest: bytes
    """SM3 of `Bundle.evidence_encoding`, 32 bytes: what the log names."""

    claims: tuple[Claims, ...]
    """The CPU's first, then the accelerators' in device-id order."""

    mint: InitVar[object]

    def __post_init__(self, mint: object) -> None:
        if mint is not MINT:
            raise TypeError("an AttestedKey is made by attestation.appraise() only")

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AttestedKey is not copied or pickled; appraise again")
