"""Which AMD product wrote a report, and what its TCB words and flag bits mean.

The layout of a TCB word follows the product, never the report version: version 5 reports exist
in both layouts. A version 2 report does not name its product; then the chain of its certificate
does (`chain`), and there is no default.

Source: AMD 56860 §"TCB_VERSION", §"Guest Policy", §"PLATFORM_INFO"; AMD 57230 §"CPUID".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from attestation.errors import EvidenceUnsupportedError, Finding, malformed


class Product(StrEnum):
    """Products with one root key (ARK) each; Genoa's root also serves Bergamo and Siena."""

    MILAN = "Milan"
    GENOA = "Genoa"
    TURIN = "Turin"


MARKETING_NAMES: Final[Mapping[Product, frozenset[str]]] = {
    Product.MILAN: frozenset({"Milan"}),
    Product.GENOA: frozenset({"Genoa", "Bergamo", "Siena"}),
    Product.TURIN: frozenset({"Turin"}),
}
"""What the productName extension may say before an optional `-<stepping>`."""

_CPUID: Final = (
    (Product.MILAN, 0x19, range(0x10)),
    (Product.GENOA, 0x19, range(0x10, 0x20)),
    (Product.GENOA, 0x19, range(0xA0, 0xB0)),
    (Product.TURIN, 0x1A, range(0x12)),
)


def product_of(cpuid: bytes) -> Product:
    """Return the product of a processor's family, model and stepping, one byte each.

    Raises:
        EvidenceUnsupportedError: no product we hold a root for.
    """
    family, model, _ = cpuid
    for product, want, models in _CPUID:
        if family == want and model in models:
            return product
    raise EvidenceUnsupportedError(
        Finding("amd-snp.product", "CPUID family/model", "a known product", f"{family:x}/{model:x}")
    )


OLD_LAYOUT: Final = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
TURIN_LAYOUT: Final = {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}
TCB_SIZE: Final = 8


def _offsets(product: Product) -> Mapping[str, int]:
    return TURIN_LAYOUT if product is Product.TURIN else OLD_LAYOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcb:
    """Security patch levels of the firmware components, each 0 to 255."""

    fmc: int | None
    """Turin only."""
    bootloader: int
    tee: int
    snp: int
    microcode: int

    @classmethod
    def parse(cls, raw: bytes, product: Product) -> Self:
        """Read an 8-byte TCB word of `product`.

        Raises:
            EvidenceMalformedError: a byte that this product reserves is set.
        """
        at = _offsets(product)
        if any(raw[i] for i in set(range(TCB_SIZE)) - set(at.values())):
            raise malformed(
                "amd-snp.tcb.reserved", f"TCB word of {product}", "reserved bytes zero", raw.hex()
            )
        return cls(
            fmc=raw[at["fmc"]] if "fmc" in at else None,
            bootloader=raw[at["bootloader"]],
            tee=raw[at["tee"]],
            snp=raw[at["snp"]],
            microcode=raw[at["microcode"]],
        )

    def components(self) -> dict[str, int]:
        """Return the levels by name, without those the product lacks."""
        named = {
            "fmc": self.fmc,
            "bootloader": self.bootloader,
            "tee": self.tee,
            "snp": self.snp,
            "microcode": self.microcode,
        }
        return {name: level for name, level in named.items() if level is not None}

    def covers(self, other: "Tcb") -> bool:
        """Say whether every component is at least as new as `other`'s."""
        mine, theirs = self.components(), other.components()
        return mine.keys() == theirs.keys() and all(mine[k] >= theirs[k] for k in theirs)


POLICY_MUST_BE_ONE: Final = 1 << 17
POLICY_MIGRATE_MA: Final = 1 << 18
POLICY_DEBUG: Final = 1 << 19
PLATFORM_ALIAS_CHECK: Final = 1 << 5

_POLICY_BITS: Final = {
    "smt": 16,
    "migrate_ma": 18,
    "debug": 19,
    "single_socket": 20,
    "cxl_allow": 21,
    "mem_aes_256_xts": 22,
    "rapl_dis": 23,
    "ciphertext_hiding": 24,
    "page_swap_disable": 25,
}
_PLATFORM_BITS: Final = {
    "smt_en": 0,
    "tsme_en": 1,
    "ecc_en": 2,
    "rapl_dis": 3,
    "ciphertext_hiding_en": 4,
    "alias_check_complete": 5,
    "tio_en": 7,
}


def policy_claims(policy: int) -> dict[str, object]:
    """Return the guest policy word with its bits named."""
    return {
        "abi_minor": policy & 0xFF,
        "abi_major": policy >> 8 & 0xFF,
        **{name: bool(policy >> bit & 1) for name, bit in _POLICY_BITS.items()},
    }


def platform_claims(info: int) -> dict[str, object]:
    """Return the platform word with its bits named; unknown bits stay visible in `raw`."""
    return {
        "raw": f"{info:#x}",
        **{name: bool(info >> bit & 1) for name, bit in _PLATFORM_BITS.items()},
    }
