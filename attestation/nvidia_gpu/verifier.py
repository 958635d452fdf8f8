"""Authenticate one GPU's report and compare it with NVIDIA's reference values.

Source: docs/attestation/nvidia-gpu.md §3, whose step numbers are kept.
"""

from collections.abc import Sequence
from typing import Final

from attestation.claims import Claims
from attestation.errors import Finding
from attestation.evidence import Collateral, EvidenceKind
from attestation.nvidia import device, opaque, reference
from attestation.nvidia.device import Device, Findings
from attestation.nvidia.opaque import FieldId, Fields
from attestation.nvidia.reference import Outcome
from attestation.nvidia.roots import OCSP_ROOTS, RIM_ROOTS, Root

from . import firmware

BLOCKS: Final = 64
TOPOLOGY_CODE: Final = "nvidia-gpu.topology"
"""A GPU in protected-PCIe mode: what its switches do is for `nvidia_nvswitch.topology`."""

PROTECTED_PCIE_FLAG: Final = 2
PROTECTED_PCIE_ON: Final = 0xAA
_PROTECTED_PCIE_OFF: Final = 0x55
_FEATURE_FLAGS: Final = range(3)


class NvidiaGpuVerifier:
    """Verifies reports of Hopper and Blackwell GPUs; see `attestation.verifier.Verifier`."""

    __slots__ = ("_ocsp_roots", "_rim_roots", "_roots")

    def __init__(
        self,
        roots: Sequence[Root],
        rim_roots: Sequence[Root] = RIM_ROOTS,
        ocsp_roots: Sequence[Root] = OCSP_ROOTS,
    ) -> None:
        self._roots = tuple(roots)
        self._rim_roots = tuple(rim_roots)
        self._ocsp_roots = tuple(ocsp_roots)

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """Return what an authentic GPU claims; `report_data` is the 32-byte nonce.

        Args:
            raw: untrusted; one report, binary.
            collateral: untrusted; `cert-chain`, `driver-rim`, `vbios-rim`, `ocsp`.
            now: Unix seconds.

        Raises:
            EvidenceMalformedError: report or collateral does not parse.
            EvidenceUntrustedError: a signature, chain or the firmware id is wrong.
            EvidenceUnverifiedError: the certificate chain is missing.
            EvidenceUnsupportedError: a chip this version does not know.
        """
        findings = Findings()

        # (1) Authenticate: frame, chain to the pinned root at `now`, signature, kind.
        gpu = device.authenticate(
            EvidenceKind.NVIDIA_GPU, raw, collateral, roots=self._roots, blocks=BLOCKS, now=now
        )

        # (2) Bind the firmware that signs to the certificate its boot ROM issued.
        if not device.check_fwid(gpu):
            findings.unchecked.append(
                Finding("nvidia-gpu.fwid.absent", "firmware id in report", gpu.fwid.hex(), "none")
            )

        # (3) Compare every measurement the driver's and the VBIOS's manifests name.
        skip = firmware.skipped(gpu.fields)
        outcomes = [
            reference.compare(
                need,
                gpu.report.measurements,
                collateral,
                roots=self._rim_roots,
                skip=skip,
                now=now,
            )
            for need in firmware.needs(gpu)
        ]
        findings.refused += reference.overlap(outcomes)
        findings.refused += _judge_decoder(gpu.fields, outcomes)

        # (4) Protected-PCIe mode must be reported consistently.
        _judge_mode(gpu.fields, findings)

        # (5) Revocation, and the claims.
        return device.conclude(
            EvidenceKind.NVIDIA_GPU,
            gpu,
            collateral,
            references=outcomes,
            findings=findings,
            details=_details(gpu),
            ocsp_roots=self._ocsp_roots,
            now=now,
        )


def _judge_decoder(fields: Fields, outcomes: Sequence[Outcome]) -> list[Finding]:
    """Refuse an unreadable decoder status where a manifest makes it matter."""
    named = any(each.used and firmware.DECODER_INDEX in each.used.golden for each in outcomes)
    status = opaque.number(fields, FieldId.NVDEC0_STATUS)
    if not named or status in {firmware.DECODER_ENABLED, firmware.DECODER_DISABLED}:
        return []
    required = f"{firmware.DECODER_ENABLED:#x} or {firmware.DECODER_DISABLED:#x}"
    return [Finding("nvidia-gpu.nvdec0", "NVDEC0_STATUS", required, str(status))]


def _judge_mode(fields: Fields, findings: Findings) -> None:
    """Judge FEATURE_FLAG and PROTECTED_PCIE_STATUS, which old drivers do not send."""
    flag = opaque.number(fields, FieldId.FEATURE_FLAG)
    status = opaque.number(fields, FieldId.PROTECTED_PCIE_STATUS)
    if status not in {None, PROTECTED_PCIE_ON, _PROTECTED_PCIE_OFF}:
        findings.refused.append(
            Finding("nvidia-gpu.protected-pcie", "status", "0x55 or 0xaa", str(status))
        )
    if flag is not None and flag not in _FEATURE_FLAGS:
        findings.unchecked.append(
            Finding("nvidia-gpu.feature-flag", "FEATURE_FLAG", "0, 1 or 2", str(flag))
        )
    if None not in {flag, status} and (flag == PROTECTED_PCIE_FLAG) != (
        status == PROTECTED_PCIE_ON
    ):
        findings.refused.append(
            Finding("nvidia-gpu.protected-pcie", "mode", f"status {status} to agree", f"{flag}")
        )
    if flag == PROTECTED_PCIE_FLAG or status == PROTECTED_PCIE_ON:
        findings.unchecked.append(
            Finding(TOPOLOGY_CODE, "NVSwitches of a protected-PCIe GPU", "judged with it", "alone")
        )


def _details(gpu: Device) -> dict[str, object]:
    """Return what policies compare: versions, also as numbers, and the switches it sees."""
    driver = firmware.driver_version(gpu.fields)
    vbios = firmware.vbios_version(gpu.fields)
    details: dict[str, object] = {
        "driver_version": driver,
        "driver_version_number": firmware.driver_number(driver),
        "vbios_version": vbios,
        "vbios_version_number": int(vbios.replace(".", ""), 16),
        "rim_ids": [need.rim_id for need in firmware.needs(gpu)],
    }
    listed = gpu.fields.get(FieldId.SWITCH_PDI)
    if listed is not None:
        details["switch_pdis"] = opaque.pdis(listed, reverse=True)
    return details
