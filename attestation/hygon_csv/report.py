"""The two attestation reports of Hygon's secure processor, split and unmasked.

Version 1 (2548 bytes) comes XOR-masked with a 4-byte `anonce`; the signature is over the masked
bytes. Version 2 (3380 bytes, CSV3) is not masked. The device pads both to 4096 bytes.

`anonce` is not signed: whoever presents a version 1 report can change it, and every decoded
field shifts with it while the signature stays right. Nothing decoded from version 1 means
anything before report data and launch measurement were compared in full.

Source: openanolis/csv-rs `src/api/guest/types.rs`; checked against a real version 1 report;
docs/attestation/hygon-csv.md §3.
"""

from dataclasses import dataclass
from typing import Final

from attestation.errors import malformed
from attestation.hygon.certificate import (
    Certificate,
    Usage,
    parse_csv,
    signature_value,
)
from attestation.layout import Field, le, split
from mifeng.crypto import hmac_sm3

_CODE: Final = "hygon-csv.report"
V1_SIZE: Final = 2548
V2_SIZE: Final = 3380
PADDED_SIZE: Final = 4096
MAGIC: Final = b"ATTESTATION_EXT\0"
_HEADER: Final = 20
"""Magic and flags, where an agent put them before the padded report."""

_BODY: Final = (
    Field("user_pubkey_digest", 0x000, 32),
    Field("vm_id", 0x020, 16),
    Field("vm_version", 0x030, 16),
    Field("report_data", 0x040, 64),
    Field("mnonce", 0x080, 16),
    Field("measure", 0x090, 32),
    Field("policy", 0x0B0, 4),
    Field("sig_usage", 0x0B4, 4),
    Field("sig_algo", 0x0B8, 4),
)
V1_LAYOUT: Final = (
    *_BODY,
    Field("anonce", 0x0BC, 4),
    Field("r", 0x0C0, 72),
    Field("s", 0x108, 72),
    Field("pek", 0x150, 2084),
    Field("sn", 0x974, 64),
    Field("reserved2", 0x9B4, 32),
    Field("mac", 0x9D4, 32),
)
V2_LAYOUT: Final = (
    *_BODY,
    Field("build", 188, 4),
    Field("rtmr_version", 192, 2),
    Field("reserved0", 194, 14),
    Field("rtmr0", 208, 32),
    Field("rtmr1", 240, 32),
    Field("rtmr2", 272, 32),
    Field("rtmr3", 304, 32),
    Field("rtmr4", 336, 32),
    Field("reserved1", 368, 656),
    Field("r", 1024, 72),
    Field("s", 1096, 72),
    Field("pek", 1168, 2084),
    Field("sn", 3252, 64),
    Field("reserved2", 3316, 32),
    Field("mac", 3348, 32),
)
_V1_SIGNED: Final = slice(0, 180)
_V2_SIGNED: Final = slice(0, 1024)
_PEK_USAGE: Final = slice(8, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report, unmasked and not yet believed."""

    version: int
    fields: dict[str, bytes]
    """By the specification's names, unmasked."""

    signed: bytes
    """The exact bytes the signature is over."""

    signature: bytes
    pek: Certificate
    mac_is_wrong: bool
    """Version 1 as the device made it, and PEK, serial number or MAC were altered since. A right
    MAC proves nothing: its key is in the report."""

    @property
    def policy(self) -> int:
        """The guest policy, 32 bits."""
        return le(self.fields["policy"])

    @property
    def serial(self) -> str:
        """The chip's serial number; not signed, good for finding certificates only."""
        return self.fields["sn"].rstrip(b"\0").decode("ascii", errors="replace")


def parse(raw: bytes) -> Report:
    """Split one report of either version, padded with zeros or not.

    Raises:
        EvidenceMalformedError: another size, other bytes in the padding, or a PEK certificate
            that does not parse.
    """
    version, body = _unwrap(raw)
    return _parse_v1(body) if version == 1 else _parse_v2(body)


def version_of(magic: bytes, flags: int) -> int:
    """Return the report version that an agent's header states.

    Raises:
        EvidenceMalformedError: a header that stands for no version (code `.header`).
    """
    if not any(magic) or (magic == MAGIC and flags == 0):
        return 1
    if magic == MAGIC and flags == 1:
        return 2
    found = f"{magic.hex()}, {flags}"
    raise malformed(f"{_CODE}.header", "report header", "ATTESTATION_EXT, 0 or 1", found)


def cut(version: int, padded: bytes) -> bytes:
    """Return the report of a stated version without its padding, which must be zero.

    Raises:
        EvidenceMalformedError: too short or too long, or padding that is not zero.
    """
    size = V1_SIZE if version == 1 else V2_SIZE
    body, padding = padded[:size], padded[size:]
    if len(body) != size or len(padded) not in (size, PADDED_SIZE):
        required = f"{size} or {PADDED_SIZE} bytes"
        raise malformed(f"{_CODE}.size", f"report version {version}", required, len(padded))
    if any(padding):
        raise malformed(f"{_CODE}.padding", f"report version {version}", "zero padding", "other")
    return body


def _unwrap(raw: bytes) -> tuple[int, bytes]:
    if raw[: len(MAGIC)] == MAGIC:
        version = version_of(MAGIC, le(raw[len(MAGIC) : _HEADER]))
        return version, cut(version, raw[_HEADER:])
    # A version 2 report has a serial number, so that not all is zero behind version 1's end.
    version = 2 if any(raw[V1_SIZE:PADDED_SIZE]) else 1
    return version, cut(version, raw)


def _parse_v1(raw: bytes) -> Report:
    fields = split(V1_LAYOUT, raw, size=V1_SIZE, what="CSV report", code=_CODE)
    anonce = fields["anonce"]
    is_masked = le(fields["pek"][_PEK_USAGE]) != Usage.PEK
    plain = dict(fields)
    for name in (*(row.name for row in _BODY), *(("pek", "sn") if is_masked else ())):
        plain[name] = unmask(fields[name], anonce)
    mac = hmac_sm3(plain["mnonce"], fields["pek"] + fields["sn"] + fields["reserved2"])
    has_mac = any(fields["mac"] + fields["reserved2"])
    return _report(
        1, plain, raw[_V1_SIGNED], mac_is_wrong=is_masked and has_mac and mac != fields["mac"]
    )


def _parse_v2(raw: bytes) -> Report:
    fields = split(V2_LAYOUT, raw, size=V2_SIZE, what="CSV report", code=_CODE)
    return _report(2, fields, raw[_V2_SIGNED], mac_is_wrong=False)


def _report(version: int, fields: dict[str, bytes], signed: bytes, *, mac_is_wrong: bool) -> Report:
    return Report(
        version=version,
        fields=fields,
        signed=signed,
        signature=signature_value(fields["r"], fields["s"], what="report signature", code=_CODE),
        pek=parse_csv(fields["pek"], expected=Usage.PEK, code="hygon-csv.pek"),
        mac_is_wrong=mac_is_wrong,
    )


def unmask(data: bytes, anonce: bytes) -> bytes:
    """Return `data` XOR the repeated 4 bytes of `anonce`; every field starts at a multiple of 4."""
    repeated = anonce * (len(data) // len(anonce))
    return bytes(a ^ b for a, b in zip(data, repeated, strict=True))
