"""The one interface every evidence kind implements."""

from typing import Protocol

from .claims import Claims
from .evidence import Collateral


class Verifier(Protocol):
    """Authenticates one kind of evidence to roots pinned at construction."""

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """Return what authentic evidence claims.

        Args:
            raw: untrusted; any bytes, already normalised by `attestation.containers`.
            collateral: untrusted; already fetched by somebody else.
            now: Unix seconds of the instant the verdict is for.

        Raises:
            EvidenceMalformedError: `raw` or an item of `collateral` does not parse.
            EvidenceUntrustedError: a signature or chain is wrong, or leads to no pinned root.
            EvidenceUnverifiedError: collateral needed to authenticate is missing or not current.
        """
        ...
