"""The gateway's configuration: one YAML file, every key known; secrets by file or environment.

Any scalar can be overridden by an environment variable `MIFENG_GATEWAY__SECTION__KEY`; unknown
keys are errors in both places.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from mifeng.crypto import Sm3, sm3

from .anchors.config import AnchorsConfig
from .auditlog import config as auditlog
from .auditlog.places import PostgresGuardPlace, PostgresPlace, S3Place
from .auditlog.retention import DEFAULT_DAYS, FLOOR_DAYS
from .collateral.config import CollateralConfig
from .forwarding.config import ForwardingConfig
from .releases import ReleasesConfig
from .roles.config import AdministrationConfig, SubjectsConfig
from .tenants import StoredKey, Tenant
from .witnesses import WitnessesConfig

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


class PostgresConfig(_Strict):
    """A PostgreSQL database."""

    dsn: Path
    """File that holds the connection string; it may hold a password."""
    db_schema: Annotated[str, Field(alias="schema", pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "mifeng"

    def place(self) -> PostgresPlace:
        """Return where the log is."""
        return PostgresPlace(dsn=self.dsn, schema=self.db_schema)


class S3Config(_Strict):
    """A bucket of an S3-compatible store with conditional writes."""

    bucket: Annotated[str, Field(min_length=3, max_length=63)]
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$")] = ""
    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    region: str = "us-east-1"
    credentials: Path | None = None
    """File with two lines, key id and secret; the environment's credentials if there is none."""

    def place(self) -> S3Place:
        """Return where it is."""
        return S3Place(
            bucket=self.bucket,
            prefix=self.prefix,
            endpoint=self.endpoint,
            region=self.region,
            credentials=self.credentials,
        )


class SharedGuardConfig(_Strict):
    """A guard for gateways on several hosts: exactly one of the two."""

    dsn: Path | None = None
    """File with the connection string of a second PostgreSQL server."""
    s3: S3Config | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.dsn is None) == (self.s3 is None):
            raise ValueError("exactly one of dsn, s3")
        return self

    def place(self) -> PostgresGuardPlace | S3Place:
        """Return where it is."""
        if self.s3:
            return self.s3.place()
        assert self.dsn is not None  # noqa: S101 - validated above
        return PostgresGuardPlace(dsn=self.dsn)


class PublishConfig(_Strict):
    """Where tiles, blobs and checkpoints are published: exactly one of the two."""

    directory: Path | None = None
    s3: S3Config | None = None
    retention_days: Annotated[int, Field(ge=FLOOR_DAYS)] = DEFAULT_DAYS
    """How long `--prune-published` leaves entries there."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.directory is None) == (self.s3 is None):
            raise ValueError("exactly one of directory, s3")
        return self

    def place(self) -> Path | S3Place | None:
        """Return where it is."""
        return self.s3.place() if self.s3 else self.directory


class LogConfig(_Strict):
    """The audit log."""

    origin: Annotated[str, Field(min_length=1, max_length=255)]
    storage: Literal["sqlite", "postgres"] = "sqlite"
    """`postgres` when several gateways share the log."""
    database: Path | None = None
    """SQLite: entries, trees and blobs. On a local file system: locks must be real."""
    postgres: PostgresConfig | None = None
    guard: Path | SharedGuardConfig
    """The anti-rollback guard; on other storage than the database, or a backup restores both.
    A file serves the gateways of one host."""
    keys: Path
    """Folder of the log's encrypted key files; the same for all gateways of a log."""
    passphrase: Path
    """File that holds their passphrase."""
    twin: bool
    """Keep a SHA-256 tree over the same entries, from the first one on."""
    publish: PublishConfig | None = None
    publish_every_s: Annotated[float, Field(gt=0, le=30)] = 1.0
    heartbeat_every_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    witnesses: WitnessesConfig | None = None
    """Whose cosignatures a checkpoint needs before it is shown; none: answers say UNWITNESSED."""
    lease_s: Annotated[int, Field(ge=3, le=600)] = 15
    """PostgreSQL: a gateway silent for so long is taken for dead, its intents for orphaned."""

    @model_validator(mode="after")
    def _stored_once(self) -> Self:
        if (self.storage == "sqlite") != (self.database is not None):
            raise ValueError("database: needed for sqlite, and only there")
        if (self.storage == "postgres") != (self.postgres is not None):
            raise ValueError("postgres: needed for storage postgres, and only there")
        if self.witnesses and self.witnesses.twin_keys and not self.twin:
            raise ValueError("witnesses: a twin_key, and no twin")
        return self

    def settings(self, instance: str) -> auditlog.LogConfig:
        """Return what the audit log is opened with.

        Args:
            instance: name of this process, new at each start.
        """
        path = self.postgres.place() if self.postgres else self.database
        assert path is not None  # noqa: S101 - validated above
        return auditlog.LogConfig(
            path=path,
            guard=self.guard if isinstance(self.guard, Path) else self.guard.place(),
            origin=self.origin,
            instance=instance,
            twin=self.twin,
            publish=self.publish.place() if self.publish else None,
            publish_every_s=self.publish_every_s,
            heartbeat_every_s=self.heartbeat_every_s,
            lease_s=self.lease_s,
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
    max_per_tenant: Annotated[int, Field(ge=1)] = 1024
    """Exchanges one tenant may have under way."""
    idle_s: Annotated[float, Field(gt=0)] = 30.0
    challenges: Annotated[str, Field(pattern=r"^\d+/(second|minute|hour)$")] = "50/second"
    drain_s: Annotated[float, Field(ge=0)] = 30.0


class GatewayConfig(BaseSettings):
    """See the module."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,  # a URL may hold a password, a wrong line a key
    )
    _source: bytes = PrivateAttr(default=sm3(b""))

    http: HttpConfig
    grpc: GrpcConfig | None = None
    log: LogConfig
    policy: str
    """Name of a shipped profile, or path of a policy file."""
    nodes: Annotated[list[NodeEntry], Field(min_length=1)]
    tenants: Annotated[list[TenantConfig], Field(min_length=1)]
    require_constant_time_crypto: bool
    limits: LimitsConfig = LimitsConfig()
    anchors: AnchorsConfig | None = None
    """Third parties that remember checkpoints; left out, none does."""
    releases: ReleasesConfig | None = None
    """Whose releases are appended; left out, nobody's."""
    collateral: CollateralConfig | None = None
    """Vendors to ask for what nodes do not bring along; left out, none is asked."""

    subjects: SubjectsConfig | None = None
    """Where keys of persons are kept; left out, requests cannot name any."""
    administration: AdministrationConfig | None = None
    """Administrators and where they are served; left out, nobody is."""
    forwarding: ForwardingConfig | None = None
    """Security centres and collectors; left out, nobody is told."""

    @property
    def source(self) -> bytes:
        """SM3 of the file it was read from; see docs/spec/log.md §8.6, `actor` of POLICY."""
        return self._source

    @model_validator(mode="after")
    def _named_actors(self) -> Self:
        if self.administration is not None and self.subjects is None:
            raise ValueError("administration: needs subjects, where actors are named")
        return self

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

        def model_post_init(self, _context: object, /) -> None:
            super().model_post_init(_context)
            self._source = source

    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        source = _digest(path)
        settings: Any = FromFile()  # type: ignore[call-arg]  # the sources supply them
    except (ValidationError, yaml.YAMLError, OSError, ValueError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    loaded: GatewayConfig = settings
    return loaded


def _digest(path: Path) -> bytes:
    """Return the SM3 of a file and, if there are any, of the variables that win over it."""
    digest = Sm3()
    digest.update(path.read_bytes())
    over = {name.upper(): value for name, value in os.environ.items()}
    for name in sorted(name for name in over if name.startswith(PREFIX)):
        digest.update(b"\0" + os.fsencode(f"{name}={over[name]}"))
    return digest.digest()
