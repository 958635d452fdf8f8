"""iTrustee's JSON documents: the AK certificate and the report of a trusted application.

Source: openEuler kunpengsec `attestation/tas/akissuer`, `attestation/tee/tverlib`; no real JSON
report is public; docs/attestation/huawei-itrustee.md §3.
"""

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

from attestation import json_strict
from attestation.cose.keys import base64url
from attestation.errors import EvidenceMalformedError, EvidenceUnsupportedError, Finding, malformed
from attestation.json_fields import Fields

from .cjson import signed_form

_CODE: Final = "huawei-itrustee"
_VERSION: Final = "TEE.RA.1.0"
_SIGN_ALGORITHM: Final = "PS256"
_HASH_ALGORITHM: Final = "HS256"
HASH_SIZE: Final = 32
NONCE_SIZE: Final = 64
NO_AS: Final = "sce_no_as"
AS_NO_DAA: Final = "sce_as_no_daa"
AS_WITH_DAA: Final = "sce_as_with_daa"
_SCENARIOS: Final = (NO_AS, AS_NO_DAA, AS_WITH_DAA)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AkCertificate:
    """What a device says about its attestation key, not believed."""

    signed: bytes
    signature: bytes
    device_certificate: bytes
    """DER."""

    scenario: str
    timestamp: str
    tcb: str
    quoting_image: bytes
    quoting_memory: bytes
    key: Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an attestation key says about a trusted application, not believed."""

    signed: bytes
    signature: bytes
    ak: AkCertificate | bytes
    """The device's statement, or an X.509 certificate (DER) of the owner's own authority."""

    nonce: bytes
    """Filled up with zeros to 64 bytes, as the device does."""

    scenario: str
    timestamp: str
    uuid: str
    image: bytes
    memory: bytes


def parse(raw: bytes) -> AkCertificate | Report:
    """Split one document.

    Raises:
        EvidenceMalformedError: neither document (codes `huawei-itrustee.*`).
        EvidenceUnsupportedError: a report under direct anonymous attestation.
    """
    doc = Fields(json_strict.parse_object(raw, what="evidence", code=_CODE), "evidence", _CODE)
    handler = doc.text("handler")
    if handler == "provisioning-output":
        return ak_certificate(doc)
    if handler == "report-output":
        return _report(doc)
    required = "report-output or provisioning-output"
    raise malformed(f"{_CODE}.handler", "handler", required, handler[:32])


def ak_certificate(doc: Fields) -> AkCertificate:
    """Return the AK certificate in a document."""
    payload, signature = doc.member("payload"), doc.member("signature")
    _check_algorithms(payload)
    return AkCertificate(
        signed=signed_form(payload.table, code=_CODE),
        signature=_bytes(signature, "drk_sign"),
        device_certificate=_certificate(signature),
        scenario=_scenario(payload),
        timestamp=payload.text("timestamp"),
        tcb=payload.text("tcb"),
        quoting_image=_hash(payload, "qta_img"),
        quoting_memory=_hash(payload, "qta_mem"),
        key=payload.member("ak_pub"),
    )


def _report(doc: Fields) -> Report:
    payload = doc.member("payload")
    _check_algorithms(payload)
    scenario = _scenario(payload)
    if scenario == AS_WITH_DAA:
        raise EvidenceUnsupportedError(
            Finding(f"{_CODE}.daa", "scenario", f"{NO_AS} or {AS_NO_DAA}", scenario)
        )
    signatures = doc.member("report_sign" if doc.has("report_sign") else "signature")
    certificates = doc.member("akcert")
    nonce, uuid = _bytes(payload, "nonce"), payload.text("uuid").lower()
    if not 0 < len(nonce) <= NONCE_SIZE:
        raise malformed(f"{_CODE}.nonce", "nonce", f"1 … {NONCE_SIZE} bytes", len(nonce))
    if not _UUID.fullmatch(uuid):
        raise malformed(f"{_CODE}.uuid", "uuid", "a UUID", uuid[:40])
    ak: AkCertificate | bytes
    if scenario == NO_AS:
        ak = ak_certificate(certificates.member(NO_AS))
    else:
        ak = _bytes(certificates, AS_NO_DAA)
    return Report(
        signed=signed_form(payload.table, code=_CODE),
        signature=_bytes(signatures, scenario),
        ak=ak,
        nonce=nonce.ljust(NONCE_SIZE, b"\0"),
        scenario=scenario,
        timestamp=payload.text("timestamp"),
        uuid=uuid,
        image=_hash(payload, "ta_img"),
        memory=_hash(payload, "ta_mem"),
    )


def _check_algorithms(payload: Fields) -> None:
    for name, required in (
        ("version", _VERSION),
        ("sign_alg", _SIGN_ALGORITHM),
        ("hash_alg", _HASH_ALGORITHM),
    ):
        if payload.text(name) != required:
            raise malformed(f"{_CODE}.algorithm", name, required, payload.text(name)[:32])


def _scenario(payload: Fields) -> str:
    scenario = payload.text("scenario")
    if scenario not in _SCENARIOS:
        raise malformed(f"{_CODE}.scenario", "scenario", ", ".join(_SCENARIOS), scenario[:32])
    return scenario


def _bytes(fields: Fields, name: str) -> bytes:
    return base64url(fields.text(name), what=f"{fields.what}.{name}", code=_CODE)


def _hash(fields: Fields, name: str) -> bytes:
    value = _bytes(fields, name)
    if len(value) != HASH_SIZE:
        raise malformed(f"{_CODE}.hash", f"{fields.what}.{name}", f"{HASH_SIZE} bytes", len(value))
    return value


def _certificate(signature: Fields) -> bytes:
    """Return the DER: base64 of it, in a buffer filled with NUL, in base64url once more."""
    body = _bytes(signature, "drk_cert").rstrip(b"\0")
    try:
        return b64decode(b"".join(body.split()), validate=True)
    except ValueError as exc:
        raise _no_base64(str(exc)) from exc


def _no_base64(reason: str) -> EvidenceMalformedError:
    return malformed(f"{_CODE}.drk-cert", "drk_cert", "base64", reason)
