"""Every small way to spoil some bytes."""

from collections.abc import Iterator


def bent(valid: bytes, *, step: int = 1) -> Iterator[bytes]:
    """Yield `valid` with a bit flipped, a byte dropped, doubled or swapped, cut short, extended.

    Args:
        valid: what a parser accepts.
        step: every how many-th byte to spoil; 1 for all.
    """
    for at in range(0, len(valid), step):
        yield valid[:at] + bytes([valid[at] ^ 1]) + valid[at + 1 :]
        yield valid[:at] + bytes([valid[at] ^ 0x80]) + valid[at + 1 :]
        yield valid[:at]
        dropped = valid[:at] + valid[at + 1 :]
        doubled = valid[: at + 1] + valid[at:]
        yield dropped
        yield doubled
        if at + 1 < len(valid) and valid[at] != valid[at + 1]:
            yield valid[:at] + valid[at + 1 : at + 2] + valid[at : at + 1] + valid[at + 2 :]
    yield valid + b"\0"
    yield valid + valid
