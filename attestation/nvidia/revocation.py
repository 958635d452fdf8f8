"""Stapled OCSP responses: was a certificate of a path revoked?

Which certificates: of a device path all but the leaf (NVIDIA does not register leaves) and the
root; of a RIM signer's path all but the root. Responses are collateral that somebody else asked
for, so a nonce in one cannot be compared with anything: what bounds replay is age. A response
must name exactly the certificate (issuer name hash, issuer key hash, serial), be signed by the
issuer or by a responder that the issuer delegated (or one pinned), and be recent.

A response that fits no certificate asked about is left alone: bundles share them. One that fits
and is forged refuses the evidence; one that fits and is old decides nothing.

Source: RFC 6960 §3.2, §4.2.2; NVIDIA OCSP at ocsp.ndis.nvidia.com.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID

from attestation import der
from attestation.errors import Finding, malformed, untrusted
from attestation.x509 import Certificate, load_certificate

from . import certificates
from .certificates import Path
from .roots import Root

MAX_RESPONSE_BYTES: Final = 256 * 1024
MAX_AGE_S: Final = 7 * 86_400
"""Oldest thisUpdate accepted, whatever nextUpdate says, seconds."""
MAX_CLOCK_SKEW_S: Final = 300
"""How far ahead of ours a responder's clock may be, seconds."""

_CODE: Final = "nvidia.revocation.response"
_LIBRARY_ERRORS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    UserWarning,
)
_UNDERSTOOD: Final = certificates.UNDERSTOOD | {ExtensionOID.EXTENDED_KEY_USAGE}
"""A responder's extended key usage may be critical."""
_HASHES: Final = (hashes.SHA1, hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""CertID hashes seen from NVIDIA's clients (SHA-1, SHA-384) and the ones in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One certificate whose status is wanted."""

    name: str
    serial: int
    issuer_name: bytes
    issuer_point: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One SingleResponse and the response it came in, read completely; not yet trusted."""

    issuer_name_hash: bytes
    issuer_key_hash: bytes
    algorithm: hashes.HashAlgorithm
    serial: int
    status: ocsp.OCSPCertStatus
    reason: str
    this_update: int
    next_update: int | None
    end: int
    """Last Unix second at which it still decides something."""

    response: ocsp.OCSPResponse
    responder_name: bytes | None
    responder_key_hash: bytes | None
    delegates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the stapled responses say about some certificates."""

    valid_until: int | None
    """Earliest end of an answer relied on, Unix seconds; None where none was."""

    refused: tuple[Finding, ...]
    unchecked: tuple[Finding, ...]


def questions(path: Path, *, first: int) -> list[Question]:
    """Return what must be asked about a path, from certificate `first` up to below the root."""
    asked = []
    for position in range(first, len(path.certificates)):
        issuer_name, issuer_point = path.issuer_of(position)
        each = path.certificates[position]
        asked.append(
            Question(
                name=certificates.common_name(each),
                serial=each.serial,
                issuer_name=issuer_name,
                issuer_point=issuer_point,
            )
        )
    return asked


def check(
    asked: Iterable[Question], stapled: Iterable[bytes], *, roots: Sequence[Root], now: int
) -> Outcome:
    """Return what the stapled responses say about every certificate asked about.

    Args:
        asked: certificates; duplicates are answered once.
        stapled: untrusted; each item one or more concatenated DER OCSPResponses.
        roots: pins of responders trusted for any issuer; usually none.
        now: Unix seconds.

    Raises:
        EvidenceMalformedError: an item is no OCSP response (`nvidia.revocation.response`).
        EvidenceUntrustedError: a response that fits is not signed by an authorised responder
            (`nvidia.revocation.responder`, `nvidia.revocation.signature`).
    """
    answers = [answer for item in stapled for answer in _decode(item)]
    ends: list[int] = []
    refused: list[Finding] = []
    unchecked: list[Finding] = []
    for question in dict.fromkeys(asked):
        fitting = [
            _verify_signed(answer, question, roots) for answer in answers if _fits(answer, question)
        ]
        past = [each for each in fitting if each.this_update - MAX_CLOCK_SKEW_S <= now]
        latest = max(past, key=lambda answer: answer.this_update, default=None)
        refused += [_revoked(question, each) for each in past if _is_final(each, latest)]
        if latest is None or latest.next_update is None or now > latest.end:
            unchecked.append(_undecided(question, latest or next(iter(fitting), None), now))
            continue
        if latest.status is ocsp.OCSPCertStatus.UNKNOWN:
            finding = Finding("nvidia.revocation.unknown", _claim(question), "good", "unknown")
            unchecked.append(finding)
        ends.append(latest.end)
    return Outcome(
        valid_until=min(ends, default=None), refused=tuple(refused), unchecked=tuple(unchecked)
    )


def _decode(item: bytes) -> list[Answer]:
    """Return every SingleResponse in one item; unsuccessful responses hold none."""
    if len(item) > MAX_RESPONSE_BYTES:
        raise malformed("nvidia.revocation.size", "OCSP", f"<= {MAX_RESPONSE_BYTES}", len(item))
    found = der.split_sequences(item, what="OCSP responses", code=_CODE)
    if not found:
        raise malformed(_CODE, "OCSP responses", "at least one", "none")
    answers: list[Answer] = []
    for each in found:
        try:
            answers += _read(ocsp.load_der_ocsp_response(each))
        except _LIBRARY_ERRORS as exc:
            raise malformed(_CODE, "OCSP response", "DER", type(exc).__name__) from exc
    return answers


def _read(response: ocsp.OCSPResponse) -> list[Answer]:
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return []
    critical = {extension.oid for extension in response.extensions if extension.critical}
    if critical - {x509.OCSPNonce.oid}:
        raise ValueError("a critical extension that is not understood")
    responder = response.responder_name
    delegates = tuple(
        load_certificate(each.public_bytes(Encoding.DER), what="OCSP responder", code=_CODE)
        for each in response.certificates
    )
    answers = []
    for single in response.responses:
        this_update = int(single.this_update_utc.timestamp())
        next_date = single.next_update_utc
        next_update = None if next_date is None else int(next_date.timestamp())
        too_old = this_update + MAX_AGE_S
        reason = single.revocation_reason
        answers.append(
            Answer(
                issuer_name_hash=single.issuer_name_hash,
                issuer_key_hash=single.issuer_key_hash,
                algorithm=single.hash_algorithm,
                serial=single.serial_number,
                status=single.certificate_status,
                reason=reason.value if reason else "unspecified",
                this_update=this_update,
                next_update=next_update,
                end=too_old if next_update is None else min(next_update, too_old),
                response=response,
                responder_name=responder.public_bytes() if responder else None,
                responder_key_hash=response.responder_key_hash,
                delegates=delegates,
            )
        )
    return answers


def _is_ocsp_signer(certificate: Certificate) -> bool:
    usages = [
        extension.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.ExtendedKeyUsage)
    ]
    return any(ExtendedKeyUsageOID.OCSP_SIGNING in usage for usage in usages)


def _fits(answer: Answer, question: Question) -> bool:
    """Whether an answer's CertID is exactly the certificate asked about."""
    if answer.serial != question.serial or not isinstance(answer.algorithm, _HASHES):
        return False
    return compare_digest(
        answer.issuer_name_hash, _digest(question.issuer_name, answer.algorithm)
    ) and compare_digest(answer.issuer_key_hash, _digest(question.issuer_point, answer.algorithm))


def _verify_signed(answer: Answer, question: Question, roots: Sequence[Root]) -> Answer:
    """Check the response's signature with the one key that may have made it.

    Returns: the answer, with its end brought forward to the responder's.
    """
    point, responder_end = _responder(answer, question, roots)
    response = answer.response
    # The algorithm is named outside what is signed, so nothing else notices a bent name.
    if response.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise untrusted(
            "nvidia.revocation.signature", _claim(question), "ecdsa-with-SHA384", "another"
        )
    if not certificates.is_signed(response.tbs_response_bytes, response.signature, point):
        raise untrusted(
            "nvidia.revocation.signature", _claim(question), "by its responder", "invalid"
        )
    return replace(answer, end=min(answer.end, responder_end))


def _responder(answer: Answer, question: Question, roots: Sequence[Root]) -> tuple[bytes, int]:
    """Return the responder's public point, and until when it may answer.

    It is the issuer, a delegate whose certificate was valid when it answered, or a pinned one.

    Source: RFC 6960 §4.2.2.2.
    """
    own = [(question.issuer_name, question.issuer_point)]
    pinned = [(root.name, root.point) for root in roots]
    for name, point in own + pinned:
        if _is_named(answer, name, point):
            return point, answer.end
    for each in answer.delegates:
        name = certificates.subject(each)
        issuers = [at for known, at in own + pinned if known == each.cert.issuer.public_bytes()]
        if not issuers or not _is_ocsp_signer(each):
            continue
        certificates.check_profile(each, understood=_UNDERSTOOD)
        valid = each.not_before <= answer.this_update <= each.not_after
        if valid and _is_named(answer, name, certificates.point(each)):
            certificates.verify_issued(each, issuers[0], code="nvidia.revocation.responder")
            return certificates.point(each), each.not_after
    raise untrusted(
        "nvidia.revocation.responder", _claim(question), "the issuer or its valid delegate", "other"
    )


def _is_named(answer: Answer, name: bytes, point: bytes) -> bool:
    """Whether a responder id means this name or key (RFC 6960 §4.2.1: SHA-1 of the key)."""
    if answer.responder_name is not None:
        return answer.responder_name == name
    return answer.responder_key_hash == _digest(point, hashes.SHA1())  # noqa: S303 - an identifier


def _undecided(question: Question, best: Answer | None, now: int) -> Finding:
    claim = _claim(question)
    if best is None:
        return Finding("nvidia.revocation.missing", claim, "a stapled OCSP response", "none")
    end = "no nextUpdate" if best.next_update is None else str(best.end)
    found = f"{best.this_update} … {end}"
    return Finding("nvidia.revocation.stale", claim, f"current at {now}", found)


def _is_final(answer: Answer, latest: Answer | None) -> bool:
    """Whether an answer revokes; a hold ends when a later answer lifts it."""
    if answer.status is not ocsp.OCSPCertStatus.REVOKED:
        return False
    return answer is latest or answer.reason != x509.ReasonFlags.certificate_hold.value


def _revoked(question: Question, answer: Answer) -> Finding:
    return Finding(
        "nvidia.revocation.revoked", _claim(question), "good", f"revoked: {answer.reason}"
    )


def _claim(question: Question) -> str:
    return f"revocation of {question.name}"


def _digest(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    hasher = hashes.Hash(algorithm)
    hasher.update(data)
    return hasher.finalize()
