"""Partner institutions: who they are, what they may ask, how much.

API keys are kept as salted SM3 digests and compared in constant time. Authentication at the
gateway is for quota and order; non-repudiation is the SM2 signature inside the seal.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mifeng.crypto import hmac_sm3
from mifeng.protocol.header import Header

from .events import log
from .problems import ProblemError

KEY_PREFIX: Final = "mfk_"
MIN_KEY: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One institution."""

    name: str
    models: frozenset[str] | None
    """Models it may use; None for all."""
    quota: str
    """In the notation of the `limits` library: `100/second`, `1000000/day`."""

    def check(self, header: Header) -> None:
        """Check that a header is this tenant's to send.

        Raises:
            ProblemError: it names another tenant, or a model this one may not use.
        """
        if header.tenant != self.name:
            log.warning("tenant.mismatch", tenant=self.name)
            raise ProblemError("tenant.mismatch")
        if self.models is not None and header.model not in self.models:
            log.warning("tenant.forbidden", tenant=self.name)
            raise ProblemError("tenant.forbidden")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An API key as configuration holds it."""

    salt: bytes
    digest: bytes
    tenant: Tenant


def digest_key(key: str, salt: bytes) -> bytes:
    """Return what is stored of an API key: HMAC-SM3(salt, key).

    Keys are random and long (`MIN_KEY`), so a slow hash would add nothing.
    """
    return hmac_sm3(salt, key.encode())


class Tenants:
    """All tenants of this gateway."""

    def __init__(self, keys: Iterable[StoredKey]) -> None:
        self._keys = tuple(keys)

    def authenticate(self, authorization: str | None) -> Tenant:
        """Return the tenant of an `Authorization` header.

        Every stored key is compared, so that time does not tell which tenants exist.

        Raises:
            ProblemError: `tenant.unauthenticated`.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or len(key) < MIN_KEY or not key.isascii():
            log.warning("tenant.unauthenticated")
            raise ProblemError("tenant.unauthenticated")
        found: Tenant | None = None
        for stored in self._keys:
            if hmac.compare_digest(digest_key(key, stored.salt), stored.digest):
                found = stored.tenant
        if found is None:
            log.warning("tenant.unauthenticated")
            raise ProblemError("tenant.unauthenticated")
        return found
