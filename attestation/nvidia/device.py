"""The steps GPU and switch verification share, in the order the verifiers take them.

`authenticate` turns bytes into a device whose signature, chain and frame hold; `conclude` puts
reference values and revocation beside it and makes the claims. In between each kind reads its
own opaque fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from attestation.claims import Claims, Tier
from attestation.errors import (
    EvidenceUnsupportedError,
    Finding,
    malformed,
    untrusted,
    unverified,
)
from attestation.evidence import Collateral, EvidenceKind, Role

from . import certificates, fwid, opaque, revocation, spdm
from .certificates import Path
from .opaque import FieldId, Fields
from .reference import Outcome
from .roots import Root
from .spdm import Report

CHAIN_LENGTH: Final = 5
OEM_ID: Final = 5703
"""NVIDIA's IANA private enterprise number."""

_FAMILIES: Final[Mapping[str, EvidenceKind]] = {
    "GH": EvidenceKind.NVIDIA_GPU,
    "GB": EvidenceKind.NVIDIA_GPU,
    "LS_10": EvidenceKind.NVIDIA_NVSWITCH,
}
"""First letters of the chip, as the certificate of its boot ROM key names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An authentic report and the device that signed it."""

    report: Report
    fields: Fields
    path: Path
    chip: str
    """First word of the boot ROM certificate's name, e.g. `GH100`, `GB20X`, `LS_10`."""

    fwid: bytes
    """Firmware id in the leaf certificate, 48 bytes."""

    @property
    def ueid(self) -> str:
        """NVIDIA's name for one device: the leaf certificate's serial number, decimal."""
        return str(self.path.leaf.serial)


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a verification collects on its way: everything, not the first thing."""

    refused: list[Finding] = field(default_factory=list)
    unchecked: list[Finding] = field(default_factory=list)


def authenticate(
    kind: EvidenceKind,
    raw: bytes,
    collateral: Collateral,
    *,
    roots: Sequence[Root],
    blocks: int,
    now: int,
) -> Device:
    """Return the device that signed `raw`.

    Args:
        kind: what the chain must say the device is.
        raw: untrusted report.
        collateral: untrusted; holds the device's certificate chain, leaf first.
        roots: pins of device roots.
        blocks: how many measurements a report of this kind has.
        now: Unix seconds.

    Raises:
        EvidenceMalformedError: report or chain does not parse, or is of another kind.
        EvidenceUntrustedError: signature, chain or firmware id is wrong.
        EvidenceUnverifiedError: the chain is missing (`nvidia.chain.missing`).
        EvidenceUnsupportedError: a chip this version does not know (`nvidia.chip`).
    """
    report = spdm.decode(raw)
    fields = opaque.decode(report.opaque)
    items = collateral.all(Role.CERT_CHAIN)
    if not items:
        required = f"{CHAIN_LENGTH} certificates"
        raise unverified("nvidia.chain.missing", "certificate chain", required, "none")
    chain = [each for item in items for each in certificates.split(item, code="nvidia.chain")]
    path = certificates.verify_path(chain, roots, length=CHAIN_LENGTH, code="nvidia.chain")
    start, end = path.window
    if not start <= now <= end:
        raise untrusted("nvidia.chain.validity", "chain", f"valid at {now}", f"{start} … {end}")
    spdm.verify(report, path.leaf_key)
    chip = _chip(kind, path)
    if len(report.measurements) != blocks:
        found = len(report.measurements)
        raise malformed("nvidia.report.blocks", f"measurements of {chip}", blocks, found)
    return Device(report=report, fields=fields, path=path, chip=chip, fwid=fwid.read(path.leaf))


def check_fwid(device: Device) -> bool:
    """Compare the firmware id in the report with the leaf's; return whether there is one.

    Raises:
        EvidenceUntrustedError: they differ (`nvidia.fwid.mismatch`).
    """
    reported = device.fields.get(FieldId.FWID)
    if reported is not None and not compare_digest(reported, device.fwid):
        raise untrusted("nvidia.fwid.mismatch", "firmware id", device.fwid.hex(), reported.hex())
    return reported is not None


def conclude(
    kind: EvidenceKind,
    device: Device,
    collateral: Collateral,
    *,
    references: Sequence[Outcome],
    findings: Findings,
    details: Mapping[str, object],
    ocsp_roots: Sequence[Root],
    now: int,
) -> Claims:
    """Return the claims, with revocation of every certificate relied on checked.

    Raises:
        EvidenceMalformedError: a stapled OCSP response does not parse.
        EvidenceUntrustedError: a stapled OCSP response that fits is forged.
    """
    rims = [each.used for each in references if each.used is not None]
    asked = revocation.questions(device.path, first=1)
    asked += [each for used in rims for each in revocation.questions(used.path, first=0)]
    status = revocation.check(asked, collateral.all(Role.OCSP), roots=ocsp_roots, now=now)
    refused = [*findings.refused, *opaque.findings(device.fields)]
    unchecked: list[Finding] = []
    for each in references:
        refused += each.refused
        unchecked += each.unchecked
    ends = [device.path.window[1], *(end for used in rims if (end := used.window[1]) >= now)]
    if status.valid_until is not None:
        ends.append(status.valid_until)
    matched = not any(each.refused or each.unchecked for each in references)
    return Claims(
        kind=kind,
        report_data=device.report.nonce,
        hardware_id=device.ueid,
        measurements={
            f"measurement_{index}": value for index, value in device.report.measurements.items()
        },
        debug=False,
        tier=Tier.TEE,
        valid_until=min(ends),
        details={
            **opaque.describe(device.fields),
            "ueid": device.ueid,
            "hwmodel": certificates.common_name(device.path.certificates[1]),
            "oemid": OEM_ID,
            "fwid": device.fwid.hex(),
            "dbgstat": "disabled" if matched else "unknown",
            "rims": [
                {
                    "version": used.version,
                    "product": used.product,
                    "tag_id": used.tag_id,
                    "sha256": used.sha256,
                    "signed_after": used.window[0],
                }
                for used in rims
            ],
            **details,
        },
        ratchets={
            f"nvidia/rim/{used.product}/{used.version}": used.path.leaf.not_before
            for each in references
            if (used := each.used) is not None and not each.refused and not each.unchecked
        },
        refused=(*refused, *status.refused),
        unchecked=(*unchecked, *status.unchecked, *findings.unchecked),
    )


def _chip(kind: EvidenceKind, path: Path) -> str:
    """Return the chip's name, after checking that it is of this kind."""
    chip = certificates.common_name(path.certificates[1]).partition(" ")[0]
    found = next((known for prefix, known in _FAMILIES.items() if chip.startswith(prefix)), None)
    if found is None:
        finding = Finding("nvidia.chip", "chip", " or ".join(_FAMILIES), chip)
        raise EvidenceUnsupportedError(finding)
    if found is not kind:
        raise malformed("nvidia.kind", "kind of device", kind.value, f"{chip}, {found.value}")
    return chip
