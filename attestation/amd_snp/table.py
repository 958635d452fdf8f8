"""The certificate table that a hypervisor hands its SNP guest.

Entries of GUID (16 bytes), offset and length (u32 each, little-endian, from the table's start),
ended by an all-zero entry. It is transport: nothing in it is trusted. Guests write the GUIDs both
as RFC 9562 bytes and as EFI's mixed-endian bytes; both are read.

Source: AMD 56421 (GHCB) §"SNP Extended Guest Request".
"""

from typing import Final

from attestation.errors import malformed

_ENTRY_SIZE: Final = 24
_GUID_SIZE: Final = 16
_MAX_ENTRIES: Final = 32

VCEK_GUID: Final = bytes.fromhex("63da758de6644564adc5f4b93be8accd")
VLEK_GUID: Final = bytes.fromhex("a8074bc2a25a483eaae639c045a0b8a1")
ASK_GUID: Final = bytes.fromhex("4ab7b379bbac4fe4a02f05aef327c782")
ARK_GUID: Final = bytes.fromhex("c0b406a4a803495297433fb6014cd0ae")
CRL_GUID: Final = bytes.fromhex("92f81bc358114d3d97ffd19f88dc67ea")


def mixed_endian(guid: bytes) -> bytes:
    """Return an RFC 9562 GUID in EFI's byte order."""
    return guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]


_CERTIFICATES: Final = frozenset(
    form
    for guid in (VCEK_GUID, VLEK_GUID, ASK_GUID, ARK_GUID)
    for form in (guid, mixed_endian(guid))
)
_CRLS: Final = frozenset({CRL_GUID, mixed_endian(CRL_GUID)})


def is_table(data: bytes) -> bool:
    """Say whether `data` begins with an entry of a known GUID."""
    return data[:_GUID_SIZE] in _CERTIFICATES | _CRLS


def read_table(data: bytes) -> list[bytes]:
    """Return the certificates of a table in its order; entries of other GUIDs are skipped.

    Raises:
        EvidenceMalformedError: no end entry, too many entries, or an entry outside the table.
    """
    return _entries(data, _CERTIFICATES)


def read_table_crls(data: bytes) -> list[bytes]:
    """Return the revocation lists of a table; errors as `read_table`."""
    return _entries(data, _CRLS)


def _entries(data: bytes, wanted: frozenset[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for index in range(_MAX_ENTRIES):
        entry = data[index * _ENTRY_SIZE : (index + 1) * _ENTRY_SIZE]
        if len(entry) < _ENTRY_SIZE:
            raise malformed("amd-snp.table.end", "certificate table", "an end entry", "none")
        if not any(entry):
            return found
        offset = int.from_bytes(entry[16:20], "little")
        size = int.from_bytes(entry[20:24], "little")
        if offset + size > len(data):
            raise malformed("amd-snp.table.bounds", "table entry end", len(data), offset + size)
        if entry[:_GUID_SIZE] in wanted:
            found.append(data[offset : offset + size])
    raise malformed("amd-snp.table.entries", "table entries", f"below {_MAX_ENTRIES}", "more")
