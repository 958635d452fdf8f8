"""Find the one report inside what tools and clouds deliver.

Binary: a bare report, zero-padded or followed by a GHCB certificate table; the guest driver's
response; an Azure HCL blob; a dstack envelope. JSON: what guest-components, attestation services,
dstack, Azure's confidential containers and readers of configfs-tsm write. What surrounds the
report is not signed and is dropped, except certificates and CRLs, which are verified like any
other.

Source: AMD 56860 §"MSG_REPORT_RSP"; AMD 56421 §"SNP Extended Guest Request"; the tools' formats.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from attestation.containers import Unit, json_bytes
from attestation.errors import malformed
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role

from . import json_report
from .certificates import load_certificates, place
from .report import SIZE
from .table import is_table, read_table, read_table_crls

_CODE: Final = "amd-snp.container"

_HCL_MAGIC: Final = b"HCLA"
_HCL_HEADER_SIZE: Final = 32
_HCL_REQUEST_SIZE: Final = 20
_HCL_SNP: Final = 2
_DRIVER_HEADER: Final = bytes(4) + SIZE.to_bytes(4, "little") + bytes(24)
"""MSG_REPORT_RSP: status 0, size of the report, 24 zero bytes."""
_MAX_PADDED: Final = 4096
# SCALE: version 0, variant 3 (SEV-SNP), compact length 1184.
_DSTACK_PREFIX: Final = bytes.fromhex("00038112")

_CERTIFICATE_NAMES: Final = frozenset({"vcek", "vlek", "ask", "asvk", "ark"})
_CRL_NAME: Final = "crl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A report's bytes and the collateral that came in the same container; all untrusted."""

    report: bytes
    certificates: tuple[bytes, ...] = ()
    """Files of one or more certificates each."""
    crls: tuple[bytes, ...] = ()


def unwrap(raw: bytes) -> Delivery:
    """Return the report inside binary `raw`; `report.parse` judges it.

    Raises:
        EvidenceMalformedError: bytes beside the report that no container explains.
    """
    if raw[:4] == _HCL_MAGIC:
        return Delivery(report=raw[_HCL_HEADER_SIZE : _HCL_HEADER_SIZE + SIZE])
    if raw[:4] == _DSTACK_PREFIX:
        return Delivery(report=raw[4 : 4 + SIZE])
    if raw[: len(_DRIVER_HEADER)] == _DRIVER_HEADER:
        raw = raw[len(_DRIVER_HEADER) :]
    report, rest = raw[:SIZE], raw[SIZE:]
    if is_table(rest):
        crls = tuple(read_table_crls(rest))
        return Delivery(report=report, certificates=tuple(read_table(rest)), crls=crls)
    if not _is_hcl_request(rest) and (any(rest) or len(rest) > _MAX_PADDED - SIZE):
        raise malformed(f"{_CODE}.trailing", "bytes after the report", "zero padding", len(rest))
    return Delivery(report=report)


def _is_hcl_request(rest: bytes) -> bool:
    """Recognise the 20-byte request header that follows the report in an HCL blob."""
    return len(rest) == _HCL_REQUEST_SIZE and rest[8:12] == _HCL_SNP.to_bytes(4, "little")


def unpack(value: object, collateral: Collateral) -> tuple[Unit, ...]:
    """Return the one report of a JSON document, its certificates behind `collateral`.

    Raises:
        EvidenceMalformedError: no report, or a member of another form (codes
            `amd-snp.container.*`).
    """
    doc = _object(value, "evidence")
    inner = doc.get("evidence")
    if "attestation_report" in doc:
        report = doc["attestation_report"]
        if isinstance(report, dict):
            packed = json_report.pack(report)
        else:
            packed = json_bytes(report, what="attestation_report", code=_CODE)
        embedded = _chain(doc.get("cert_chain"))
    elif inner is not None:
        packed = json_bytes(inner, what="evidence", code=_CODE)
        embedded = [
            (Role.CERT_CHAIN, json_bytes(doc[name], what=name, code=_CODE))
            for name in ("endorsements",)
            if doc.get(name) is not None
        ]
    else:
        packed, embedded = _blob(doc), []
    evidence = Evidence(EvidenceKind.AMD_SNP, packed)
    return (Unit(evidence=evidence, collateral=add_missing(collateral, embedded)),)


def _blob(doc: Mapping[str, object]) -> bytes:
    """Return the binary container in a dstack or configfs-tsm document, for `unwrap`."""
    if "attestation" in doc:
        return json_bytes(doc["attestation"], what="attestation", code=_CODE)
    if "outblob" not in doc:
        raise malformed(f"{_CODE}.json", "JSON evidence", "a report", "none")
    report = json_bytes(doc["outblob"], what="outblob", code=_CODE)
    if not doc.get("auxblob"):
        return report
    return report + json_bytes(doc["auxblob"], what="auxblob", code=_CODE)


def add_missing(collateral: Collateral, embedded: list[tuple[Role, bytes]]) -> Collateral:
    """Add embedded certificates of places, and CRLs, that `collateral` does not have."""
    roles = {role for role, _ in collateral.items}
    given = {
        place(cert)
        for role, data in collateral.items
        if role in (Role.VEK, Role.ASK, Role.ARK, Role.CERT_CHAIN)
        for cert in load_certificates(data)
    }
    items = list(collateral.items)
    for role, data in embedded:
        if role is Role.SNP_CRL:
            items += [] if role in roles else [(role, data)]
            continue
        certs = load_certificates(data)
        items += [(Role.CERT_CHAIN, cert.der) for cert in certs if place(cert) not in given]
    return Collateral(tuple(items))


def _chain(value: object) -> list[tuple[Role, bytes]]:
    """Return the certificates and CRLs of guest-components' array or of an object by name."""
    found = []
    for name, data in _named(value):
        if name in _CERTIFICATE_NAMES and data is not None:
            found.append((Role.CERT_CHAIN, json_bytes(data, what=name, code=_CODE)))
        elif name == _CRL_NAME and data is not None:
            found.append((Role.SNP_CRL, json_bytes(data, what=name, code=_CODE)))
    return found


def _named(value: object) -> list[tuple[str, object]]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [(str(name).lower(), data) for name, data in value.items()]
    if not isinstance(value, list):
        raise malformed(f"{_CODE}.json", "cert_chain", "an array", type(value).__name__)
    entries = []
    for each in value:
        entry = _object(each, "cert_chain")
        kind = entry.get("cert_type")
        if isinstance(kind, str):
            entries.append((kind.lower(), entry.get("data")))
    return entries


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise malformed(f"{_CODE}.json", what, "an object", type(value).__name__)
    return value
