"""What a VCEK or VLEK certificate says about the chip or fleet it belongs to.

The values of AMD's extensions are one DER primitive each, read strictly: exact tag, exact
length, minimal integers. The hardware id is delivered raw, or wrapped as an OCTET STRING.

Source: AMD 57230 §"VCEK certificate", §"VLEK certificate" (arc 1.3.6.1.4.1.3704.1).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from attestation import der
from attestation.errors import EvidenceMalformedError, malformed
from attestation.x509 import Certificate

from .certificates import ARC, common_name
from .product import MARKETING_NAMES, Product, Tcb

_CODE: Final = "amd-snp.vek.extension"
_STRUCT_VERSION: Final = "1"
_PRODUCT_NAME: Final = "2"
_HWID: Final = "4"
_CSP_ID: Final = "5"
_LEVELS: Final = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8"}
_FMC: Final = "3.9"

_IA5_STRING: Final = 0x16
_MAX_LEVEL: Final = 0xFF


class VekKind(StrEnum):
    """Who owns the signing key: one chip, or a cloud provider's fleet."""

    VCEK = "VCEK"
    VLEK = "VLEK"


@dataclass(frozen=True, slots=True, kw_only=True)
class VekIdentity:
    """AMD's extensions of one endorsement key certificate."""

    kind: VekKind
    product: Product
    product_name: str
    tcb: Tcb
    hwid: bytes | None
    """VCEK only: the chip id, 64 bytes, or 8 on Turin."""
    csp_id: str | None
    """VLEK only: the cloud provider's name."""

    @classmethod
    def read(cls, cert: Certificate) -> Self:
        """Read the extensions of a certificate whose signature the caller has checked.

        Raises:
            EvidenceMalformedError: an extension is missing, superfluous or not minimal DER.
        """
        kind = _kind(common_name(cert))
        name = _ia5(cert, _PRODUCT_NAME)
        product = _product(name)
        _level(cert, _STRUCT_VERSION)
        levels = {level: _level(cert, arc) for level, arc in _LEVELS.items()}
        turin = product is Product.TURIN
        _need(cert, _FMC, present=turin, why=product)
        _need(cert, _HWID, present=kind is VekKind.VCEK, why=kind)
        _need(cert, _CSP_ID, present=kind is VekKind.VLEK, why=kind)
        return cls(
            kind=kind,
            product=product,
            product_name=name,
            tcb=Tcb(
                fmc=_level(cert, _FMC) if turin else None,
                bootloader=levels["bootloader"],
                tee=levels["tee"],
                snp=levels["snp"],
                microcode=levels["microcode"],
            ),
            hwid=_hwid(cert, product) if kind is VekKind.VCEK else None,
            csp_id=_ia5(cert, _CSP_ID) if kind is VekKind.VLEK else None,
        )


def _kind(name: str) -> VekKind:
    for kind in VekKind:
        if name == f"SEV-{kind}":
            return kind
    raise malformed("amd-snp.vek.name", "common name", "SEV-VCEK or SEV-VLEK", name)


def _product(name: str) -> Product:
    line = name.partition("-")[0]
    for product, names in MARKETING_NAMES.items():
        if line in names:
            return product
    raise _bad(_PRODUCT_NAME, "a known product", name)


def _bad(arc: str, required: object, found: object) -> EvidenceMalformedError:
    return malformed(_CODE, f"extension {arc}", required, found)


def _need(cert: Certificate, arc: str, *, present: bool, why: str) -> None:
    if (cert.private(ARC + arc) is not None) is not present:
        state = ("absent", "present")
        raise _bad(arc, f"{state[present]} for {why}", state[not present])


def _raw(cert: Certificate, arc: str) -> bytes:
    raw = cert.private(ARC + arc)
    if raw is None:
        raise _bad(arc, "present", "absent")
    return raw


def _level(cert: Certificate, arc: str) -> int:
    what = f"extension {arc}"
    body = der.only(_raw(cert, arc), der.INTEGER, what=what, code=_CODE)
    level = der.unsigned(body, what=what, code=_CODE)
    if level > _MAX_LEVEL:
        raise _bad(arc, f"at most {_MAX_LEVEL}", level)
    return level


def _ia5(cert: Certificate, arc: str) -> str:
    body = der.only(_raw(cert, arc), _IA5_STRING, what=f"extension {arc}", code=_CODE)
    if not body.isascii():
        raise _bad(arc, "an IA5String", body.hex())
    return body.decode("ascii")


def _hwid(cert: Certificate, product: Product) -> bytes:
    raw, size = _raw(cert, _HWID), hwid_size(product)
    if len(raw) == size:
        return raw
    body = der.only(raw, der.OCTET_STRING, what=f"extension {_HWID}", code=_CODE)
    if len(body) != size:
        raise _bad(_HWID, f"{size} bytes", len(body))
    return body


def hwid_size(product: Product) -> int:
    """Return the bytes of a product's hardware id."""
    return 8 if product is Product.TURIN else 64
