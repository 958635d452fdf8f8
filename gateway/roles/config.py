"""Configuration of administrators and of the store of persons' keys."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .actions import Role
from .directory import Administrator, Administrators, StoredToken

_MIN_SALT, _DIGEST = 16, 32


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AdministratorConfig(_Strict):
    """One person, one role (`mifeng keys admin` prints a token and its digest)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    role: Literal["system", "security", "audit"]
    tokens: Annotated[list[str], Field(min_length=1, max_length=4)]
    """`salt:digest`, hex."""

    @field_validator("tokens")
    @classmethod
    def _hex(cls, values: list[str]) -> list[str]:
        for value in values:
            salt, _, digest = value.partition(":")
            if len(bytes.fromhex(salt)) < _MIN_SALT or len(bytes.fromhex(digest)) != _DIGEST:
                raise ValueError("need salt:digest, at least 16 and exactly 32 bytes of hex")
        return values

    def stored(self) -> list[StoredToken]:
        """Return the tokens as the directory holds them."""
        holder = Administrator(name=self.name, role=Role(self.role))
        pairs = (token.partition(":") for token in self.tokens)
        return [
            StoredToken(salt=bytes.fromhex(salt), digest=bytes.fromhex(digest), holder=holder)
            for salt, _, digest in pairs
        ]


class AdministrationConfig(_Strict):
    """Where administrators are served, apart from partners, and who they are."""

    # Of this host only: a socket file, or a loopback address.
    listen: Annotated[str, Field(pattern=r"^(unix:.+|tcp:.+:\d+)$")]
    administrators: Annotated[list[AdministratorConfig], Field(min_length=1)]

    @field_validator("listen")
    @classmethod
    def _on_this_host(cls, value: str) -> str:
        scheme, _, rest = value.partition(":")
        if scheme == "tcp" and not _loopback(rest.rpartition(":")[0]):
            raise ValueError(
                "tokens travel here in plain HTTP, so it is on this host only: "
                "unix:PATH, tcp:127.0.0.1:PORT or tcp:[::1]:PORT"
            )
        return value

    @model_validator(mode="after")
    def _separate(self) -> Self:
        names = [each.name for each in self.administrators]
        if len(set(names)) != len(names):
            raise ValueError("administrators: a name is used twice; one person holds one role")
        digests = [token for each in self.administrators for token in each.tokens]
        if len(set(digests)) != len(digests):
            raise ValueError("administrators: a token is used twice; one token holds one role")
        return self

    def directory(self) -> Administrators:
        """Return the administrators."""
        return Administrators(token for each in self.administrators for token in each.stored())


class SubjectsConfig(_Strict):
    """Where keys of persons are kept."""

    database: Path
    """SQLite, on a local file system."""
    key: Path
    """The wrapping key; in no common backup with the database, or erasure does not reach it."""
