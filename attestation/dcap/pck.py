"""Intel's SGX extension in a PCK certificate: which platform, and how patched.

Source: Intel SGX PCK Certificate and CRL Profile Specification §1.3.5, §2.3.4; OID arc
1.2.840.113741.1.13.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import NameOID

from attestation.der import (
    ENUMERATED,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    elements,
    only,
    unsigned,
)
from attestation.errors import malformed
from attestation.x509 import Certificate

SGX_EXTENSIONS: Final = "1.2.840.113741.1.13.1"
COMPONENTS: Final = 16
_ARC: Final = bytes.fromhex("2a864886f84d010d01")
"""Content octets of the arc's OBJECT IDENTIFIER; members append small arcs to it."""

LEAF_NAME: Final = "Intel SGX PCK Certificate"
CA_NAMES: Final = frozenset({"Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"})
_MAX_SVN: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Pck:
    """What Intel certified of one platform."""

    ppid: bytes
    components: tuple[int, ...]
    pce_svn: int
    pce_id: bytes
    fmspc: bytes
    platform_instance_id: bytes | None

    @property
    def hardware_id(self) -> str:
        """The platform provisioning id, lower-case hex: one package, one value, for life."""
        return self.ppid.hex()


def common_name(certificate: Certificate) -> str:
    """Return the subject's only common name, or an empty text."""
    names = certificate.cert.subject.get_attributes_for_oid(ObjectIdentifier(_COMMON_NAME))
    return str(names[0].value) if len(names) == 1 else ""


_COMMON_NAME: Final = NameOID.COMMON_NAME.dotted_string


def read_pck(leaf: Certificate, *, kind: str) -> Pck:
    """Return the platform a PCK certificate names.

    Raises:
        EvidenceMalformedError: no SGX extension, or not in Intel's form (`<kind>.pck.extension`
            and `<kind>.pck.der`).
    """
    code = f"{kind}.pck"
    raw = leaf.private(SGX_EXTENSIONS)
    if raw is None:
        raise malformed(f"{code}.extension", "PCK certificate", "Intel's SGX extension", "none")
    table = _table(raw, code=code)
    tcb = _table(_value(table, 2, SEQUENCE, code=code), code=code, below=2)
    components = tuple(
        _svn(tcb, number, code=code, most=0xFF) for number in range(1, COMPONENTS + 1)
    )
    instance = table.get(6)
    if instance is not None and (instance[0] != OCTET_STRING or len(instance[1]) != 16):  # noqa: PLR2004
        raise malformed(f"{code}.extension", "platform instance id", "16 bytes", instance[1].hex())
    _value(table, 5, ENUMERATED, code=code)
    return Pck(
        ppid=_octets(table, 1, 16, code=code),
        components=components,
        pce_svn=_svn(tcb, 17, code=code, most=_MAX_SVN),
        pce_id=_octets(table, 3, 2, code=code),
        fmspc=_octets(table, 4, 6, code=code),
        platform_instance_id=None if instance is None else instance[1],
    )


_Table = Mapping[int, tuple[int, bytes]]


def _table(raw: bytes, *, code: str, below: int | None = None) -> dict[int, tuple[int, bytes]]:
    """Return tag and value by last arc of a SEQUENCE of (OBJECT IDENTIFIER, any) pairs.

    `raw` is the whole SEQUENCE at the top, and its content below.
    """
    what = "SGX extension"
    content = only(raw, SEQUENCE, what=what, code=code) if below is None else raw
    prefix = _ARC if below is None else _ARC + bytes([below])
    table: dict[int, tuple[int, bytes]] = {}
    for pair in elements(content, what=what, code=code):
        parts = tuple(elements(pair.value, what=what, code=code))
        if pair.tag != SEQUENCE or [part.tag for part in parts[:1]] != [OBJECT_IDENTIFIER]:
            raise malformed(f"{code}.extension", what, "pairs of id and value", "another shape")
        oid = parts[0].value
        known = oid[:-1] == prefix and len(parts) == 2  # noqa: PLR2004 - a pair
        if not known or oid[-1] in table:
            raise malformed(f"{code}.extension", what, "each known id once", oid.hex())
        table[oid[-1]] = (parts[1].tag, parts[1].value)
    return table


def _value(table: _Table, number: int, tag: int, *, code: str) -> bytes:
    found = table.get(number)
    if found is None or found[0] != tag:
        raise malformed(f"{code}.extension", f"member {number}", f"tag {tag:#x}", str(found))
    return found[1]


def _octets(table: _Table, number: int, size: int, *, code: str) -> bytes:
    value = _value(table, number, OCTET_STRING, code=code)
    if len(value) != size:
        raise malformed(f"{code}.extension", f"member {number}", f"{size} bytes", len(value))
    return value


def _svn(table: _Table, number: int, *, code: str, most: int) -> int:
    value = _value(table, number, INTEGER, code=code)
    svn = unsigned(value, what=f"TCB member {number}", code=code)
    if svn > most:
        raise malformed(f"{code}.extension", f"TCB member {number}", f"<= {most}", svn)
    return svn
