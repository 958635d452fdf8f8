"""What an auditor trusts beforehand, from one YAML file; nothing of it comes from the pack.

    log:        {origin, keys, witnesses, quorum}   as clients and nodes pin it
    policies:   [production-cpu-only, own.yaml]     what the auditor requires of machines; may be []
    exporters:  [hex of an SM2 public key]          who may have signed the pack; may be []
    anchors:    {trusted, require}                  third parties that hold checkpoints (optional)
    releases:   {keys, require}                     what must have been released (optional)

Source: docs/spec/audit-pack.md §6.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import policies
from attestation.policy import Policy
from mifeng.crypto import CryptoError
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import UsageError
from mifeng.pins import PinDocument
from mifeng.protocol.checkpoint import LogPin

from .anchors.pins import NO_ANCHORS, AnchorPins, AnchorsDocument
from .releases import NO_RELEASES, ReleasePins, ReleasesDocument


class TrustDocument(BaseModel):
    """The file. No field has a default: what is not trusted is written as empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: PinDocument
    policies: Annotated[list[str], Field(max_length=64)]
    """Shipped profiles by name, or policy files relative to this one."""
    exporters: Annotated[list[str], Field(max_length=64)]
    anchors: AnchorsDocument | None = None
    """Left out, no anchor is trusted, and none required."""
    releases: ReleasesDocument | None = None
    """Left out, nothing must have been released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Pins of one auditor."""

    log: LogPin
    policies: tuple[Policy, ...] = ()
    exporters: tuple[VerifyKey, ...] = ()
    anchors: AnchorPins = NO_ANCHORS
    releases: ReleasePins = NO_RELEASES

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return what a file says; raises `UsageError`."""
        try:
            tree: Any = yaml.safe_load(path.read_bytes())
            document = TrustDocument.model_validate(tree)
            return cls(
                log=document.log.pin(),
                policies=tuple(_policy(name, path.parent) for name in document.policies),
                exporters=tuple(VerifyKey("sm2", bytes.fromhex(k)) for k in document.exporters),
                anchors=document.anchors.pins(path.parent) if document.anchors else NO_ANCHORS,
                releases=document.releases.pins() if document.releases else NO_RELEASES,
            )
        except OSError as exc:
            raise UsageError(f"{exc.filename}: {exc.strerror}") from exc
        except (yaml.YAMLError, ValidationError, CryptoError, ValueError) as exc:
            raise UsageError(f"{path}: {exc}") from exc


def _policy(name: str, base: Path) -> Policy:
    if name.endswith((".yaml", ".yml")):
        return policies.load(base / name)
    return policies.shipped(name)
