"""One event of a log, and the hash algorithms that logs use.

Source: TCG Algorithm Registry 1.34 §6.1; TCG PC Client Platform Firmware Profile 1.05 §10.4.1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256, sha384, sha512
from typing import Final, NamedTuple

from mifeng.crypto import sm3

SHA384: Final = 0x000C
SM3: Final = 0x0012


class Hash(NamedTuple):
    """One algorithm: its digest size in bytes and its function."""

    size: int
    digest: Callable[[bytes], bytes]


HASHES: Final[Mapping[int, Hash]] = {
    0x0004: Hash(20, lambda data: sha1(data, usedforsecurity=False).digest()),
    0x000B: Hash(32, lambda data: sha256(data).digest()),
    SHA384: Hash(48, lambda data: sha384(data).digest()),
    0x000D: Hash(64, lambda data: sha512(data).digest()),
    SM3: Hash(32, sm3),
}

NAMES: Final[Mapping[int, str]] = {
    0x00000000: "EV_PREBOOT_CERT",
    0x00000001: "EV_POST_CODE",
    0x00000003: "EV_NO_ACTION",
    0x00000004: "EV_SEPARATOR",
    0x00000005: "EV_ACTION",
    0x00000006: "EV_EVENT_TAG",
    0x00000007: "EV_S_CRTM_CONTENTS",
    0x00000008: "EV_S_CRTM_VERSION",
    0x00000009: "EV_CPU_MICROCODE",
    0x0000000A: "EV_PLATFORM_CONFIG_FLAGS",
    0x0000000B: "EV_TABLE_OF_DEVICES",
    0x0000000C: "EV_COMPACT_HASH",
    0x0000000D: "EV_IPL",
    0x0000000E: "EV_IPL_PARTITION_DATA",
    0x0000000F: "EV_NONHOST_CODE",
    0x00000010: "EV_NONHOST_CONFIG",
    0x00000011: "EV_NONHOST_INFO",
    0x00000012: "EV_OMIT_BOOT_DEVICE_EVENTS",
    0x08000001: "DSTACK_RUNTIME",
    0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG",
    0x80000002: "EV_EFI_VARIABLE_BOOT",
    0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION",
    0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
    0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
    0x80000006: "EV_EFI_GPT_EVENT",
    0x80000007: "EV_EFI_ACTION",
    0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
    0x80000009: "EV_EFI_HANDOFF_TABLES",
    0x8000000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
    0x8000000B: "EV_EFI_HANDOFF_TABLES2",
    0x8000000C: "EV_EFI_VARIABLE_BOOT2",
    0x80000010: "EV_EFI_HCRTM_EVENT",
    0x800000E0: "EV_EFI_VARIABLE_AUTHORITY",
    0x800000E1: "EV_EFI_SPDM_FIRMWARE_BLOB",
    0x800000E2: "EV_EFI_SPDM_FIRMWARE_CONFIG",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One record, not believed until its register's replay matches."""

    index: int
    """The measurement register, numbered as the log numbers it."""

    kind: int
    digests: Mapping[int, bytes]
    """What was extended, by algorithm."""

    data: bytes
    """What is said about it; proven only if its hash is the digest (`proves`)."""

    name: str = ""
    """A runtime event's own name, covered by its digest."""

    @property
    def label(self) -> str:
        """The event type's name, or its number in hex."""
        return NAMES.get(self.kind, f"{self.kind:#010x}")

    def proves(self, algorithm: int) -> bool:
        """Whether the digest is the hash of exactly `data`."""
        return HASHES[algorithm].digest(self.data) == self.digests[algorithm]
