"""Turn a file of evidence into tables of names and values, without judging it.

Each kind's own parser reads it; what it returns is walked generically, so a field a parser
learns is shown without anybody touching this file.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Final

from rich.text import Text

from attestation import AttestationError, Collateral, Evidence, EvidenceKind, json_strict
from attestation.containers import normalise

_MAX_SHOWN: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One table."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file says."""

    title: str
    parts: tuple[Part, ...]


def _intel(tee_type: int, kind: EvidenceKind) -> Callable[[bytes], object]:
    def read(raw: bytes) -> object:
        from attestation.dcap.quote import parse

        return parse(raw, tee_type=tee_type, kind=kind.value)

    return read


def _snp(raw: bytes) -> object:
    from attestation.amd_snp.container import unwrap
    from attestation.amd_snp.report import parse

    return parse(unwrap(raw).report)


def _nvidia(raw: bytes) -> object:
    from attestation.nvidia.spdm import decode

    return decode(raw)


def _nitro(raw: bytes) -> object:
    from attestation.aws_nitro.document import parse

    return parse(raw)


def _simulated(raw: bytes) -> object:
    from attestation.layout import read
    from attestation.simulated import LAYOUT, SIZE

    return read(LAYOUT, raw, size=SIZE, what="simulated report", code="simulated.report")


_PARSERS: Final[Mapping[EvidenceKind, Callable[[bytes], object]]] = {
    EvidenceKind.SIMULATED: _simulated,
    EvidenceKind.INTEL_TDX: _intel(0x81, EvidenceKind.INTEL_TDX),
    EvidenceKind.INTEL_SGX: _intel(0x00, EvidenceKind.INTEL_SGX),
    EvidenceKind.AMD_SNP: _snp,
    EvidenceKind.NVIDIA_GPU: _nvidia,
    EvidenceKind.NVIDIA_NVSWITCH: _nvidia,
    EvidenceKind.AWS_NITRO: _nitro,
}
"""Kinds without an entry are shown as the container they come in."""


def describe(data: bytes, kind: EvidenceKind | None) -> Reading:
    """Return what a file says, as the given kind or the first whose parser takes it.

    Args:
        data: untrusted; any bytes.
        kind: what the caller says it is, or None to guess.

    Returns: a reading without parts if nothing can be made of it.
    """
    if kind is not None:
        try:
            return Reading(title=kind.value, parts=tuple(_parts(data, kind)))
        except AttestationError as exc:
            return Reading(title=f"{kind.value}: {exc}", parts=())
    for candidate in _PARSERS:
        try:
            return Reading(title=candidate.value, parts=tuple(_parts(data, candidate)))
        except AttestationError:
            continue
    return _unknown(data)


def _parts(data: bytes, kind: EvidenceKind) -> Iterator[Part]:
    units = normalise(Evidence(kind, data), Collateral())
    for index, unit in enumerate(units):
        raw = unit.evidence.raw
        name = f"device {index}" if len(units) > 1 else "evidence"
        yield Part(
            title=f"{name}: container",
            rows=(
                ("bytes", str(len(raw))),
                ("sha-256", hashlib.sha256(raw).hexdigest()),
                *(
                    (f"carries {role.value}", f"{len(item)} bytes")
                    for role, item in unit.collateral.items
                ),
            ),
        )
        parser = _PARSERS.get(kind)
        if parser is not None:
            yield Part(title=name, rows=tuple(_rows("", parser(raw))))
        elif raw.lstrip()[:1] in (b"{", b"["):
            tree = json_strict.parse(raw, what="evidence", code=kind.value)
            yield Part(title=name, rows=tuple(_rows("", tree)))
        else:
            yield Part(title=name, rows=(("", _text(raw)),))


def _unknown(data: bytes) -> Reading:
    try:
        tree = json_strict.parse(data, what="file", code="file")
    except AttestationError:
        return Reading(title=f"unknown, {len(data)} bytes", parts=())
    return Reading(title="JSON", parts=(Part(title="document", rows=tuple(_rows("", tree))),))


def _rows(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    """Walk whatever a parser returned into dotted names and text."""
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _rows(_join(prefix, each.name), getattr(value, each.name))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _rows(_join(prefix, str(name)), each)
    elif isinstance(value, list | tuple) and not all(isinstance(each, int) for each in value):
        for index, each in enumerate(value):
            yield from _rows(f"{prefix}[{index}]", each)
    else:
        yield prefix, _text(value)


def printable(text: str) -> Text:
    """Return untrusted text as it is safe to print: no markup, no control characters."""
    return Text(
        "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )
    )


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    text = value.hex() if isinstance(value, bytes) else str(value)
    if len(text) > 2 * _MAX_SHOWN:
        return f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"
    return text
