"""What the signed free field of each kind of evidence must hold.

A node computes these bytes before it asks its hardware for evidence, and a verifier computes
them again afterwards, so they live in one place and are pure functions. CPU evidence commits
to keyset, freshness and every accelerator's evidence; accelerator evidence commits to keyset
and freshness: both directions.

Source: docs/spec/binding.md §3.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mifeng.crypto import sm3

from .bundle import Device
from .evidence import EvidenceKind

NONCE_BYTES: Final = 32
DIGEST_BYTES: Final = 32
REPORT_DATA_BYTES: Final = 64
_REPORT_LABEL: Final = b"mifeng/v1/report-data\0"
_DEVICE_LABEL: Final = b"mifeng/v1/device\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldUse:
    """Which bytes one kind's signed field holds."""

    name: str
    """The field's name in the vendor's specification."""

    part: slice
    """The part of `report_data` (or of the device nonce) that goes in, first byte first."""

    zeros: int
    """Zero bytes that follow and are compared too, because the vendor's field is longer."""

    def fill(self, value: bytes) -> bytes:
        """Return every byte the field must hold."""
        return value[self.part] + bytes(self.zeros)


_BOTH: Final = slice(0, 64)
_SHA256_HALF: Final = slice(32, 64)
_NONCE: Final = slice(0, 32)

CPU_FIELDS: Final[Mapping[EvidenceKind, FieldUse]] = {
    EvidenceKind.INTEL_TDX: FieldUse(name="REPORTDATA", part=_BOTH, zeros=0),
    EvidenceKind.INTEL_SGX: FieldUse(name="REPORTDATA", part=_BOTH, zeros=0),
    EvidenceKind.AMD_SNP: FieldUse(name="REPORT_DATA", part=_BOTH, zeros=0),
    EvidenceKind.HYGON_CSV: FieldUse(name="report_data", part=_BOTH, zeros=0),
    EvidenceKind.AZURE_VTPM: FieldUse(name="extraData", part=_SHA256_HALF, zeros=0),
    EvidenceKind.TPM2: FieldUse(name="extraData", part=_SHA256_HALF, zeros=0),
    EvidenceKind.ARM_CCA: FieldUse(name="realm challenge", part=_BOTH, zeros=0),
    EvidenceKind.HUAWEI_VIRTCCA: FieldUse(name="cvm challenge", part=_BOTH, zeros=0),
    EvidenceKind.HUAWEI_ITRUSTEE: FieldUse(name="nonce", part=_BOTH, zeros=0),
    EvidenceKind.AWS_NITRO: FieldUse(name="nonce", part=_BOTH, zeros=0),
    EvidenceKind.SIMULATED: FieldUse(name="report_data", part=_BOTH, zeros=0),
}
"""Kinds that can vouch for a keyset. TPM extraData holds one digest of the AK's hash."""

DEVICE_FIELDS: Final[Mapping[EvidenceKind, FieldUse]] = {
    EvidenceKind.NVIDIA_GPU: FieldUse(name="request nonce", part=_NONCE, zeros=0),
    EvidenceKind.NVIDIA_NVSWITCH: FieldUse(name="request nonce", part=_NONCE, zeros=0),
    EvidenceKind.HYGON_DCU: FieldUse(name="user_data", part=_NONCE, zeros=32),
    EvidenceKind.SIMULATED: FieldUse(name="device nonce", part=_NONCE, zeros=0),
}
"""Kinds that can only be part of a node: they say nothing about the software beside them."""


def transcript(*, nonce32: bytes, keyset_digest: bytes, accelerators: Sequence[Device]) -> bytes:
    """Return `T`: everything that CPU evidence commits to.

    Args:
        nonce32: `Freshness.nonce32`, 32 bytes.
        keyset_digest: SM3 of the exact keyset bytes, 32 bytes.
        accelerators: in any order; taken in the order of their device ids' UTF-8 bytes.

    Raises:
        ValueError: a length is wrong or a device id occurs twice; the caller's mistake.

    Source: docs/spec/binding.md §3.1.
    """
    _need(NONCE_BYTES, nonce32=nonce32)
    _need(DIGEST_BYTES, keyset_digest=keyset_digest)
    by_id = {device.device_id.encode(): device.evidence for device in accelerators}
    if len(by_id) != len(accelerators):
        raise ValueError("accelerators: a device id occurs twice")
    parts = [_REPORT_LABEL, nonce32, keyset_digest, len(by_id).to_bytes(2)]
    for _, evidence in sorted(by_id.items()):
        kind = evidence.kind.value.encode()
        parts += [len(kind).to_bytes(1), kind, sm3(evidence.raw)]
    return b"".join(parts)


def report_data(*, nonce32: bytes, keyset_digest: bytes, accelerators: Sequence[Device]) -> bytes:
    """Return `binding = SM3(T) ‖ SHA-256(T)`, 64 bytes; arguments as `transcript`."""
    t = transcript(nonce32=nonce32, keyset_digest=keyset_digest, accelerators=accelerators)
    return sm3(t) + hashlib.sha256(t).digest()


def device_nonce(*, nonce32: bytes, keyset_digest: bytes) -> bytes:
    """Return the 32-byte nonce that every accelerator of the node is asked with.

    Raises:
        ValueError: a length is wrong; the caller's mistake.

    Source: docs/spec/binding.md §3.2.
    """
    _need(NONCE_BYTES, nonce32=nonce32)
    _need(DIGEST_BYTES, keyset_digest=keyset_digest)
    return hashlib.sha256(_DEVICE_LABEL + nonce32 + keyset_digest).digest()


def _need(size: int, **values: bytes) -> None:
    for name, value in values.items():
        if len(value) != size:
            raise ValueError(f"{name}: need {size} bytes, got {len(value)}")
