"""SIMULATED Hygon processors and DCUs: certificates and reports in Hygon's exact formats.

Everything hangs from a test root key; every value can be bent by keyword. Signatures are right
for what was built unless a test spoils them afterwards.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from attestation.evidence import Collateral, Role
from attestation.hygon.certificate import CA_LAYOUT, CA_SIZE, CSV_LAYOUT, CSV_SIZE, Usage
from attestation.hygon.roots import Hrk, pin
from attestation.hygon_csv.report import MAGIC, V1_LAYOUT, V1_SIZE, V2_LAYOUT, V2_SIZE, unmask
from attestation.hygon_dcu import report as dcu
from attestation.layout import Field
from mifeng.crypto import Sm2PrivateKey, hmac_sm3, sm3

REPORT_DATA: Final = bytes(range(64))
MEASURE: Final = sm3(b"SIMULATED guest")
MNONCE: Final = bytes(range(16))
ANONCE: Final = bytes.fromhex("9b429112")
GOOD_POLICY: Final = 0x0301_006F
"""NODBG, NOKS, ES, NOSEND, CSV, CSV3; interface 1.3 and up."""
CHIP_ID: Final = b"SIMDCU0000000001"


@cache
def key(role: str) -> Sm2PrivateKey:
    """Return the test key of one role, the same in every run."""
    return Sm2PrivateKey.from_scalar(sm3(f"SIMULATED {role}".encode()))


def little(data: bytes) -> bytes:
    """Return big-endian 32 bytes as Hygon's 72-byte little-endian field."""
    return data[::-1].ljust(72, b"\0")


def fill(layout: tuple[Field, ...], size: int, values: Mapping[str, bytes | int]) -> bytearray:
    """Return a structure with these fields set, integers little-endian, the rest zero."""
    raw = bytearray(size)
    rows = {row.name: row for row in layout}
    for name, value in values.items():
        row = rows[name]
        data = value.to_bytes(row.size, "little") if isinstance(value, int) else value
        raw[row.offset : row.offset + row.size] = data.ljust(row.size, b"\0")
        assert len(data) <= row.size, name
    return raw


def _subject(role: str, usage: Usage) -> dict[str, bytes | int]:
    point = key(role).public_key().to_bytes()
    return {
        "key_usage": usage,
        "curve": 3,
        "x": little(point[1:33]),
        "y": little(point[33:]),
        "uid_len": len(usage.uid),
        "uid": usage.uid,
    }


def key_id(role: str) -> bytes:
    """Return the key id of a root or signing key."""
    return sm3(key(role).public_key().to_bytes())[:16]


@cache
def ca(
    role: str = "hsk",
    *,
    usage: Usage = Usage.HSK,
    signer: str = "hrk",
    signer_uid: bytes = Usage.HRK.uid,
    bend: tuple[tuple[str, bytes | int], ...] = (),
) -> bytes:
    """Return an HRK or HSK certificate."""
    values = {
        "version": 1,
        "key_id": key_id(role),
        "certifying_id": key_id(signer),
        **_subject(role, usage),
        **dict(bend),
    }
    raw = fill(CA_LAYOUT, CA_SIZE, values)
    signature = key(signer).sign(bytes(raw[:576]), uid=signer_uid)
    raw[576:648], raw[648:720] = little(signature[:32]), little(signature[32:])
    return bytes(raw)


@cache
def csv(
    role: str = "cek",
    *,
    usage: Usage = Usage.CEK,
    signer: str = "hsk",
    signer_usage: Usage = Usage.HSK,
    signer_uid: bytes | None = None,
    slot: int = 1,
    bend: tuple[tuple[str, bytes | int], ...] = (),
) -> bytes:
    """Return a CEK or PEK certificate, signed in one of its slots."""
    other = 3 - slot
    values = {
        "version": 1,
        "api_major": 1,
        "api_minor": 3,
        "algorithm": 4,
        **_subject(role, usage),
        "issuer_id": key_id(signer) if usage is Usage.CEK else bytes(16),
        f"usage_{slot}": signer_usage,
        f"algorithm_{slot}": 4,
        f"usage_{other}": Usage.INVALID if usage is Usage.CEK else Usage.OCA,
        f"algorithm_{other}": 0 if usage is Usage.CEK else 4,
        **dict(bend),
    }
    raw = fill(CSV_LAYOUT, CSV_SIZE, values)
    uid = signer_usage.uid if signer_uid is None else signer_uid
    signature = key(signer).sign(bytes(raw[:1044]), uid=uid)
    at = 1052 if slot == 1 else 1572
    raw[at : at + 72], raw[at + 72 : at + 144] = little(signature[:32]), little(signature[32:])
    return bytes(raw)


def hrk(role: str = "hrk") -> bytes:
    """Return a self-signed root certificate; another role makes a look-alike."""
    return ca(role, usage=Usage.HRK, signer=role)


@cache
def roots() -> tuple[Hrk, ...]:
    """Return the pins of the simulated root."""
    return (pin(hrk()),)


def pek(signer: str = "cek", **bend: bytes | int) -> bytes:
    """Return the PEK certificate."""
    return csv(
        "pek", usage=Usage.PEK, signer=signer, signer_usage=Usage.CEK, bend=tuple(bend.items())
    )


def endorsed(*more: tuple[Role, bytes]) -> Collateral:
    """Return collateral with HSK and CEK, and whatever else."""
    return Collateral(((Role.HSK_CEK, ca() + csv()), *more))


@dataclass(frozen=True, kw_only=True)
class Psp:
    """A processor that reports on one honest guest; bend with `dataclasses.replace`."""

    version: int = 1
    fields: Mapping[str, bytes | int] = field(default_factory=dict)
    """Replaces fields, unmasked."""
    anonce: bytes = ANONCE
    signer: str = "pek"
    signer_uid: bytes = Usage.PEK.uid
    pek: bytes | None = None
    agent: bool = False
    """Version 1 as an agent passes it on: PEK and serial number unmasked, reserved2 zeroed."""

    def _plain(self) -> bytearray:
        layout, size = (V1_LAYOUT, V1_SIZE) if self.version == 1 else (V2_LAYOUT, V2_SIZE)
        values: dict[str, bytes | int] = {
            "report_data": REPORT_DATA,
            "mnonce": MNONCE,
            "measure": MEASURE,
            "policy": GOOD_POLICY,
            "sig_usage": Usage.PEK,
            "sig_algo": 4,
            "pek": pek() if self.pek is None else self.pek,
            "sn": b"SIM0000000000001",
        }
        if self.version == 1:
            values |= {"anonce": self.anonce}
        else:
            values |= {"build": 2337, "rtmr_version": 1, "rtmr0": MEASURE}
        return fill(layout, size, {**values, **self.fields})

    def report(self) -> bytes:
        """Return the signed report, not padded."""
        raw = self._plain()
        if self.version == 1:
            raw[:0xBC] = unmask(bytes(raw[:0xBC]), self.anonce)
            raw[0x150:0x9B4] = unmask(bytes(raw[0x150:0x9B4]), self.anonce)
            raw[0x9B4:0x9D4] = sm3(b"random")
            mnonce = unmask(bytes(raw[0x80:0x90]), self.anonce)
            raw[0x9D4:] = hmac_sm3(mnonce, bytes(raw[0x150:0x9D4]))
            if self.agent:
                raw[0x150:0x9B4] = unmask(bytes(raw[0x150:0x9B4]), self.anonce)
                raw[0x9B4:0x9D4] = bytes(32)
        end, at = (180, 0xC0) if self.version == 1 else (1024, 1024)
        signature = key(self.signer).sign(bytes(raw[:end]), uid=self.signer_uid)
        raw[at : at + 72], raw[at + 72 : at + 144] = little(signature[:32]), little(signature[32:])
        return bytes(raw)


def shifted(report: bytes, delta: bytes) -> bytes:
    """Return a version 1 report re-masked by somebody who knows how: `anonce` XOR `delta`.

    The signed bytes are untouched; what is not signed is made to fit.
    """
    anonce = unmask(report[0xBC:0xC0], delta)
    rest = report[0x150:0x9B4]
    tail = unmask(rest, delta) + report[0x9B4:0x9D4]
    mnonce = unmask(report[0x80:0x90], anonce)
    unsigned = unmask(report[0xB4:0xBC], delta)
    head = report[:0xB4] + unsigned + anonce + report[0xC0:0x150]
    return head + tail + hmac_sm3(mnonce, tail)


def dcu_report(
    *,
    chip_id: bytes = CHIP_ID,
    signer: str = "cek",
    signer_uid: bytes = Usage.CEK.uid,
    **bend: bytes | int,
) -> bytes:
    """Return one accelerator's signed report."""
    values: dict[str, bytes | int] = {
        "version": 1,
        "chip_id": chip_id,
        "user_data": REPORT_DATA[:32],
        "measure": sm3(b"SIMULATED firmware"),
        "sig_usage": Usage.CEK,
        "sig_algo": 4,
        **bend,
    }
    raw = fill(dcu.LAYOUT, dcu.SIZE, values)
    signature = key(signer).sign(bytes(raw[:252]), uid=signer_uid)
    raw[252:324], raw[324:396] = little(signature[:32]), little(signature[32:])
    return bytes(raw)


def as_json(raw: bytes, layout: tuple[tuple[str, int], ...]) -> dict[str, object]:
    """Return a structure field by field, as agents serialise it."""
    leaves: list[tuple[list[str], object]] = []
    at = 0
    for path, size in layout:
        part = raw[at : at + size]
        at += size
        number = size in (1, 2, 4)
        leaves.append((path.split("."), int.from_bytes(part, "little") if number else list(part)))
    assert at == len(raw)
    return _nested(leaves)


def _nested(leaves: list[tuple[list[str], object]]) -> dict[str, object]:
    doc: dict[str, object] = {}
    for name in dict.fromkeys(path[0] for path, _ in leaves):
        below = [(path[1:], value) for path, value in leaves if path[0] == name]
        doc[name] = _nested(below) if below[0][0] else below[0][1]
    sigs = doc.get("sigs")
    if isinstance(sigs, dict):
        doc["sigs"] = [sigs["0"], sigs["1"]]
    return doc


def wrapped(report: bytes, *, magic: bytes = MAGIC, flags: int = 0, **more: object) -> bytes:
    """Return a report in the JSON of an agent."""
    doc = {
        "attestation_report": {
            "magic": list(magic),
            "flags": flags,
            "data": list(report.ljust(4096, b"\0")),
        },
        **more,
    }
    return json.dumps(doc).encode()
