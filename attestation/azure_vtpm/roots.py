"""What an Azure verdict rests on: the hardware vendors' pins, and Microsoft's for AK certificates.

The hardware report inside the evidence is judged by the verifier of its own kind, with that
kind's own pinned roots; Microsoft's root only adds to it, where an AK certificate is given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from attestation import registry
from attestation.evidence import EvidenceKind
from attestation.tpm2.roots import AZURE
from attestation.verifier import Verifier
from attestation.x509 import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureVtpmRoots:
    """Trust anchors of one Azure verifier."""

    hardware: Callable[[EvidenceKind], Verifier]
    """The verifier of `amd-snp` or `intel-tdx`, bound to its pinned roots."""
    ak: tuple[Certificate, ...]
    """Roots of vTPM attestation key certificates."""


ROOTS: Final = AzureVtpmRoots(hardware=registry.verifier_for, ak=(AZURE,))
