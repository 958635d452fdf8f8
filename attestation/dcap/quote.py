"""Intel ECDSA quotes, versions 3, 4 and 5, as tables.

Integers are little-endian; ECDSA values are big-endian r ‖ s. Names are those of Intel's
headers. Nothing here is believed: `verify` checks the signatures over exactly `signed`.

Source: Intel TDX DCAP Quoting Library API, appendix A.3 (v4, v5); Intel SGX ECDSA Quote Library
Reference, appendix A.4 (v3); Intel SDM vol. 3D (REPORT).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from attestation.errors import EvidenceMalformedError, malformed
from attestation.layout import Field, le, read, split

MAX_QUOTE_BYTES: Final = 64 << 10
HEADER_SIZE: Final = 48
ENCLAVE_REPORT_SIZE: Final = 384
INTEL_QE_VENDOR_ID: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SGX: Final = 0x00
TDX: Final = 0x81
_ECDSA_P256: Final = 2
_OLDEST, _NEWEST = 3, 5
_FIRST_TYPED_CERT_DATA: Final = 4
_QE_REPORT_CERT_DATA: Final = 6

HEADER: Final = (
    Field("version", 0, 2),
    Field("att_key_type", 2, 2),
    Field("tee_type", 4, 4),
    Field("svns", 8, 4),
    Field("qe_vendor_id", 12, 16),
    Field("user_data", 28, 20),
)
"""`svns` is qe_svn and pce_svn in version 3, and reserved since."""

ENCLAVE_REPORT: Final = (
    Field("cpu_svn", 0, 16),
    Field("misc_select", 16, 4),
    Field("reserved1", 20, 28),
    Field("attributes", 48, 16),
    Field("mr_enclave", 64, 32),
    Field("reserved2", 96, 32),
    Field("mr_signer", 128, 32),
    Field("reserved3", 160, 96),
    Field("isv_prod_id", 256, 2),
    Field("isv_svn", 258, 2),
    Field("reserved4", 260, 60),
    Field("report_data", 320, 64),
)
"""The reserved parts carry CONFIGID, CONFIGSVN and family ids on newer SGX; they are signed."""

TD10: Final = (
    Field("tee_tcb_svn", 0, 16),
    Field("mr_seam", 16, 48),
    Field("mr_signer_seam", 64, 48),
    Field("seam_attributes", 112, 8),
    Field("td_attributes", 120, 8),
    Field("xfam", 128, 8),
    Field("mr_td", 136, 48),
    Field("mr_config_id", 184, 48),
    Field("mr_owner", 232, 48),
    Field("mr_owner_config", 280, 48),
    Field("rtmr0", 328, 48),
    Field("rtmr1", 376, 48),
    Field("rtmr2", 424, 48),
    Field("rtmr3", 472, 48),
    Field("report_data", 520, 64),
)

TD15: Final = (
    *TD10,
    Field("tee_tcb_svn_2", 584, 16),
    Field("mr_service_td", 600, 48),
)


class Body(IntEnum):
    """Body types of version 5; older versions imply theirs."""

    ENCLAVE = 1
    TD10 = 2
    TD15 = 3


_BODIES: Final[Mapping[Body, tuple[tuple[Field, ...], int, int]]] = {
    Body.ENCLAVE: (ENCLAVE_REPORT, ENCLAVE_REPORT_SIZE, SGX),
    Body.TD10: (TD10, 584, TDX),
    Body.TD15: (TD15, 648, TDX),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One quote, cut into its parts."""

    version: int
    body_type: Body
    body: Mapping[str, bytes]
    signed: bytes
    """Header and body: what the attestation key signed."""

    signature: bytes
    attestation_key: bytes
    qe_report_raw: bytes
    qe_report: Mapping[str, bytes]
    qe_report_signature: bytes
    qe_auth: bytes
    cert_type: int
    cert_data: bytes


class _Cursor:
    """Takes consecutive parts; every length is checked before it is used."""

    def __init__(self, raw: bytes, at: int, code: str) -> None:
        self._raw = raw
        self._code = code
        self.at = at

    def take(self, size: int, what: str) -> bytes:
        end = self.at + size
        if end > len(self._raw):
            raise malformed(f"{self._code}.truncated", what, f"{end} bytes", len(self._raw))
        data = self._raw[self.at : end]
        self.at = end
        return data

    def number(self, size: int, what: str) -> int:
        return le(self.take(size, what))

    def end(self, what: str) -> None:
        if self.at != len(self._raw):
            left = len(self._raw) - self.at
            raise malformed(f"{self._code}.trailing", what, "nothing left over", f"{left} bytes")


def parse(raw: bytes, *, tee_type: int, kind: str) -> Quote:
    """Return the quote in `raw`, which may be followed by zero bytes only.

    Args:
        raw: untrusted; any bytes.
        tee_type: `SGX` or `TDX`; a quote of the other one is refused.
        kind: evidence kind, prefix of the findings' codes.

    Raises:
        EvidenceMalformedError: not one quote of Intel's vendor id (codes `<kind>.quote.*`).
    """
    code = f"{kind}.quote"
    if len(raw) > MAX_QUOTE_BYTES:
        raise malformed(f"{code}.size", "quote", f"<= {MAX_QUOTE_BYTES} bytes", len(raw))
    cursor = _Cursor(raw, 0, code)
    header = split(
        HEADER, cursor.take(HEADER_SIZE, "header"), size=HEADER_SIZE, what="header", code=code
    )
    version = _check_header(header, tee_type=tee_type, code=code)
    body_type = _body_type(cursor, version=version, tee_type=tee_type, code=code)
    layout, size, _ = _BODIES[body_type]
    body = read(layout, cursor.take(size, "body"), size=size, what="body", code=code)
    signed = raw[: cursor.at]
    signature_data = cursor.take(cursor.number(4, "signature data size"), "signature data")
    tail = raw[cursor.at :]
    if any(tail):
        raise malformed(f"{code}.trailing", "bytes after the quote", "zero", "other bytes")
    inner = _Cursor(signature_data, 0, code)
    signature, key = inner.take(64, "signature"), inner.take(64, "attestation key")
    if version >= _FIRST_TYPED_CERT_DATA:
        inner = _qe_certification_data(inner, code=code)
    qe_report_raw = inner.take(ENCLAVE_REPORT_SIZE, "QE report")
    quote = Quote(
        version=version,
        body_type=body_type,
        body=body,
        signed=signed,
        signature=signature,
        attestation_key=key,
        qe_report_raw=qe_report_raw,
        qe_report=enclave_report(qe_report_raw, code=code),
        qe_report_signature=inner.take(64, "QE report signature"),
        qe_auth=inner.take(inner.number(2, "QE authentication size"), "QE authentication data"),
        cert_type=inner.number(2, "certification data type"),
        cert_data=inner.take(inner.number(4, "certification data size"), "certification data"),
    )
    inner.end("signature data")
    return quote


def enclave_report(raw: bytes, *, code: str) -> dict[str, bytes]:
    """Return the fields of an SGX REPORT body, 384 bytes."""
    return read(ENCLAVE_REPORT, raw, size=ENCLAVE_REPORT_SIZE, what="enclave report", code=code)


def _check_header(header: Mapping[str, bytes], *, tee_type: int, code: str) -> int:
    """Return the version of a header that Intel's quoting enclaves write."""
    version = le(header["version"])
    if not _OLDEST <= version <= _NEWEST:
        raise malformed(f"{code}.version", "quote version", "3, 4 or 5", version)
    key_type = le(header["att_key_type"])
    if key_type != _ECDSA_P256:
        raise malformed(f"{code}.key-type", "attestation key type", "2, ECDSA P-256", key_type)
    found = le(header["tee_type"])
    if found != tee_type:
        raise malformed(f"{code}.tee-type", "TEE type", f"{tee_type:#x}", f"{found:#x}")
    if header["qe_vendor_id"] != INTEL_QE_VENDOR_ID:
        found_id = header["qe_vendor_id"].hex()
        raise malformed(f"{code}.vendor", "QE vendor id", INTEL_QE_VENDOR_ID.hex(), found_id)
    if version > _OLDEST and any(header["svns"]):
        raise malformed(f"{code}.reserved", "header", "reserved bytes zero", header["svns"].hex())
    return version


def _body_type(cursor: _Cursor, *, version: int, tee_type: int, code: str) -> Body:
    if version < _NEWEST:
        if version == _OLDEST and tee_type != SGX:
            raise malformed(f"{code}.tee-type", "TEE type of version 3", "SGX", f"{tee_type:#x}")
        return Body.ENCLAVE if tee_type == SGX else Body.TD10
    number, size = cursor.number(2, "body type"), cursor.number(4, "body size")
    for body, (_, expected, tee) in _BODIES.items():
        if number == body and tee == tee_type:
            if size != expected:
                raise malformed(f"{code}.body-size", body.name, f"{expected} bytes", size)
            return body
    raise _unknown_body(number, tee_type, code)


def _unknown_body(number: int, tee_type: int, code: str) -> EvidenceMalformedError:
    known = ", ".join(body.name for body, (_, _, tee) in _BODIES.items() if tee == tee_type)
    return malformed(f"{code}.body-type", "body type", known, number)


def _qe_certification_data(outer: _Cursor, *, code: str) -> _Cursor:
    """Return a cursor over the QE report certification data, which is all that is left."""
    number = outer.number(2, "certification data type")
    if number != _QE_REPORT_CERT_DATA:
        raise malformed(f"{code}.cert-type", "certification data type", "6", number)
    data = outer.take(outer.number(4, "certification data size"), "certification data")
    outer.end("signature data")
    return _Cursor(data, 0, code)
