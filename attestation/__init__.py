"""Decide whether a machine is what it claims to be.

Bytes, a policy and an instant go in; an `AttestedKey` or an error comes out. Nothing here
opens a socket, reads a file or asks for the time: what a verifier needs (evidence, vendor
collateral, the current second) is an argument.

Words are those of RFC 9334 §4: *evidence* is what the machine says about itself,
*collateral* is what its vendor says about it, the *policy* is what we require.
"""

from .appraise import appraise, raise_floors
from .bundle import Bundle, Device, Freshness
from .claims import Claims, Status, Tier
from .errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
    Finding,
    PolicyViolatedError,
)
from .evidence import Collateral, Evidence, EvidenceKind, Role
from .policy import KindRule, Policy, Reference
from .result import AttestedKey

__all__ = [
    "AttestationError",
    "AttestedKey",
    "Bundle",
    "Claims",
    "Collateral",
    "Device",
    "Evidence",
    "EvidenceKind",
    "EvidenceMalformedError",
    "EvidenceUnsupportedError",
    "EvidenceUntrustedError",
    "EvidenceUnverifiedError",
    "Finding",
    "Freshness",
    "KindRule",
    "Policy",
    "PolicyViolatedError",
    "Reference",
    "Role",
    "Status",
    "Tier",
    "appraise",
    "raise_floors",
]
