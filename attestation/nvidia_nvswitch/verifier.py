"""Authenticate one NVSwitch's report and compare it with NVIDIA's reference values.

Source: docs/attestation/nvidia-nvswitch.md §3.
"""

from collections.abc import Sequence
from typing import Final

from attestation.claims import Claims
from attestation.errors import Finding, malformed
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.nvidia import device, opaque, reference
from attestation.nvidia.device import Findings
from attestation.nvidia.opaque import PDI_BYTES, SWITCH_GPUS, FieldId, Fields
from attestation.nvidia.reference import Need
from attestation.nvidia.roots import OCSP_ROOTS, RIM_ROOTS, Root

BLOCKS: Final = 31
LOCKED: Final = 1

_PRODUCT: Final = "LS10"
_RIM_ID: Final = "NV_SWITCH_BIOS_5612_0002_890_"
_VERSION_BYTES: Final = 14
_LIST_BYTES: Final = SWITCH_GPUS * PDI_BYTES


class NvidiaNvswitchVerifier:
    """Verifies reports of LS10 switches; see `attestation.verifier.Verifier`."""

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
        """Return what an authentic switch claims; `report_data` is the 32-byte nonce.

        Args:
            raw: untrusted; one report, binary.
            collateral: untrusted; `cert-chain`, `switch-rim`, `ocsp`.
            now: Unix seconds.

        Raises:
            EvidenceMalformedError: report or collateral does not parse.
            EvidenceUntrustedError: a signature, chain or the firmware id is wrong.
            EvidenceUnverifiedError: the certificate chain is missing.
            EvidenceUnsupportedError: a chip this version does not know.
        """
        findings = Findings()

        # (1) Authenticate: frame, chain to the pinned root at `now`, signature, kind.
        switch = device.authenticate(
            EvidenceKind.NVIDIA_NVSWITCH, raw, collateral, roots=self._roots, blocks=BLOCKS, now=now
        )

        # (2) LS10 reports name no firmware; one that does must name the leaf's.
        device.check_fwid(switch)

        # (3) Compare every measurement the firmware's manifest names.
        version = _version(switch.fields)
        need = Need(
            role=Role.SWITCH_RIM,
            rim_id=_RIM_ID + version.replace(".", ""),
            version=version,
            products=frozenset({_PRODUCT}),
            least=frozenset(range(BLOCKS)),
        )
        outcome = reference.compare(
            need,
            switch.report.measurements,
            collateral,
            roots=self._rim_roots,
            skip=frozenset(),
            now=now,
        )

        # (4) A switch that is not locked can be rewired after it was attested.
        findings.refused += _judge_lock(switch.fields)

        # (5) Revocation, and the claims.
        return device.conclude(
            EvidenceKind.NVIDIA_NVSWITCH,
            switch,
            collateral,
            references=[outcome],
            findings=findings,
            details={"vbios_version": version, "rim_ids": [need.rim_id], **_wiring(switch.fields)},
            ocsp_roots=self._ocsp_roots,
            now=now,
        )


def _version(fields: Fields) -> str:
    """Return the firmware's version, upper case, e.g. `96.10.55.00.01`."""
    value = opaque.required(fields, FieldId.VBIOS_VERSION)
    version = value.decode("latin-1").upper()
    if len(value) != _VERSION_BYTES or not set(version) <= set("0123456789ABCDEF."):
        raise malformed("nvidia-nvswitch.version", "firmware version", "96.10.55.00.01", version)
    return version


def _wiring(fields: Fields) -> dict[str, object]:
    """Return who the switch is and which GPUs it sees, for `topology`."""
    own = opaque.required(fields, FieldId.SWITCH_PDI)
    if len(own) != PDI_BYTES:
        required = f"{PDI_BYTES} bytes"
        raise malformed("nvidia-nvswitch.pdi", "DEVICE_PDI", required, len(own))
    listed = opaque.required(fields, FieldId.SWITCH_GPU_PDIS)
    return {
        "device_pdi": own.hex(),
        "gpu_pdis": opaque.pdis(listed[:_LIST_BYTES], reverse=False),
        "gpu_ports": listed[_LIST_BYTES:].hex(),
    }


def _judge_lock(fields: Fields) -> list[Finding]:
    status = opaque.number(fields, FieldId.LOCK_SWITCH_STATUS)
    if status == LOCKED:
        return []
    return [Finding("nvidia-nvswitch.lock", "LOCK_SWITCH_STATUS", str(LOCKED), str(status))]
