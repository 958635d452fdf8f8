"""Keccak-256 as EVM chains use it: the sponge before SHA-3 changed its padding.

For public data only: block headers, receipts, trie nodes. Slow and small on purpose; an auditor's
machine needs a few hundred of them.

Source: Keccak reference 3.0 §1.2, §3.1 (FIPS 202 §3 with padding 0x01 instead of 0x06).
"""

from typing import Final

_RATE: Final = 136
_LANES: Final = 25
_MASK: Final = (1 << 64) - 1


def _round_constants() -> tuple[int, ...]:
    """Return the 24 constants of ι, from the shift register that defines them."""
    constants, register = [], 1
    for _ in range(24):
        value = 0
        for bit in range(7):
            if register & 1:
                value |= 1 << ((1 << bit) - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        constants.append(value)
    return tuple(constants)


def _rho_pi() -> tuple[tuple[int, int, int], ...]:
    """Return (from, to, rotation) of ρ and π together."""
    moves, x, y = [(0, 0, 0)], 1, 0
    for t in range(24):
        to_x, to_y = y, (2 * x + 3 * y) % 5
        moves.append((x + 5 * y, to_x + 5 * to_y, (t + 1) * (t + 2) // 2 % 64))
        x, y = to_x, to_y
    return tuple(moves)


_ROUNDS: Final = _round_constants()
_MOVES: Final = _rho_pi()


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & _MASK


def _permute(state: list[int]) -> list[int]:
    for constant in _ROUNDS:
        column = [
            state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20]
            for x in range(5)
        ]
        theta = [column[x - 1] ^ _rotated(column[(x + 1) % 5], 1) for x in range(5)]
        moved = [0] * _LANES
        for source, target, by in _MOVES:
            moved[target] = _rotated(state[source] ^ theta[source % 5], by)
        state = [
            moved[i] ^ (~moved[i - i % 5 + (i + 1) % 5] & moved[i - i % 5 + (i + 2) % 5])
            for i in range(_LANES)
        ]
        state[0] ^= constant
    return state


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 digest of `data`."""
    padding = bytearray(_RATE - len(data) % _RATE)
    padding[0] ^= 0x01
    padding[-1] ^= 0x80
    padded = data + padding
    state = [0] * _LANES
    for at in range(0, len(padded), _RATE):
        for lane in range(_RATE // 8):
            state[lane] ^= int.from_bytes(padded[at + 8 * lane : at + 8 * lane + 8], "little")
        state = _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])
