"""Evidence from no hardware at all, signed by a key that is printed below.

It exists so that the whole data path, accelerators included, runs on a laptop. Everybody can
make it say anything, so only a policy with `unsafe_allow_simulated` accepts it, its tier is
the lowest, and whatever rests on it says SIMULATED.

Source: docs/spec/binding.md §5.
"""

from enum import IntEnum
from functools import cache
from typing import Final

from mifeng.crypto import SignatureError, Sm2PrivateKey, Sm2PublicKey

from .claims import Claims, Tier
from .errors import Finding, malformed, untrusted
from .evidence import Collateral, EvidenceKind
from .layout import Field, le, read

SIZE: Final = 0x100
LAYOUT: Final = (
    Field("magic", 0x00, 8),
    Field("component", 0x08, 4),
    Field("svn", 0x0C, 4),
    Field("issued_at", 0x10, 8),
    Field("flags", 0x18, 8),
    Field("hardware_id", 0x20, 32),
    Field("report_data", 0x40, 64),
    Field("measurement", 0x80, 48),
    # 0xB0 … 0xBF reserved
    Field("signature", 0xC0, 64),
)
"""Integers are little-endian; `signature` is SM2 (r ‖ s) over everything before it."""

MAGIC: Final = b"MFSIMTEE"
MAX_LIFE_S: Final = 24 * 3600
"""Stands in for the expiry that real collateral has, seconds after `issued_at`."""

USER_ID: Final = b"MIFENG-SIMULATED"
_SIGNED: Final = slice(0x00, 0xC0)
_DEBUG: Final = 1
_PUBLIC_KNOWLEDGE: Final = bytes(range(1, 33))
"""The private key. It protects nothing, and is written here so that nobody thinks it does."""


class Component(IntEnum):
    """What the simulated evidence plays."""

    CPU = 1
    ACCELERATOR = 2


@cache
def _signer() -> Sm2PrivateKey:
    return Sm2PrivateKey.from_scalar(_PUBLIC_KNOWLEDGE)


def published_root() -> Sm2PublicKey:
    """Return the root of all simulated evidence, whose private key is public knowledge."""
    return _signer().public_key()


class SimulatedVerifier:
    """Checks the shape and the (worthless) signature, as a real verifier would."""

    def __init__(self, roots: tuple[Sm2PublicKey, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`; this kind takes no collateral."""
        if collateral.items:
            raise malformed("simulated.collateral", "collateral", "none", len(collateral.items))
        fields = read(LAYOUT, raw, size=SIZE, what="simulated report", code="simulated.report")
        if fields["magic"] != MAGIC:
            raise malformed("simulated.magic", "magic", MAGIC.hex(), fields["magic"].hex())
        component = _component(le(fields["component"]))
        flags, issued_at = le(fields["flags"]), le(fields["issued_at"])
        if flags & ~_DEBUG:
            raise malformed("simulated.flags", "flags", "bit 0 only", hex(flags))
        report_data = fields["report_data"]
        if component is Component.ACCELERATOR:
            report_data, rest = report_data[:32], report_data[32:]
            if any(rest):
                raise malformed("simulated.report-data", "report data", "32 zero bytes", rest.hex())
        self._check_signature(fields["signature"], raw[_SIGNED])
        if now >= issued_at + MAX_LIFE_S:
            until = issued_at + MAX_LIFE_S
            raise untrusted("simulated.expired", "valid until", f"after {now}", until)
        debug = bool(flags & _DEBUG)
        return Claims(
            kind=EvidenceKind.SIMULATED,
            report_data=report_data,
            hardware_id=fields["hardware_id"].hex(),
            measurements={"measurement": fields["measurement"]},
            debug=debug,
            tier=Tier.SIMULATED,
            valid_until=issued_at + MAX_LIFE_S,
            details={
                "component": component.name.lower(),
                "svn": le(fields["svn"]),
                "issued_at": issued_at,
            },
            issued_at=issued_at,
            refused=(Finding("simulated.debug", "debug", "off", "on"),) if debug else (),
        )

    def _check_signature(self, signature: bytes, signed: bytes) -> None:
        for root in self._roots:
            try:
                root.verify(signature, signed, uid=USER_ID)
            except SignatureError:
                continue
            return
        raise untrusted("simulated.signature", "signature", "by the published root", "wrong")


def _component(number: int) -> Component:
    try:
        return Component(number)
    except ValueError as exc:
        raise malformed("simulated.component", "component", "1 or 2", number) from exc


def forge(
    *,
    report_data: bytes,
    measurement: bytes,
    issued_at: int,
    hardware_id: bytes,
    svn: int = 1,
    component: Component = Component.CPU,
    debug: bool = False,
) -> bytes:
    """Return simulated evidence saying whatever the caller likes, 256 bytes.

    Args:
        report_data: 64 bytes (`binding.report_data`); for an accelerator its 32-byte nonce.
        measurement: 48 bytes.
        issued_at: Unix seconds.
        hardware_id: 32 bytes.
        svn: 0 … 2**32 - 1.
        component: what to play.
        debug: whether to say that the machine can be inspected.

    Raises:
        ValueError: a length or range is wrong; the caller's mistake.
    """
    if component is Component.ACCELERATOR:
        report_data += bytes(32)
    for field, value in (
        ("report_data", report_data),
        ("measurement", measurement),
        ("hardware_id", hardware_id),
    ):
        size = next(row.size for row in LAYOUT if row.name == field)
        if len(value) != size:
            raise ValueError(f"{field}: need {size} bytes, got {len(value)}")
    if not (0 <= svn < 1 << 32 and 0 <= issued_at < 1 << 63):
        raise ValueError(f"svn or issued_at out of range: {svn}, {issued_at}")
    body = b"".join(
        (
            MAGIC,
            component.to_bytes(4, "little"),
            svn.to_bytes(4, "little"),
            issued_at.to_bytes(8, "little"),
            int(debug).to_bytes(8, "little"),
            hardware_id,
            report_data,
            measurement,
            bytes(16),
        )
    )
    return body + _signer().sign(body, uid=USER_ID)
