"""Who an administrator's token belongs to; one token, one person, one role.

Tokens are kept as partners' API keys are: salted SM3 digests, compared in constant time. Two
digests of one token look different, so that one person holds two roles with one token comes out
when it is used: it is then refused for both.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.problems import ProblemError
from gateway.tenants import digest_key

from .actions import Role

TOKEN_PREFIX: Final = "mfa_"  # noqa: S105 - not a secret
MIN_TOKEN: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """One person in one role."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """A token as configuration holds it."""

    salt: bytes
    digest: bytes
    holder: Administrator


class Administrators:
    """All administrators of this gateway."""

    def __init__(self, tokens: Iterable[StoredToken]) -> None:
        self._tokens = tuple(tokens)

    def all(self) -> list[Administrator]:
        """Return every administrator, by name."""
        return sorted({token.holder for token in self._tokens}, key=lambda each: each.name)

    def authenticate(self, authorization: str | None) -> Administrator:
        """Return the administrator of an `Authorization` header.

        Raises:
            ProblemError: `admin.unauthenticated`; or `admin.two_roles`, more than one person has
                this token.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or len(token) < MIN_TOKEN or not token.isascii():
            raise ProblemError("admin.unauthenticated")
        found = {
            stored.holder
            for stored in self._tokens
            if hmac.compare_digest(digest_key(token, stored.salt), stored.digest)
        }
        if len(found) > 1:
            raise ProblemError("admin.two_roles")
        if not found:
            raise ProblemError("admin.unauthenticated")
        return found.pop()
