"""The SM2 curve: its constants, variable-time point arithmetic, and the digest that is signed.

Points in motion are Jacobian triples (X, Y, Z) with x = X/Z², y = Y/Z³; Z = 0 is infinity.
Multiples of G come from an 8-bit comb (32 additions, no doubling), multiples of any other point
from a width-5 NAF. Both branch on the scalar, and Python's integers take time that depends on
their values: **variable-time**, for public data, clients and tests.

Source: GB/T 32918.1-2016 (arithmetic), GB/T 32918.5-2017 §2 (parameters); Hankerson, Menezes,
Vanstone, "Guide to Elliptic Curve Cryptography" §3.2-3.3; docs/spec/crypto.md §4.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from mifeng.crypto.errors import KeyFormatError
from mifeng.crypto.sm3_portable import sm3

if TYPE_CHECKING:
    from mifeng.crypto.buffers import Buffer

Affine: TypeAlias = tuple[int, int]
Jacobian: TypeAlias = tuple[int, int, int]

P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A: Final = P - 3
B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G: Final[Affine] = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
DEFAULT_UID: Final = b"1234567812345678"
"""Distinguishing identifier when the parties agreed on none (GM/T 0009-2012 §10)."""

COORDINATE_BYTES: Final = 32
POINT_BYTES: Final = 65
MAX_UID_BYTES: Final = 0xFFFF // 8

_INFINITY: Final[Jacobian] = (1, 1, 0)
_WIDTH: Final = 5
_CURVE_BYTES: Final = b"".join(v.to_bytes(32, "big") for v in (A, B, *G))


def double(point: Jacobian) -> Jacobian:
    """Return 2·point (a = -3: Guide to ECC, algorithm 3.21)."""
    x, y, z = point
    delta, gamma = z * z % P, y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, 2 * y * z % P


def add_affine(point: Jacobian, other: Affine) -> Jacobian:
    """Return point + other; complete: infinity, equal and opposite operands included."""
    x1, y1, z1 = point
    x2, y2 = other
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % P
    h = (x2 * zz - x1) % P
    r = (y2 * zz * z1 - y1) % P
    if h == 0:
        return double(point) if r == 0 else _INFINITY
    hh = h * h % P
    hhh = h * hh % P
    v = x1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y1 * hhh) % P, z1 * h % P


def to_affine(point: Jacobian) -> Affine | None:
    """Return the affine point, or None for infinity."""
    x, y, z = point
    if z == 0:
        return None
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def multiply(scalar: int, table: tuple[Affine, ...]) -> Jacobian:
    """Return scalar·Q for the `odd_multiples` table of Q; 0 ≤ scalar < n."""
    total = _INFINITY
    for digit in reversed(_naf(scalar)):
        total = double(total)
        if digit > 0:
            total = add_affine(total, table[digit >> 1])
        elif digit < 0:
            x, y = table[-digit >> 1]
            total = add_affine(total, (x, P - y))
    return total


def odd_multiples(point: Affine) -> tuple[Affine, ...]:
    """Return Q, 3Q, … 15Q for a point Q of the curve, affine."""
    twice = _affine_unchecked([double((*point, 1))])[0]
    multiples: list[Jacobian] = [(*point, 1)]
    for _ in range((1 << (_WIDTH - 2)) - 1):
        multiples.append(add_affine(multiples[-1], twice))
    return tuple(_affine_unchecked(multiples))


def add_base_multiple(scalar: int, total: Jacobian = _INFINITY) -> Jacobian:
    """Return total + scalar·G; 0 ≤ scalar < 2²⁵⁶."""
    for row, digit in zip(_comb(), scalar.to_bytes(32, "little"), strict=True):
        if digit:
            total = add_affine(total, row[digit - 1])
    return total


def decode_point(raw: Buffer) -> Affine:
    """Return the affine point of 04 ‖ X ‖ Y.

    The curve's order is prime, so a point on it that is not infinity (which has no encoding
    here) generates the whole group: no subgroup check is left to do.

    Args:
        raw: untrusted; any bytes.

    Raises:
        KeyFormatError: not 65 bytes, not 04, a coordinate ≥ p, or not on the curve.
    """
    raw = bytes(raw)
    if len(raw) != POINT_BYTES or raw[0] != 4:  # noqa: PLR2004 - the uncompressed form's tag
        raise KeyFormatError("an SM2 point is 04 ‖ X ‖ Y, 65 bytes")
    x, y = int.from_bytes(raw[1:33], "big"), int.from_bytes(raw[33:], "big")
    if x >= P or y >= P or (y * y - (x * x + A) * x - B) % P:
        raise KeyFormatError("not a point of the SM2 curve")
    return x, y


def encode_point(point: Affine) -> bytes:
    """Return 04 ‖ X ‖ Y, 65 bytes."""
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def identity_digest(public: Buffer, uid: Buffer) -> bytes:
    """Return Z_A = SM3(ENTL ‖ uid ‖ a ‖ b ‖ G ‖ P_A), 32 bytes.

    Args:
        public: 04 ‖ X ‖ Y of the signer.
        uid: 0 … 8191 bytes; ENTL counts bits in 16.

    Raises:
        ValueError: `uid` is too long.

    Source: GB/T 32918.2-2016 §5.5.
    """
    if len(uid) > MAX_UID_BYTES:
        raise ValueError("an SM2 identifier is at most 8191 bytes")
    head = (8 * len(uid)).to_bytes(2, "big") + bytes(uid)
    return sm3(head + _CURVE_BYTES + bytes(public)[1:])


def message_digest(public: Buffer, uid: Buffer, data: Buffer) -> bytes:
    """Return e = SM3(Z_A ‖ data), the 32 bytes that SM2 signs."""
    return sm3(identity_digest(public, uid) + bytes(data))


def _naf(scalar: int) -> list[int]:
    digits = []
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar & ((1 << _WIDTH) - 1)
            if digit >= 1 << (_WIDTH - 1):
                digit -= 1 << _WIDTH
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


def _affine_unchecked(points: list[Jacobian]) -> list[Affine]:
    """Return the affine forms with one inversion (Montgomery's trick); none may be infinity."""
    prefixes, product = [], 1
    for _, _, z in points:
        prefixes.append(product)
        product = product * z % P
    inverse = pow(product, -1, P)
    affine: list[Affine] = []
    for (x, y, z), prefix in zip(reversed(points), reversed(prefixes), strict=True):
        own = inverse * prefix % P
        inverse = inverse * z % P
        square = own * own % P
        affine.append((x * square % P, y * square * own % P))
    affine.reverse()
    return affine


@cache
def _comb() -> tuple[tuple[Affine, ...], ...]:
    """Row i holds d·2^(8i)·G for d = 1 … 255. Built on first use, about 50 ms and 2 MB."""
    rows, base = [], G
    for _ in range(32):
        row: list[Jacobian] = [(*base, 1)]
        for _ in range(255):
            row.append(add_affine(row[-1], base))
        affine = _affine_unchecked(row)
        base = affine.pop()
        rows.append(tuple(affine))
    return tuple(rows)
