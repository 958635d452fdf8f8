"""The Hygon root key (HRK), pinned.

Provenance: `hrk.cert`, built into openanolis/csv-rs (`src/certs/builtin/hrk.cert`) and into
confidential-containers/trustee, and served at `https://cert.hygon.cn/hrk`. How checked: both
collections hold the same 832 bytes, the certificate verifies itself, and a report of a real
machine verifies up to it.

`attestation.registry` passes it to the verifiers of both kinds.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from .certificate import Usage, parse_ca


@dataclass(frozen=True, slots=True, kw_only=True)
class Hrk:
    """One trusted root key."""

    key_id: bytes
    """16 bytes; HSK certificates name it."""

    point: bytes
    """Public key, 04 ‖ X ‖ Y, 65 bytes."""

    certificate_sha256: bytes
    """SHA-256 of the whole 832-byte certificate."""


def pin(certificate: bytes) -> Hrk:
    """Return the pin of a root certificate's exact bytes.

    Raises:
        EvidenceMalformedError: not an HRK certificate.
    """
    parsed = parse_ca(certificate, expected=Usage.HRK, code="hygon.hrk")
    return Hrk(
        key_id=parsed.key_id,
        point=parsed.point,
        certificate_sha256=sha256(certificate).digest(),
    )


HYGON: Final = Hrk(
    key_id=bytes.fromhex("3ae86a9701355cce333a589de21583d7"),
    point=bytes.fromhex(
        "04be62e14d62a4f14cf3d702db09563a75c80935e785cd1f502af5f21d92c2f6"
        "2d3bab123a57bb7015584f8b97164e95384a640c10b9be884738744d68b41eb946"
    ),
    certificate_sha256=bytes.fromhex(
        "296efa97580464aca0ab5eefe42199ee05862182508d1629f29cf4dc175b10cd"
    ),
)
