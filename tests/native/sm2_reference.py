"""SM2 in plain integers: what the C layers are compared with. Slow, affine, obvious."""

from __future__ import annotations

import functools
from typing import Final, TypeAlias

P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
R: Final = 1 << 256
"""The radix of Montgomery form."""

Point: TypeAlias = tuple[int, int] | None

G: Final[tuple[int, int]] = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)


def add(p: Point, q: Point) -> Point:
    """Return p + q; None is the point at infinity."""
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = (3 * p[0] * p[0] - 3) * pow(2 * p[1], -1, P) % P
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P) % P
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


@functools.cache
def multiply(k: int, p: Point) -> Point:
    """Return k·p for k ≥ 0."""
    result: Point = None
    while k:
        if k & 1:
            result = add(result, p)
        p = add(p, p)
        k >>= 1
    return result


def hex32(value: int) -> str:
    """Return 32 big-endian bytes as hex."""
    return value.to_bytes(32, "big").hex()


def hex_point(point: Point) -> str:
    """Return x ‖ y as hex, or the word the test program prints for infinity."""
    return "infinity" if point is None else hex32(point[0]) + hex32(point[1])


def lift(x: int) -> tuple[int, int] | None:
    """Return a point with this x, if there is one."""
    square = (x * x * x - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return (x, y) if y * y % P == square else None
