"""The firmware identity that the device's boot ROM wrote into the leaf certificate.

Two extensions carry it. Hopper and LS10 use the TCG RIoT CompositeDeviceID, Blackwell the
DiceTcbInfo. Both are read structurally: a digest is taken from where it is defined, never from
"the last 48 bytes".

Source: TCG "DICE Attestation Architecture" 1.1 §6.1.1 (DiceTcbInfo, 2.23.133.5.4.1.1);
Microsoft/TCG RIoT certificate profile (CompositeDeviceID, 2.23.133.5.4.1).
"""

from typing import Final

from attestation import der
from attestation.errors import EvidenceMalformedError, malformed, untrusted
from attestation.x509 import Certificate

from .spdm import DIGEST_BYTES

COMPOSITE_DEVICE_ID: Final = "2.23.133.5.4.1"
DICE_TCB_INFO: Final = "2.23.133.5.4.1.1"

_CODE: Final = "nvidia.fwid"
_SHA384: Final = bytes.fromhex("608648016503040202")
_VERSION_1: Final = b"\x01"
_NUMBER: Final = 0x1F
_TAG_FWIDS: Final = 0xA6
_TCB_INFO_TAGS: Final = frozenset(range(0x80, 0x8B)) - {0x86} | {_TAG_FWIDS, 0xAB}
"""Context tags [0] … [11], primitive but for the lists [6] and [11]."""


def read(leaf: Certificate) -> bytes:
    """Return the SHA-384 firmware id in a leaf certificate, 48 bytes.

    Raises:
        EvidenceMalformedError: the extension does not parse (`nvidia.fwid.der`,
            `nvidia.fwid.extension`).
        EvidenceUntrustedError: the leaf names no firmware, or does so twice
            (`nvidia.fwid.missing`).
    """
    composite = leaf.private(COMPOSITE_DEVICE_ID)
    tcb_info = leaf.private(DICE_TCB_INFO)
    if composite is not None and tcb_info is None:
        return _composite_device_id(composite)
    if tcb_info is not None and composite is None:
        return _dice_tcb_info(tcb_info)
    raise untrusted(
        "nvidia.fwid.missing", "firmware id in the leaf", "one extension", "none or two"
    )


def _composite_device_id(raw: bytes) -> bytes:
    """CompositeDeviceID ::= SEQUENCE { version INTEGER (1), deviceID SPKI, fwid FWID }."""
    parts = _sequence(raw, "CompositeDeviceID")
    tags = [part.tag for part in parts]
    if tags != [der.INTEGER, der.SEQUENCE, der.SEQUENCE] or parts[0].value != _VERSION_1:
        raise _bad("CompositeDeviceID", "version 1, key, FWID", tags)
    return _fwid(parts[2].value)


def _dice_tcb_info(raw: bytes) -> bytes:
    """DiceTcbInfo ::= SEQUENCE of optional context tags in ascending order; [6] holds FWIDs."""
    parts = _sequence(raw, "DiceTcbInfo")
    numbers = [part.tag & _NUMBER for part in parts]
    known = all(part.tag in _TCB_INFO_TAGS for part in parts)
    if not known or numbers != sorted(set(numbers)):
        raise _bad("DiceTcbInfo", "tags [0] … [11], ascending", numbers)
    fwids = [part.value for part in parts if part.tag == _TAG_FWIDS]
    listed = list(der.elements(fwids[0], what="fwids", code=_CODE)) if fwids else []
    if not listed or any(each.tag != der.SEQUENCE for each in listed):
        raise _bad("DiceTcbInfo fwids", "at least one FWID", len(listed))
    first, *_ = [_fwid(each.value) for each in listed]
    return first


def _fwid(content: bytes) -> bytes:
    """FWID ::= SEQUENCE { hashAlg OBJECT IDENTIFIER, digest OCTET STRING }."""
    parts = list(der.elements(content, what="FWID", code=_CODE))
    tags = [part.tag for part in parts]
    if tags != [der.OBJECT_IDENTIFIER, der.OCTET_STRING]:
        raise _bad("FWID", "algorithm and digest", tags)
    algorithm, digest = (part.value for part in parts)
    if algorithm != _SHA384 or len(digest) != DIGEST_BYTES:
        raise _bad("FWID", "SHA-384", f"{algorithm.hex()}, {len(digest)} bytes")
    return digest


def _sequence(raw: bytes, what: str) -> list[der.Element]:
    content = der.only(raw, der.SEQUENCE, what=what, code=_CODE)
    return list(der.elements(content, what=what, code=_CODE))


def _bad(claim: str, required: str, found: object) -> EvidenceMalformedError:
    return malformed(f"{_CODE}.extension", claim, required, found)
