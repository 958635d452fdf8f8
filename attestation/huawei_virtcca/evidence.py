"""virtCCA evidence as delivered: the token alone, or JSON with the device certificate beside it.

Source: openEuler secGear `attestation-types/src/lib.rs` (VirtccaEvidence).
"""

from dataclasses import dataclass
from typing import Final

from attestation import json_strict
from attestation.arm_cca.token import Realm, parse_realm, split
from attestation.aws_nitro import cbor
from attestation.containers import json_bytes
from attestation.cose import sign1
from attestation.cose.sign1 import Sign1
from attestation.errors import malformed

_CODE: Final = "huawei-virtcca"
_PRINTABLE: Final = b"{"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One delivery, split and not believed."""

    cvm: Sign1
    claims: Realm
    platform: Sign1 | None
    challenge: bytes | None
    """The platform token's, which names the machine's key."""

    device_certificates: tuple[bytes, ...]


def parse(raw: bytes) -> Token:
    """Split one delivery.

    Raises:
        EvidenceMalformedError: not this structure (codes `huawei-virtcca.*`).
    """
    certificates: tuple[bytes, ...] = ()
    if raw.lstrip()[:1] == _PRINTABLE:
        doc = json_strict.parse_object(raw, what="evidence", code=_CODE)
        if "evidence" not in doc:
            raise malformed(f"{_CODE}.json", "evidence", "a member `evidence`", "none")
        if doc.get("dev_cert"):
            certificates = (_certificate(doc["dev_cert"]),)
        raw = json_bytes(doc["evidence"], what="evidence", code=_CODE)
    platform_raw, cvm_raw = split(raw, code=_CODE)
    cvm = sign1.parse(cvm_raw, what="cvm token", code=f"{_CODE}.cvm")
    claims = parse_realm(_unwrapped(cvm.payload), code=f"{_CODE}.cvm")
    platform = challenge = None
    if platform_raw is not None:
        platform = sign1.parse(platform_raw, what="platform token", code=f"{_CODE}.platform")
        challenge = _challenge(_unwrapped(platform.payload))
    return Token(
        cvm=cvm,
        claims=claims,
        platform=platform,
        challenge=challenge,
        device_certificates=certificates,
    )


def _certificate(value: object) -> bytes:
    if isinstance(value, str) and value.lstrip().startswith("-----BEGIN"):
        return value.encode(errors="surrogatepass")
    return json_bytes(value, what="dev_cert", code=_CODE)


def _unwrapped(payload: bytes) -> bytes:
    """Return the claims inside a payload that is wrapped in a byte string once more."""
    value = cbor.decode(payload, what="payload", code=_CODE)
    return value if isinstance(value, bytes) else payload


def _challenge(payload: bytes) -> bytes:
    value = cbor.decode(payload, what="platform claims", code=f"{_CODE}.platform")
    challenge = value.get(10) if isinstance(value, dict) else None
    if not isinstance(challenge, bytes):
        raise malformed(f"{_CODE}.platform.claims", "platform challenge", "bytes", "none")
    return challenge
