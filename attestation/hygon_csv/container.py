"""Hygon CSV evidence as guest-components and trustee write it in JSON.

The report comes as the device's padded bytes with a header of two numbers, or (before August
2025) as fields; HSK and CEK come as fields or are absent. What is not signed is dropped.

Source: confidential-containers `attester/src/csv`, `verifier/src/csv`; openanolis/csv-rs
`src/api/guest/types.rs` (serde names).
"""

from collections.abc import Mapping
from typing import Final

from attestation.containers import Unit, json_bytes
from attestation.errors import malformed, untrusted
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.hygon import json_pack

from .report import V1_SIZE, cut, parse, version_of

_CODE: Final = "hygon-csv.container"
_MAGIC_SIZE: Final = 16
_SN_SIZE: Final = 64

_OLD_REPORT: Final = (
    ("body.user_pubkey_digest", 32),
    ("body.vm_id", 16),
    ("body.vm_version", 16),
    ("body.report_data", 64),
    ("body.mnonce", 16),
    ("body.measure", 32),
    ("body.policy", 4),
    ("sig_usage", 4),
    ("sig_algo", 4),
    ("anonce", 4),
    ("sig.r", 72),
    ("sig.s", 72),
)


def unpack(value: object, collateral: Collateral) -> tuple[Unit, ...]:
    """Return the one report of a JSON document, with the certificates beside it.

    HSK and CEK of the document count beside those in `collateral`.

    Raises:
        EvidenceMalformedError: no report, or a member of another form.
        EvidenceUntrustedError: the document names another PEK than the report.
    """
    doc = _object(value, "evidence")
    chain = _object(doc.get("cert_chain", {}), "cert_chain")
    raw = _report(doc.get("attestation_report"), chain, doc.get("serial_number"))
    items = list(collateral.items)
    pair = chain.get("hsk_cek")
    if pair is None and "hsk" in chain:
        pair = chain
    if isinstance(pair, str | list):
        items.append((Role.HSK_CEK, json_bytes(pair, what="hsk_cek", code=_CODE)))
    elif pair is not None:
        both = _object(pair, "hsk_cek")
        packed = json_pack.pack(both.get("hsk"), json_pack.CA, what="hsk", code=_CODE)
        packed += json_pack.pack(both.get("cek"), json_pack.CSV, what="cek", code=_CODE)
        items.append((Role.HSK_CEK, packed))
    log = doc.get("cc_eventlog")
    if log is not None:
        items.append((Role.EVENT_LOG, json_bytes(log, what="cc_eventlog", code=_CODE)))
    evidence = Evidence(EvidenceKind.HYGON_CSV, raw)
    return (Unit(evidence=evidence, collateral=Collateral(tuple(items))),)


def _report(value: object, chain: Mapping[str, object], serial: object) -> bytes:
    pek = None
    if chain.get("pek") is not None:
        pek = json_pack.pack(chain["pek"], json_pack.CSV, what="pek", code=_CODE)
    if isinstance(value, str | list):
        raw = json_bytes(value, what="attestation_report", code=_CODE)
    elif isinstance(value, Mapping) and "data" in value:
        raw = _wrapped(value)
    else:
        return _old(_object(value, "attestation_report"), pek, serial)
    if pek is not None and parse(raw).pek.raw != pek:
        raise untrusted(f"{_CODE}.pek", "PEK certificate", "the report's own", "another")
    return raw


def _wrapped(value: Mapping[str, object]) -> bytes:
    magic = json_bytes(value.get("magic"), what="magic", code=_CODE)
    flags = value.get("flags")
    if len(magic) != _MAGIC_SIZE or type(flags) is not int:
        raise malformed(f"{_CODE}.json", "report header", "magic and flags", "another form")
    data = json_bytes(value.get("data"), what="data", code=_CODE)
    return cut(version_of(magic, flags), data)


def _old(value: Mapping[str, object], pek: bytes | None, serial: object) -> bytes:
    """Return the version 1 report whose fields came apart from the PEK and the serial number."""
    if pek is None:
        raise malformed(f"{_CODE}.json", "cert_chain", "the PEK certificate", "absent")
    packed = json_pack.pack(value, _OLD_REPORT, what="report", code=_CODE)
    sn = b"" if serial is None else json_bytes(serial, what="serial_number", code=_CODE)
    if len(sn) > _SN_SIZE:
        raise malformed(f"{_CODE}.json", "serial_number", f"<= {_SN_SIZE} bytes", len(sn))
    return (packed + pek + sn).ljust(V1_SIZE, b"\0")


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise malformed(f"{_CODE}.json", what, "an object", type(value).__name__)
    return value
