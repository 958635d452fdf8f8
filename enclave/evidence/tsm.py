"""CPU evidence through Linux's configfs-tsm: Intel TDX quotes and AMD SEV-SNP reports.

Source: Linux `Documentation/ABI/testing/configfs-tsm-report`.
"""

import secrets
from pathlib import Path
from typing import Final, Protocol

from attestation.evidence import Collateral, Evidence, EvidenceKind, Role

from . import AttesterError

REPORTS: Final = Path("/sys/kernel/config/tsm/report")
PROVIDERS: Final = {
    "tdx_guest": EvidenceKind.INTEL_TDX,
    "sev_guest": EvidenceKind.AMD_SNP,
}
MAX_BLOB_BYTES: Final = 1 << 18
_ONE_WRITE: Final = "1"


class Files(Protocol):
    """What is done to the tree; the kernel answers writes and reads like a device."""

    def make(self, path: Path) -> None:
        """Create a directory; the kernel fills it with attributes."""

    def read(self, path: Path) -> bytes:
        """Return an attribute."""
        ...

    def write(self, path: Path, data: bytes) -> None:
        """Set an attribute in one write."""

    def remove(self, path: Path) -> None:
        """Remove a directory."""


class KernelFiles:
    """The real tree."""

    def make(self, path: Path) -> None:
        """See `Files.make`."""
        path.mkdir(mode=0o700)

    def read(self, path: Path) -> bytes:
        """See `Files.read`."""
        with path.open("rb") as file:
            return file.read(MAX_BLOB_BYTES + 1)

    def write(self, path: Path, data: bytes) -> None:
        """See `Files.write`; unbuffered, because the kernel takes one write as the whole value."""
        with path.open("wb", buffering=0) as file:
            file.write(data)

    def remove(self, path: Path) -> None:
        """See `Files.remove`."""
        path.rmdir()


class TsmCpu:
    """Asks the kernel; which CPU there is, it says itself."""

    def __init__(self, *, base: Path = REPORTS, files: Files | None = None) -> None:
        """Take the tree.

        Args:
            base: where configfs-tsm is mounted.
            files: how it is reached; the kernel by default.
        """
        self._base = base
        self._files = files or KernelFiles()

    def report(self, report_data: bytes) -> tuple[Evidence, Collateral]:
        """Return evidence over 64 bytes, and the certificates the host handed out with it.

        Raises:
            AttesterError: no such tree, an unknown provider, or another writer in between.
        """
        entry = self._base / f"mifeng-{secrets.token_hex(8)}"
        try:
            self._files.make(entry)
        except OSError as exc:
            raise AttesterError(f"configfs-tsm: {exc}") from exc
        try:
            return self._ask(entry, report_data)
        except OSError as exc:
            raise AttesterError(f"configfs-tsm: {exc}") from exc
        finally:
            self._files.remove(entry)

    def _ask(self, entry: Path, report_data: bytes) -> tuple[Evidence, Collateral]:
        provider = self._files.read(entry / "provider").decode("ascii", "replace").strip()
        kind = PROVIDERS.get(provider)
        if kind is None:
            known = ", ".join(PROVIDERS)
            raise AttesterError(f"configfs-tsm: provider {provider!r}; known are {known}")
        self._files.write(entry / "inblob", report_data)
        blob = self._files.read(entry / "outblob")
        auxiliary = self._auxiliary(entry)
        generation = self._files.read(entry / "generation").decode("ascii", "replace").strip()
        if generation != _ONE_WRITE:
            raise AttesterError(f"configfs-tsm: {generation} writes where there was one")
        if not 0 < len(blob) <= MAX_BLOB_BYTES:
            raise AttesterError(f"configfs-tsm: a report of {len(blob)} bytes")
        items = ((Role.CERT_CHAIN, auxiliary),) if auxiliary else ()
        return Evidence(kind, blob), Collateral(items)

    def _auxiliary(self, entry: Path) -> bytes:
        """Return SEV-SNP's certificate table; hosts need not provide one, TDX has none."""
        try:
            found = self._files.read(entry / "auxblob")
        except OSError:
            return b""
        return found if any(found) and len(found) <= MAX_BLOB_BYTES else b""
