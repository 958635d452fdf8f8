"""Collecting evidence: the node's side of attestation.

An `Attester` asks this machine's hardware to sign the binding of docs/spec/binding.md in a bundle.
Which attester runs is named in the measured configuration; a missing device is an error.
"""

from collections.abc import Awaitable
from typing import Protocol

from attestation.bundle import Bundle, Freshness


class AttesterError(Exception):
    """This machine cannot produce the evidence it is configured for."""

    code = "evidence.unavailable"


class Attester(Protocol):
    """Makes evidence for one keyset."""

    def collect(self, keyset: bytes, freshness: Freshness) -> Awaitable[Bundle]:
        """Return fresh evidence that commits to `keyset` and `freshness`.

        Raises:
            AttesterError: the device is missing or refuses.
        """
        ...


__all__ = ["Attester", "AttesterError"]
