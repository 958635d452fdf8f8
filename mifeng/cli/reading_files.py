"""Readers of what travels beside evidence: certificates, lists, manifests, event logs, keys.

Each raises `AttestationError` if the file is something else. Nothing is verified.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from attestation.containers import is_text
from attestation.errors import malformed
from attestation.hygon import certificate as hygon
from attestation.x509 import Certificate, Crl, load_certificates, load_crl

from .reading_table import Grid, Sections

_FAR: Final = 253_402_300_799
_PREVIEW_BYTES: Final = 256
_PREVIEW_LINES: Final = 12
_LINE_BYTES: Final = 32
_TDREPORT_SIZE: Final = 1024
_TDREPORT_TYPE: Final = 0x81
_EVENT_BYTES: Final = 40
_MAX_TITLE: Final = 80
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
_HYGON_CA: Final = 832
_HYGON_CSV: Final = 2084


def certificate_rows(cert: Certificate) -> dict[str, object]:
    """Return what one certificate says."""
    key = cert.key
    return {
        "subject": cert.subject,
        "issuer": cert.issuer,
        "serial": f"{cert.serial:x}",
        "valid from": when(cert.not_before),
        "valid to": when(cert.not_after),
        "key": f"{type(key).__name__.lstrip('_')} {getattr(key, 'key_size', '')}",
        "certificate authority": cert.is_ca,
        "extensions": ", ".join(each.oid.dotted_string for each in cert.extensions),
    }


def certificates(data: bytes) -> Sections:
    """Return every certificate of a file, PEM or DER."""
    for found in _PEM.findall(data) or [data]:
        for cert in load_certificates(found, what="certificates", code="file"):
            yield f"certificate of {cert.subject}"[:_MAX_TITLE], certificate_rows(cert)


def _crl(data: bytes) -> Sections:
    found: Crl = load_crl(data, what="revocation list", code="file")
    yield (
        "revocation list",
        {
            "issuer": found.issuer,
            "number": found.number,
            "this update": when(found.this_update),
            "next update": when(found.next_update),
            "revoked": len(found.crl),
        },
    )


def event_log(data: bytes) -> Sections:
    """Return the events of a log in any form, unreplayed."""
    from attestation.eventlog.bind import parse

    rows = tuple(
        (
            event.index,
            event.label,
            next(iter(event.digests.values()), b""),
            event.name or _peek(event.data),
        )
        for event in parse(data)
    )
    yield "events, not replayed", Grid(headings=("register", "type", "digest", "data"), rows=rows)


def _rim(data: bytes) -> Sections:
    from attestation.nvidia import rim, xmldsig

    root = xmldsig.parse(rim.unwrap(data))
    tags = {str(child.tag).rpartition("}")[2]: child for child in root}
    if "Meta" not in tags or "Payload" not in tags:
        raise malformed("file", "manifest", "Meta and Payload", sorted(tags))
    names = {
        str(name).rpartition("}")[2]: str(value) for name, value in tags["Meta"].attrib.items()
    }
    yield "reference manifest", {"tagId": root.get("tagId"), "name": root.get("name"), **names}
    rows = tuple(
        (
            each.get("index"),
            each.get("active"),
            each.get("alternatives"),
            str(hashes[0]) if hashes else "",
        )
        for each in tags["Payload"]
        for hashes in ([value for name, value in each.attrib.items() if "Hash" in str(name)],)
    )
    yield "reference values", Grid(headings=("index", "active", "values", "first value"), rows=rows)


def hygon_rows(cert: hygon.Certificate) -> dict[str, object]:
    """Return what one of Hygon's own certificates says."""
    return {
        "usage": cert.usage,
        "version": cert.version,
        "key id": cert.key_id,
        "issuer id": cert.issuer_id,
        "public key": cert.point,
        "interface": cert.api,
        "signed by usages": ", ".join(f"{each.usage:#x}" for each in cert.signatures),
    }


def _hygon(data: bytes) -> Sections:
    at = 0
    while at < len(data):
        parse, size, found = _hygon_form(data[at:])
        cert = parse(data[at : at + size], expected=found, code="file")
        yield f"{found.name} certificate", hygon_rows(cert)
        at += size


def _hygon_form(rest: bytes) -> tuple[Callable[..., hygon.Certificate], int, hygon.Usage]:
    """Return how the first certificate is read, its size and its usage."""
    for parse, size, at, usages in (
        (hygon.parse_ca, _HYGON_CA, 36, (hygon.Usage.HRK, hygon.Usage.HSK)),
        (hygon.parse_csv, _HYGON_CSV, 8, (hygon.Usage.CEK, hygon.Usage.PEK, hygon.Usage.OCA)),
    ):
        usage = int.from_bytes(rest[at : at + 4], "little")
        if len(rest) >= size and usage in usages:
            return parse, size, hygon.Usage(usage)
    raise malformed("file", "Hygon certificate", "a known usage", rest[:4].hex())


def _ocsp(data: bytes) -> Sections:
    from cryptography.x509 import ocsp

    try:
        found = ocsp.load_der_ocsp_response(data)
        rows = tuple(
            (
                f"{each.serial_number:x}",
                each.certificate_status.name,
                each.this_update_utc,
                each.next_update_utc,
            )
            for each in found.responses
        )
    except ValueError as exc:
        raise malformed("file", "OCSP response", "DER", type(exc).__name__) from exc
    yield (
        "OCSP answers",
        Grid(headings=("serial", "status", "this update", "next update"), rows=rows),
    )


def _tdreport(data: bytes) -> Sections:
    if len(data) != _TDREPORT_SIZE or data[0] != _TDREPORT_TYPE:
        raise malformed("file", "TDREPORT", f"{_TDREPORT_SIZE} bytes", len(data))
    yield (
        "TDREPORT: good on its own machine only, never as remote evidence",
        {
            "type": data[:4],
            "cpu_svn": data[16:32],
            "report_data": data[128:192],
            "td_attributes": data[512:520],
            "mr_td": data[528:576],
        },
    )


def _tpms_attest(data: bytes) -> Sections:
    from attestation.tpm2.quote import parse

    yield "TPMS_ATTEST, unsigned", parse(data, code="file")


def preview(data: bytes) -> tuple[tuple[str, str], ...]:
    """Return the beginning of a file nobody recognises: its lines, or its bytes."""
    if is_text(data):
        lines = data.decode("ascii").splitlines()[:_PREVIEW_LINES]
        return tuple((f"line {number}", line[:200]) for number, line in enumerate(lines, 1))
    head = data[:_PREVIEW_BYTES]
    starts = range(0, len(head), _LINE_BYTES)
    return tuple((f"at {at:#05x}", head[at : at + _LINE_BYTES].hex(" ", 4)) for at in starts)


def _peek(data: bytes) -> str:
    """Return an event's data as text if it is, else its first bytes in hex."""
    text = data.rstrip(b"\0")
    if text and is_text(text):
        return text[: 3 * _EVENT_BYTES].decode("ascii")
    return (
        data.hex()
        if len(data) <= _EVENT_BYTES
        else f"{data[:_EVENT_BYTES].hex()}… ({len(data)} bytes)"
    )


def when(seconds: int) -> str:
    """Return an instant as people read it; year 9999 and what lies beyond has no end."""
    return "no end" if seconds >= _FAR else datetime.fromtimestamp(seconds, UTC).isoformat()


EVENT_LOG: Final = "event log"

FILES: Final[Mapping[str, Callable[[bytes], Sections]]] = {
    EVENT_LOG: event_log,
    "certificates": certificates,
    "revocation list": _crl,
    "NVIDIA reference manifest": _rim,
    "Hygon certificates": _hygon,
    "OCSP response": _ocsp,
    "TDREPORT": _tdreport,
    "TPM structure": _tpms_attest,
}
