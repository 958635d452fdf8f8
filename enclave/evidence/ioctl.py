"""Device calls that pass the address of a page: Hygon's guest device and DCU driver.

Source: Linux `include/uapi/asm-generic/ioctl.h`.
"""

import ctypes
import fcntl
import mmap
import os
from typing import Final, Protocol

PAGE: Final = 4096
_READ_WRITE: Final = 3


def read_write(group: str, number: int, size: int) -> int:
    """Return the number of an ioctl that reads and writes an argument of `size` bytes."""
    return _READ_WRITE << 30 | size << 16 | ord(group) << 8 | number


class Page:
    """One zeroed page at a page-aligned address, shared with the kernel."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, PAGE)
        self.address: Final = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def fill(self, data: bytes) -> None:
        """Put `data` at the front."""
        self._memory[: len(data)] = data

    def content(self) -> bytes:
        """Return the whole page."""
        return self._memory[:PAGE]


class Device(Protocol):
    """An open device."""

    def call(self, request: int, argument: bytearray) -> None:
        """Make one ioctl; `argument` is written back.

        Raises:
            OSError: the driver refuses.
        """

    def close(self) -> None:
        """Close it."""


class KernelDevice:
    """A real device node."""

    def __init__(self, path: str, *, flags: int) -> None:
        """Open the node; raises OSError if there is none."""
        self._fd = os.open(path, flags | os.O_CLOEXEC)

    def call(self, request: int, argument: bytearray) -> None:
        """See `Device.call`."""
        fcntl.ioctl(self._fd, request, argument, True)  # noqa: FBT003 - mutate_flag has no name

    def close(self) -> None:
        """See `Device.close`."""
        os.close(self._fd)
