"""What a client is configured with: where the gateway is, who we are, what we trust."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import policies
from mifeng.crypto import CryptoError
from mifeng.crypto.keyfiles import read_signing_key
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import UsageError
from mifeng.pins import PinDocument
from mifeng.protocol.session import Terms

from .releases import ReleasesDocument

SUITES = {"sm": 0x0001, "sm-pq": 0x0002, "intl": 0x0101}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClientAuth(_Strict):
    """The institution's own SM2 key: requests are signed with it inside the seal."""

    key: Path
    passphrase: Path | None


class ClientConfig(_Strict):
    """One YAML file. What concerns trust has no default."""

    gateway: Annotated[str, Field(pattern=r"^(https?://.+|unix:.+|grpc:.+)$")]
    """`https://host`, `unix:/path` (HTTP over it), `grpc:host:port` or `grpc:unix:/path`."""
    tenant: str
    api_key: Path
    """File that holds the API key."""
    policy: str
    """Name of a shipped profile, or path of a policy file ending in .yaml."""
    log: PinDocument
    suites: Annotated[list[Literal["sm", "sm-pq", "intl"]], Field(min_length=1)]
    """Crypto suites this client accepts, best first."""
    ca: Path | None = None
    """CA bundle for https; the system's where it is not given."""
    client_auth: ClientAuth | None = None
    state: Path | None = None
    """Where to remember the newest checkpoint seen, so that a rolled-back log is noticed."""
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    releases: ReleasesDocument | None = None
    """What must have been released in the log; left out, attestation alone decides."""
    freshness: Literal["challenge", "note"] = "challenge"
    """How the age of evidence is known: by our own challenge to each node, or by a note that the
    pinned witnesses cosigned, which many clients share (docs/spec/binding.md §2)."""

    @model_validator(mode="after")
    def _somebody_to_trust(self) -> Self:
        if self.freshness == "note" and not self.log.quorum:
            raise ValueError("freshness: note needs witnesses, and a quorum of them")
        return self

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Return the configuration in a file; paths in it are relative to the file.

        Raises:
            UsageError: unreadable, not YAML, or a key is missing, unknown or out of range.
        """
        path = Path(path)
        try:
            tree: Any = yaml.safe_load(path.read_bytes())
            config = cls.model_validate(tree)
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        except (yaml.YAMLError, ValidationError) as exc:
            raise UsageError(f"{path}: {exc}") from exc
        return config.anchored(path.parent)

    def anchored(self, base: Path) -> Self:
        """Return the same with relative paths taken from `base`."""
        changes: dict[str, Any] = {"api_key": base / self.api_key}
        for name in ("ca", "state"):
            if (value := getattr(self, name)) is not None:
                changes[name] = base / value
        if self.policy.endswith((".yaml", ".yml")):
            changes["policy"] = str(base / self.policy)
        if (auth := self.client_auth) is not None:
            passphrase = base / auth.passphrase if auth.passphrase else None
            changes["client_auth"] = ClientAuth(key=base / auth.key, passphrase=passphrase)
        return self.model_copy(update=changes)

    def terms(self) -> Terms:
        """Return what this client insists on.

        Raises:
            UsageError: the policy or the pin is unusable.
        """
        try:
            pin = self.log.pin()
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        raw = self._policy_bytes()  # read once: suites and policy are of the same document
        try:
            names, policy = policies.choose(raw, self.suites), policies.parse(raw)
        except policies.PolicyError as exc:
            raise UsageError(f"policy: {exc}") from exc
        return Terms(policy=policy, log=pin, suites=tuple(SUITES[name] for name in names))

    def _policy_bytes(self) -> bytes:
        try:
            if self.policy.endswith((".yaml", ".yml")):
                return Path(self.policy).read_bytes()
            return policies.shipped_bytes(self.policy)
        except (policies.PolicyError, OSError) as exc:
            raise UsageError(f"policy: {exc}") from exc

    def read_api_key(self) -> str:
        """Return the API key; raises `UsageError`."""
        try:
            return self.api_key.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(f"api_key: {self.api_key} cannot be read") from exc

    def read_auth_key(self) -> SigningKey | None:
        """Return the institution's signing key, if one is configured; raises `UsageError`."""
        if (auth := self.client_auth) is None:
            return None
        try:
            passphrase = auth.passphrase.read_bytes().strip() if auth.passphrase else None
            key = read_signing_key(auth.key.read_bytes(), passphrase)
        except (OSError, CryptoError) as exc:
            raise UsageError(f"client_auth: {exc}") from exc
        if key.alg != "sm2":
            raise UsageError("client_auth: need an SM2 key")
        return key
