"""How an operator configures anchors: section `anchors` of the gateway's file.

    anchors:
      directory: /var/lib/mifeng/anchors
      every_s: 600
      members:
        - {name: chain, kind: evm, url: …, chain_id: 1, contract: "0x…", key: evm.key}
        - {name: tsa, kind: rfc3161, url: …, certificate: tsa.pem, chain: [root.pem]}

One gateway of a log carries them. Keys come from a file, or from the environment variable that is
named; neither is ever shown or logged.

Source: docs/anchoring.md §4.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from cryptography.x509 import load_pem_x509_certificate
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mifeng.audit.anchors.record import NAME
from mifeng.audit.anchors.stamp import Authority
from mifeng.crypto import CryptoError, Sm2PrivateKey
from mifeng.errors import UsageError

from .kinds import Anchor
from .service import Timing
from .worm import WormAnchor

_Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
_Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
_Seconds = Annotated[float, Field(gt=0, le=120)]
_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Strict):
    name: Annotated[str, Field(pattern=f"^{NAME}$")]


class _Keyed(_Named):
    """Somebody who signs: exactly one of the two says with what."""

    key: Path | None = None
    """File with the private key, 64 hex digits."""
    key_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    """Environment variable with the same."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.key is None) == (self.key_env is None):
            raise ValueError("exactly one of key, key_env")
        return self

    def secret(self) -> bytes:
        """Return the private key, 32 bytes.

        Raises:
            UsageError: there is none; the message never shows what there is instead.
        """
        try:
            text = self.key.read_text("ascii") if self.key else os.environ[self.key_env or ""]
        except (OSError, UnicodeDecodeError, KeyError) as exc:
            raise UsageError(f"anchors.{self.name}: its key cannot be read") from exc
        if not _KEY.fullmatch(text.strip()):
            raise UsageError(f"anchors.{self.name}: its key is not 64 hex digits")
        return bytes.fromhex(text.strip().removeprefix("0x"))


class EvmMember(_Keyed):
    """A contract on an EVM chain."""

    kind: Literal["evm"]
    url: _Url
    chain_id: Annotated[int, Field(ge=1)]
    contract: _Address
    confirmations: Annotated[int, Field(ge=0, le=10_000)] = 12
    fees: Literal["eip1559", "legacy"] = "eip1559"
    max_fee_gwei: Annotated[int, Field(ge=0)] = 500
    timeout_s: _Seconds = 20.0

    def anchor(self) -> Anchor:
        """Return the anchor."""
        from .evm import EvmAnchor
        from .rpc import Node

        return EvmAnchor(
            name=self.name,
            node=Node(self.url, timeout_s=self.timeout_s),
            contract=self._contract(),
            key=self.secret(),
        )

    def _contract(self) -> Any:  # noqa: ANN401 - its module loads with the chain's library only
        from .evm import Contract

        return Contract(
            chain_id=self.chain_id,
            address=bytes.fromhex(self.contract[2:]),
            confirmations=self.confirmations,
            fees=self.fees,
            max_fee_gwei=self.max_fee_gwei,
        )


class FiscoMember(_Keyed):
    """A contract on a FISCO-BCOS chain: GM, or over the Web3 RPC of one that is not."""

    kind: Literal["fisco-bcos"]
    gm: bool
    url: _Url
    chain_id: Annotated[str, Field(min_length=1, max_length=64)]
    """`chain0` or the like on GM chains; the number on others."""
    group_id: Annotated[str, Field(max_length=64)] = "group0"
    contract: _Address
    selectors: Literal["sm3", "keccak"] = "sm3"
    """GM: `sm3` if a compiler for GM chains made the contract, `keccak` if our build was used."""
    max_fee_gwei: Annotated[int, Field(ge=0)] = 500
    timeout_s: _Seconds = 20.0

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if not self.gm and not self.chain_id.isdecimal():
            raise ValueError("chain_id: a number, unless gm")
        return self

    def anchor(self) -> Anchor:
        """Return the anchor."""
        from .evm import Contract
        from .fisco import FiscoGmAnchor, FiscoWeb3Anchor
        from .rpc import Node

        node = Node(self.url, timeout_s=self.timeout_s)
        address = bytes.fromhex(self.contract[2:])
        if not self.gm:
            contract = Contract(
                chain_id=int(self.chain_id),
                address=address,
                confirmations=0,
                fees="legacy",
                max_fee_gwei=self.max_fee_gwei,
            )
            return FiscoWeb3Anchor(
                name=self.name,
                node=node,
                contract=contract,
                key=self.secret(),
                group_id=self.group_id,
            )
        try:
            key = Sm2PrivateKey.from_scalar(self.secret())
        except CryptoError as exc:
            raise UsageError(f"anchors.{self.name}: not an SM2 key") from exc
        return FiscoGmAnchor(
            name=self.name,
            node=node,
            chain_id=self.chain_id,
            group_id=self.group_id,
            address=address,
            sm3_selectors=self.selectors == "sm3",
            key=key,
        )


class StampMember(_Named):
    """A timestamp authority."""

    kind: Literal["rfc3161"]
    url: _Url
    certificate: Path | None = None
    """PEM; if given, answers that it does not verify are refused."""
    chain: list[Path] = []
    """PEM; up to a root. Empty: the certificate is signed by itself."""
    timeout_s: _Seconds = 20.0

    def anchor(self) -> Anchor:
        """Return the anchor; raises `UsageError`."""
        from .stamp import StampAnchor

        return StampAnchor(
            name=self.name, url=self.url, timeout_s=self.timeout_s, authority=self._authority()
        )

    def _authority(self) -> Authority | None:
        if self.certificate is None:
            return None
        try:
            paths = (self.certificate, *self.chain)
            first, *rest = [load_pem_x509_certificate(path.read_bytes()) for path in paths]
        except (OSError, ValueError) as exc:
            raise UsageError(f"anchors.{self.name}: a certificate cannot be read") from exc
        return Authority(certificate=first, chain=rest or [first])


class FileMember(_Named):
    """A write-once directory."""

    kind: Literal["file"]
    directory: Path

    def anchor(self) -> Anchor:
        """Return the anchor."""
        return WormAnchor(name=self.name, directory=self.directory)


Member = Annotated[EvmMember | FiscoMember | StampMember | FileMember, Field(discriminator="kind")]


class AnchorsConfig(_Strict):
    """The section."""

    directory: Path
    """Where the queue and the records are; one gateway's own, on durable storage."""
    every_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    """Seconds between two checkpoints that are anchored."""
    poll_s: Annotated[float, Field(gt=0, le=600)] = 2.0
    stuck_s: Annotated[int, Field(ge=1)] = 600
    members: Annotated[list[Member], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [member.name for member in self.members]
        if len(set(names)) != len(names):
            raise ValueError("anchors: a name is used twice")
        return self

    def anchors(self) -> list[Anchor]:
        """Return the anchors.

        Raises:
            UsageError: a key or certificate cannot be read, or a library is missing.
        """
        try:
            return [member.anchor() for member in self.members]
        except ImportError as exc:
            raise UsageError("anchors: install mifeng[anchors]") from exc

    def timing(self) -> Timing:
        """Return how often."""
        return Timing(every_s=self.every_s, poll_s=self.poll_s, stuck_s=self.stuck_s)
