"""The gateway's configuration: one YAML file, every key known; secrets by file or environment.

Any scalar can be overridden by an environment variable `MIFENG_GATEWAY__SECTION__KEY`; unknown
keys are errors in both places.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from .auditlog import config as auditlog
from .tenants import StoredKey, Tenant

PREFIX: Final = "MIFENG_GATEWAY__"


class ConfigError(ValueError):
    """The configuration is unusable; the message says which key."""

    code = "config"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpConfig(_Strict):
    """Where HTTP listens."""

    listen: Annotated[str, Field(pattern=r"^(unix:.+|tcp:.+:\d+)$")]


class GrpcConfig(_Strict):
    """Where gRPC listens."""

    listen: Annotated[str, Field(pattern=r"^(unix:.+|tcp:.+:\d+)$")]


class NodeEntry(_Strict):
    """One node, by name and address of its link."""

    node_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    address: Annotated[str, Field(pattern=r"^(unix:.+|tcp:.+:\d+)$")]


class LogConfig(_Strict):
    """The audit log."""

    origin: Annotated[str, Field(min_length=1, max_length=255)]
    database: Path
    """Entries, trees and blobs. On a local file system: locks must be real."""
    guard: Path
    """The anti-rollback guard; on other storage than the database, or a backup restores both."""
    keys: Path
    """Folder of the log's encrypted key files."""
    passphrase: Path
    """File that holds their passphrase."""
    twin: bool
    """Keep a SHA-256 tree over the same entries, from the first one on."""
    publish_every_s: Annotated[float, Field(gt=0, le=30)] = 1.0
    heartbeat_every_s: Annotated[int, Field(ge=1, le=86_400)] = 60

    def settings(self, instance: str) -> auditlog.LogConfig:
        """Return what the audit log is opened with.

        Args:
            instance: name of this process, new at each start.
        """
        return auditlog.LogConfig(
            path=self.database,
            guard=self.guard,
            origin=self.origin,
            instance=instance,
            twin=self.twin,
            publish_every_s=self.publish_every_s,
            heartbeat_every_s=self.heartbeat_every_s,
        )


class TenantConfig(_Strict):
    """One institution and its API keys, as digests (`mifeng keys api` prints them)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    keys: Annotated[list[str], Field(min_length=1)]
    """`salt:digest`, hex."""
    models: list[str] | Literal["all"]
    quota: Annotated[str, Field(pattern=r"^\d+/(second|minute|hour|day)$")]

    @field_validator("keys")
    @classmethod
    def _hex(cls, values: list[str]) -> list[str]:
        for value in values:
            salt, _, digest = value.partition(":")
            if len(bytes.fromhex(salt)) < 16 or len(bytes.fromhex(digest)) != 32:  # noqa: PLR2004
                raise ValueError("need salt:digest, at least 16 and exactly 32 bytes of hex")
        return values

    def stored(self) -> list[StoredKey]:
        """Return the keys as the tenant table holds them."""
        models = None if self.models == "all" else frozenset(self.models)
        tenant = Tenant(name=self.name, models=models, quota=self.quota)
        pairs = (key.partition(":") for key in self.keys)
        return [
            StoredKey(salt=bytes.fromhex(salt), digest=bytes.fromhex(digest), tenant=tenant)
            for salt, _, digest in pairs
        ]


class LimitsConfig(_Strict):
    """Bounds."""

    max_request_bytes: Annotated[int, Field(ge=1024)] = 2 << 30
    max_deadline_s: Annotated[int, Field(ge=1, le=86_400)] = 3600
    max_exchanges: Annotated[int, Field(ge=1)] = 4096
    idle_s: Annotated[float, Field(gt=0)] = 30.0
    challenges: Annotated[str, Field(pattern=r"^\d+/(second|minute|hour)$")] = "50/second"
    drain_s: Annotated[float, Field(ge=0)] = 30.0


class GatewayConfig(BaseSettings):
    """See the module."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    http: HttpConfig
    grpc: GrpcConfig | None = None
    log: LogConfig
    policy: str
    """Name of a shipped profile, or path of a policy file."""
    nodes: Annotated[list[NodeEntry], Field(min_length=1)]
    tenants: Annotated[list[TenantConfig], Field(min_length=1)]
    require_constant_time_crypto: bool
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, names in (
            ("nodes", [node.node_id for node in self.nodes]),
            ("tenants", [tenant.name for tenant in self.tenants]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what}: a name is used twice")
        return self


def load(path: Path) -> GatewayConfig:
    """Return the configuration in a file, environment variables winning over it.

    Raises:
        ConfigError: unreadable, not YAML, or a key is missing, unknown or out of range.
    """

    class FromFile(GatewayConfig):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, dotenv_settings, file_secret_settings
            return env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=path)

    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        settings: Any = FromFile()  # type: ignore[call-arg]  # the sources supply them
    except (ValidationError, yaml.YAMLError, OSError, ValueError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    loaded: GatewayConfig = settings
    return loaded
