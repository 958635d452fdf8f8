"""The root that CSV chains must begin at; `attestation.registry` passes it to the verifier."""

from typing import Final

from attestation.hygon.roots import HYGON

ROOTS: Final = (HYGON,)
