"""What an auditor knows of the third parties that hold anchors: section `anchors` of a trust file.

    anchors:
      trusted:
        - {name: chain, kind: evm, chain_id: 1, contract: "0x…", blocks: {12345: "0x…"}}
        - {name: gm, kind: fisco-bcos, gm: true, chain_id: chain0, group_id: group0,
           contract: "0x…", transactions: ["0x…"]}
        - {name: tsa, kind: rfc3161, certificate: tsa.pem, chain: [root.pem]}
        - {name: worm, kind: file, directory: /mnt/worm/log}
      require: {count: 1, within_s: 86400}

Source: docs/spec/anchor.md §7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from cryptography.x509 import Certificate, load_pem_x509_certificate
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mifeng.errors import UsageError

from .record import NAME
from .stamp import Authority

_MAX_WORM: Final = 1 << 20
_Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
_Hash = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Strict):
    name: Annotated[str, Field(pattern=f"^{NAME}$")]


class EvmDocument(_Named):
    """A contract on an EVM chain, and blocks that the auditor saw there."""

    kind: Literal["evm"]
    chain_id: Annotated[int, Field(ge=1)]
    contract: _Address
    blocks: dict[Annotated[int, Field(ge=0)], _Hash]


class FiscoDocument(_Named):
    """A contract on a FISCO-BCOS chain, and transactions that the auditor saw executed there."""

    kind: Literal["fisco-bcos"]
    gm: bool
    chain_id: Annotated[str, Field(min_length=1, max_length=64)]
    group_id: Annotated[str, Field(max_length=64)]
    contract: _Address
    transactions: Annotated[list[_Hash], Field(max_length=4096)]


class StampDocument(_Named):
    """A timestamp authority: its certificate, and those up to a root (PEM files)."""

    kind: Literal["rfc3161"]
    certificate: Path
    chain: Annotated[list[Path], Field(max_length=8)]
    """Empty: the certificate is signed by itself."""


class FileDocument(_Named):
    """A write-once directory that the operator cannot change, or the auditor's own copy of it."""

    kind: Literal["file"]
    directory: Path


AnchorDocument = Annotated[
    EvmDocument | FiscoDocument | StampDocument | FileDocument, Field(discriminator="kind")
]


class RequireDocument(_Strict):
    """How far behind anchors may be."""

    count: Annotated[int, Field(ge=1, le=32)]
    """How many different trusted anchors must vouch for an entry."""
    within_s: Annotated[int, Field(ge=1)]
    """Entries younger than this, at the end of the pack, need not be anchored yet."""


class AnchorsDocument(_Strict):
    """The section. No field has a default."""

    trusted: Annotated[list[AnchorDocument], Field(max_length=32)]
    require: RequireDocument | None

    @model_validator(mode="after")
    def _possible(self) -> "AnchorsDocument":
        names = [each.name for each in self.trusted]
        if len(set(names)) != len(names):
            raise ValueError("anchors: a name is used twice")
        if self.require and self.require.count > len(names):
            raise ValueError("anchors.require: more than are trusted")
        return self

    def pins(self, base: Path) -> "AnchorPins":
        """Return what it says, files read; paths are relative to `base`.

        Raises:
            UsageError: a file it names cannot be read.
        """
        trusted: dict[str, Pin] = {}
        for each in self.trusted:
            match each:
                case StampDocument():
                    trusted[each.name] = _authority(each, base)
                case FileDocument():
                    trusted[each.name] = WormCopy(files=_worm(base / each.directory))
                case EvmDocument():
                    blocks = {number: _raw(digest) for number, digest in each.blocks.items()}
                    trusted[each.name] = EvmPin(
                        chain_id=each.chain_id,
                        contract=_raw(each.contract),
                        blocks=MappingProxyType(blocks),
                    )
                case FiscoDocument():
                    trusted[each.name] = FiscoPin(
                        chain_id=each.chain_id,
                        group_id=each.group_id,
                        contract=_raw(each.contract),
                        transactions=frozenset(map(_raw, each.transactions)),
                    )
        return AnchorPins(trusted=MappingProxyType(trusted), require=self.require)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvmPin:
    """See `EvmDocument`."""

    chain_id: int
    contract: bytes
    blocks: Mapping[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FiscoPin:
    """See `FiscoDocument`."""

    chain_id: str
    group_id: str
    contract: bytes
    transactions: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class WormCopy:
    """See `FileDocument`."""

    files: Mapping[str, bytes]


Pin = EvmPin | FiscoPin | Authority | WormCopy
PIN_OF: Final[Mapping[str, type]] = MappingProxyType(
    {"evm": EvmPin, "fisco-bcos": FiscoPin, "rfc3161": Authority, "file": WormCopy}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorPins:
    """Anchors one auditor trusts, by name, and how many must have vouched."""

    trusted: Mapping[str, Pin]
    require: RequireDocument | None


NO_ANCHORS: Final = AnchorPins(trusted=MappingProxyType({}), require=None)


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _authority(document: StampDocument, base: Path) -> Authority:
    try:
        certificate = _certificate(base / document.certificate)
        chain: Sequence[Certificate] = [_certificate(base / path) for path in document.chain]
    except OSError as exc:
        raise UsageError(f"{exc.filename}: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"anchors.{document.name}: not a certificate") from exc
    return Authority(certificate=certificate, chain=chain or [certificate])


def _certificate(path: Path) -> Certificate:
    return load_pem_x509_certificate(path.read_bytes())


def _worm(folder: Path) -> Mapping[str, bytes]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such directory")
    try:
        return MappingProxyType(
            {
                path.name: path.read_bytes()
                for path in sorted(folder.glob("*.note"))
                if path.is_file() and path.stat().st_size <= _MAX_WORM
            }
        )
    except OSError as exc:
        raise UsageError(f"{exc.filename}: {exc.strerror}") from exc
