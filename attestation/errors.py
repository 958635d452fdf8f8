"""Why evidence was refused, sorted by what the reader should do next.

    AttestationError
    ├── EvidenceMalformedError     the bytes are not what they claim to be
    ├── EvidenceUntrustedError     a signature, a chain or a binding is wrong
    ├── EvidenceUnverifiedError    cannot be decided with what was given
    ├── EvidenceUnsupportedError   no public format, or no verifier
    └── PolicyViolatedError        genuine, and not accepted

Every error carries findings; `code` of a finding is stable, its words are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that fell short, in words an operator can act on."""

    code: str
    """Stable, dotted, lower case; begins with the evidence kind or with the rule's family."""

    claim: str
    required: str
    found: str

    def __str__(self) -> str:
        return f"{self.claim}: need {self.required}, got {self.found} [{self.code}]"


class AttestationError(Exception):
    """Evidence was refused. Catch this to treat every refusal alike."""

    code: ClassVar[str] = "attestation.refused"

    def __init__(self, *findings: Finding) -> None:
        self.findings: tuple[Finding, ...] = findings
        super().__init__("; ".join(map(str, findings)))


class EvidenceMalformedError(AttestationError):
    """The bytes are not evidence (or collateral) of the kind they claim to be."""

    code: ClassVar[str] = "attestation.malformed"


class EvidenceUntrustedError(AttestationError):
    """Well-formed, but a signature, a chain or a binding is wrong."""

    code: ClassVar[str] = "attestation.untrusted"


class EvidenceUnverifiedError(AttestationError):
    """It cannot be decided with what was given: collateral is missing or out of date."""

    code: ClassVar[str] = "attestation.unverified"


class EvidenceUnsupportedError(AttestationError):
    """No public format or no verifier exists for this kind; it is never accepted."""

    code: ClassVar[str] = "attestation.unsupported"


class PolicyViolatedError(AttestationError):
    """Genuine evidence of a machine we do not accept; lists every shortfall."""

    code: ClassVar[str] = "attestation.policy"


def malformed(code: str, claim: str, required: object, found: object) -> EvidenceMalformedError:
    """Return the error for bytes that do not parse."""
    return EvidenceMalformedError(Finding(code, claim, str(required), str(found)))


def untrusted(code: str, claim: str, required: object, found: object) -> EvidenceUntrustedError:
    """Return the error for a wrong signature, chain or binding."""
    return EvidenceUntrustedError(Finding(code, claim, str(required), str(found)))


def unverified(code: str, claim: str, required: object, found: object) -> EvidenceUnverifiedError:
    """Return the error for something that cannot be decided with what was given."""
    return EvidenceUnverifiedError(Finding(code, claim, str(required), str(found)))


__all__: Sequence[str] = [
    "AttestationError",
    "EvidenceMalformedError",
    "EvidenceUnsupportedError",
    "EvidenceUntrustedError",
    "EvidenceUnverifiedError",
    "Finding",
    "PolicyViolatedError",
    "malformed",
    "untrusted",
    "unverified",
]
