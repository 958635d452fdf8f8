"""What NVIDIA's services must be asked: manifests by name, statuses by certificate.

Source: NVIDIA RIM service v1; RFC 6960 §4.1; nv-local-gpu-verifier (names of manifests).
"""

from base64 import b64decode
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from attestation import json_strict
from attestation.errors import malformed
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.nvidia import certificates, opaque, spdm, xmldsig
from attestation.nvidia.opaque import FieldId
from attestation.nvidia_gpu import firmware
from attestation.x509 import Certificate

from .request import JSON, OCSP_RESPONSE, Request

_SWITCH: Final = "NV_SWITCH_BIOS_5612_0002_890_"
_ID: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_MAX_ID: Final = 128
_RIMS: Final = (Role.DRIVER_RIM, Role.VBIOS_RIM, Role.SWITCH_RIM)
_BOOT_ROM: Final = 1


def manifests(evidence: Evidence, collateral: Collateral, base: str) -> tuple[Request, ...]:
    """Return a question for each manifest the device needs and nobody delivered.

    Raises:
        AttestationError: report or certificates do not parse.
    """
    fields = opaque.decode(spdm.decode(evidence.raw).opaque)
    if evidence.kind is EvidenceKind.NVIDIA_NVSWITCH:
        version = opaque.required(fields, FieldId.VBIOS_VERSION).decode("latin-1").upper()
        names = [(Role.SWITCH_RIM, _SWITCH + version.replace(".", ""))]
    else:
        chain = _device_chain(collateral)
        names = _gpu_names(fields, chain) if len(chain) > _BOOT_ROM else []
    return tuple(
        Request.get(role, f"{base}/v1/rim/{name}", JSON)
        for role, name in names
        if not collateral.all(role) and len(name) <= _MAX_ID and set(name) <= _ID
    )


def _gpu_names(fields: opaque.Fields, chain: Sequence[Certificate]) -> list[tuple[Role, str]]:
    """Return the names `firmware.needs` gives, from a report that is not yet verified."""
    chip = certificates.common_name(chain[_BOOT_ROM]).partition(" ")[0]
    info = opaque.text(fields, FieldId.CHIP_INFO) or "GB100"
    driver = f"GPU_DRIVER_{chip}" if chip.startswith("GH") else f"GPU_CC_DRIVER_{info}"
    board = (FieldId.PROJECT, FieldId.PROJECT_SKU, FieldId.CHIP_SKU)
    vbios = firmware.vbios_version(fields).replace(".", "")
    parts = ["NV_GPU_VBIOS", *(opaque.text(fields, each) or "" for each in board), vbios]
    return [
        (Role.DRIVER_RIM, f"NV_{driver}_{firmware.driver_version(fields)}"),
        (Role.VBIOS_RIM, "_".join(parts).upper()),
    ]


def statuses(collateral: Collateral, url: str) -> tuple[Request, ...]:
    """Return an OCSP question for each certificate whose status nobody delivered.

    Of the device's chain all but leaf and root, of each manifest's chain all but the root.

    Raises:
        AttestationError: collateral does not parse.
    """
    chains = [_device_chain(collateral)[1:]]
    chains += [_signers(data) for role in _RIMS for data in collateral.all(role)]
    answered = set(_answered(collateral.all(Role.OCSP)))
    asked: dict[bytes, Request] = {}
    for chain in chains:
        for cert, issuer in pairwise(chain):
            if cert.serial in answered:
                continue
            body = (
                ocsp.OCSPRequestBuilder()
                .add_certificate(cert.cert, issuer.cert, SHA384())
                .build()
                .public_bytes(Encoding.DER)
            )
            asked[body] = Request(role=Role.OCSP, url=url, media_type=OCSP_RESPONSE, body=body)
    return tuple(asked.values())


def _device_chain(collateral: Collateral) -> tuple[Certificate, ...]:
    return tuple(
        cert
        for data in collateral.all(Role.CERT_CHAIN)
        for cert in certificates.split(data, code="nvidia.chain")
    )


def _signers(rim: bytes) -> tuple[Certificate, ...]:
    """Return the certificates in a manifest's signature, as they stand there."""
    code = "nvidia.rim.document"
    text = rim.strip()
    if text[:1] == b"{":
        inner = json_strict.parse_object(text, what="RIM service answer", code=code).get("rim")
        text = inner.encode(errors="replace").strip() if isinstance(inner, str) else b""
    if text[:1] != b"<":
        try:
            text = b64decode(b"".join(text.split()), validate=True).strip()
        except ValueError as exc:
            raise malformed(code, "RIM", "XML, its base64, or JSON", "other") from exc
    return tuple(xmldsig.decode(text).certificates)


def _answered(items: Iterable[bytes]) -> list[int]:
    """Return the serial numbers that delivered responses name."""
    found = []
    for item in items:
        try:
            response = ocsp.load_der_ocsp_response(item)
            if response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
                found += [each.serial_number for each in response.responses]
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
            continue  # several in one item, or none: asking again harms nothing
    return found
