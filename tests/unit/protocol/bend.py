"""Take something valid and bend one byte of it."""

from collections.abc import Iterator


def bent(data: bytes) -> Iterator[bytes]:
    """Yield `data` with each byte flipped (two ways), dropped and doubled, and cut short."""
    for i in range(len(data)):
        yield data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]
        yield data[:i] + bytes([data[i] ^ 0x20]) + data[i + 1 :]
        yield data[:i] + data[i + 1 :]
        doubled = data[: i + 1] + data[i:]
        if doubled != data:
            yield doubled
        yield data[:i]
    yield data + b"\0"
    yield data + b"\n"
