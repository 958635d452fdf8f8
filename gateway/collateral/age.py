"""How new a piece of collateral says it is, as numbers that must never fall.

Source: Intel PCS API v4 (`tcbEvaluationDataNumber`, `issueDate`); RFC 5280 §5.2.3 (CRL number),
§5.1.2.4 (thisUpdate); RFC 6960 §4.2.2.1.
"""

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import ocsp

from attestation import json_strict
from attestation.containers import is_text, text_to_bytes
from attestation.errors import malformed, untrusted
from attestation.evidence import Role
from attestation.json_fields import Fields
from attestation.x509 import load_crl

Mark = tuple[int, ...]
"""Each number is compared on its own; empty for what has no order (certificates, manifests)."""

CODE: Final = "collateral.age"
DOWNGRADE: Final = "collateral.downgrade"
FUTURE_S: Final = 86_400
"""How far ahead of the clock an issue date may lie; more would block what is issued later."""

_MEMBERS: Final = {Role.TCB_INFO: "tcbInfo", Role.QE_IDENTITY: "enclaveIdentity"}
_CRLS: Final = frozenset({Role.PCK_CRL, Role.ROOT_CRL, Role.SNP_CRL})


def mark(role: Role, data: bytes) -> Mark:
    """Return how new `data` says it is, its issue date (Unix seconds) last.

    Raises:
        EvidenceMalformedError: it is not what its role says.
    """
    if role in _MEMBERS:
        return _signed_json(_MEMBERS[role], data)
    if role in _CRLS:
        if b"-----BEGIN" not in data and is_text(data):
            data = text_to_bytes(data, what=role.value, code=CODE)
        crl = load_crl(data, what=role.value, code=CODE)
        return (crl.number or 0, crl.this_update)
    return _ocsp(data) if role is Role.OCSP else ()


def check(role: Role, found: Mark, seen: Mark, *, now: int) -> None:
    """Refuse what is older than `seen`, or from the future.

    Raises:
        EvidenceUntrustedError: a number fell (`collateral.downgrade`), or the issue date lies
            more than `FUTURE_S` ahead of `now` (`collateral.age.future`).
    """
    if found and found[-1] > now + FUTURE_S:
        raise untrusted(f"{CODE}.future", f"issue date of {role.value}", f"<= {now}", found[-1])
    if len(seen) == len(found) and any(new < old for new, old in zip(found, seen, strict=True)):
        raise untrusted(DOWNGRADE, f"{role.value}", f"not below {seen}", found)


def _signed_json(member: str, data: bytes) -> Mark:
    tree = json_strict.parse_object(data, what=member, code=CODE)
    inner = tree.get(member, tree)
    if not isinstance(inner, dict):
        raise malformed(CODE, member, "an object", type(inner).__name__)
    fields = Fields(inner, member, CODE)
    text = fields.text("issueDate")
    try:
        date = datetime.fromisoformat(text)
    except ValueError as exc:
        raise malformed(CODE, "issueDate", "RFC 3339", text[:32]) from exc
    if date.tzinfo is None:
        raise malformed(CODE, "issueDate", "with a time zone", text[:32])
    return (fields.number("tcbEvaluationDataNumber"), int(date.timestamp()))


def _ocsp(data: bytes) -> Mark:
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise malformed(CODE, "OCSP response", "successful", response.response_status.name)
        return (min(int(each.this_update_utc.timestamp()) for each in response.responses),)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as exc:
        raise malformed(CODE, "OCSP response", "DER", type(exc).__name__) from exc
