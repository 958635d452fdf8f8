"""From an encoded page to pixels, and from pixels to what the networks take.

Only PNG and JPEG are decoded, and only after their own headers promise an acceptable size: a
kilobyte of PNG can ask for gigabytes. Half a page is refused: decoders fill what is missing with
grey, and a document read to the middle would look like a complete one.

Source: PNG (W3C, 3rd ed.) §5.3 chunks, §11.2.1 IHDR; JPEG (ITU-T T.81) §B.1.1.3 markers, §B.2.2
frame header.
"""

import struct
import zlib
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from accel_backends.errors import InputError

__all__ = ["MAX_PIXELS", "MAX_SIDE", "MIN_SIDE", "Page", "crop", "decode", "normalise", "size"]

Page = NDArray[np.uint8]
"""Height × width × 3, blue-green-red."""

MAX_PIXELS: Final = 40_000_000
"""An A4 page at 600 dpi has 35 million."""
MAX_SIDE: Final = 20_000
MIN_SIDE: Final = 16

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # it writes to stderr, which a node keeps to an allow-list

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK: Final = 12
"""Length, type and CRC of a chunk."""
_JPEG: Final = b"\xff\xd8"
_JPEG_END: Final = b"\xff\xd9"
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers; C4, C8 and CC are tables and extensions."""
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_TALL: Final = 1.5
"""A crop this much higher than wide is a line that runs downwards."""


def size(data: bytes) -> tuple[int, int]:
    """Return (width, height) in pixels as the header of a PNG or JPEG states them.

    Raises:
        InputError: `backend.input.value`: neither format, or no frame header.
    """
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 24:  # noqa: PLR2004
        width, height = struct.unpack_from(">II", data, 16)
        return int(width), int(height)
    if data.startswith(_JPEG):
        return _jpeg_size(data)
    raise InputError("backend.input.value", "the image is neither PNG nor JPEG")


def decode(data: bytes) -> Page:
    """Decode one page.

    Raises:
        InputError: `backend.input.value` (not an image, damaged), `backend.input.size` (a side
            or the area outside `MIN_SIDE`, `MAX_SIDE`, `MAX_PIXELS`).
    """
    width, height = size(data)
    sides_fit = all(MIN_SIDE <= side <= MAX_SIDE for side in (width, height))
    if not sides_fit or width * height > MAX_PIXELS:
        raise InputError("backend.input.size", f"an image of {width} × {height} is not accepted")
    if not _complete(data):
        raise InputError("backend.input.value", "the image is damaged or cut off")
    # Any orientation in the file is ignored, so that boxes refer to the pixels as stored.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        page = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as exc:
        raise InputError("backend.input.value", "the image does not decode") from exc
    if page is None or page.shape != (height, width, 3):
        raise InputError("backend.input.value", "the image does not decode")
    return np.asarray(page, dtype=np.uint8)


def normalise(page: Page) -> NDArray[np.float32]:
    """Return 3 × height × width in -1 … 1, the form all three networks were trained on."""
    planes = np.ascontiguousarray(page.transpose(2, 0, 1), dtype=np.float32)
    planes *= np.float32(2 / 255)
    planes -= np.float32(1)
    return planes


def crop(page: Page, quad: NDArray[np.float32]) -> Page:
    """Cut the quadrilateral `quad` (4 × 2, clockwise from top left) out, straightened.

    A line that runs downwards is turned a quarter to the left, so that it reads from the left.
    """
    width = max(1, round(max(_distance(quad, 0, 1), _distance(quad, 3, 2))))
    height = max(1, round(max(_distance(quad, 0, 3), _distance(quad, 1, 2))))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    line: Any = cv2.warpPerspective(
        page,
        cv2.getPerspectiveTransform(quad, target),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
        flags=cv2.INTER_CUBIC,
    )
    if height >= _TALL * width:
        line = np.rot90(line)
    return np.ascontiguousarray(line, dtype=np.uint8)


def _distance(quad: NDArray[np.float32], a: int, b: int) -> float:
    return float(np.linalg.norm(quad[a] - quad[b]))


def _complete(data: bytes) -> bool:
    """Tell whether the file ends where it should; of a PNG, also whether every chunk is whole."""
    if data.startswith(_JPEG):
        return data.rstrip(b"\0").endswith(_JPEG_END)
    position = len(_PNG)
    while position + _CHUNK <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + _CHUNK + length
        if end > len(data):
            return False
        (crc,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != crc:
            return False
        if data[position + 4 : position + 8] == b"IEND":
            return bool(end == len(data))
        position = end
    return False


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the marker segments up to the first frame header."""
    position = len(_JPEG)
    while position + 9 <= len(data) and data[position] == 0xFF:  # noqa: PLR2004
        marker = data[position + 1]
        if marker == 0xFF:  # noqa: PLR2004  # fill byte
            position += 1
        elif marker in _BARE:
            position += 2
        elif marker in _SOF:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return int(width), int(height)
        else:
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    raise InputError("backend.input.value", "the JPEG has no frame header")
