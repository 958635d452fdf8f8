"""CPU evidence through configfs-tsm, against a SIMULATED kernel tree."""

import errno
from pathlib import Path

import pytest

from attestation.evidence import EvidenceKind, Role
from enclave.evidence import AttesterError
from enclave.evidence.tsm import MAX_BLOB_BYTES, KernelFiles, TsmCpu

BASE = Path("/tree")
DATA = bytes(range(64))


class Kernel:
    """Answers as the kernel does: reading `outblob` makes a report over `inblob`."""

    def __init__(self, provider: bytes = b"tdx_guest\n") -> None:
        self.provider, self.auxiliary, self.writes = provider, b"", 0
        self.blob: bytes | None = None
        self.entries: dict[Path, bytes] = {}
        self.missing = False

    def make(self, path: Path) -> None:
        """Create an entry."""
        if self.missing or path.parent != BASE:
            raise OSError(errno.ENOENT, "no configfs-tsm")
        self.entries[path] = b""

    def read(self, path: Path) -> bytes:
        """Read an attribute."""
        asked = self.entries[path.parent]
        match path.name:
            case "provider":
                return self.provider
            case "outblob":
                if not asked:
                    raise OSError(errno.EINVAL, "inblob is empty")
                return b"report over " + asked if self.blob is None else self.blob
            case "auxblob":
                if not self.auxiliary:
                    raise OSError(errno.ENXIO, "none")
                return self.auxiliary
            case _:
                return f"{self.writes}\n".encode()

    def write(self, path: Path, data: bytes) -> None:
        """Write an attribute."""
        assert path.name == "inblob"
        self.entries[path.parent] = data
        self.writes += 1

    def remove(self, path: Path) -> None:
        """Remove an entry."""
        del self.entries[path]


def cpu(kernel: Kernel) -> TsmCpu:
    """Return a CPU over a kernel."""
    return TsmCpu(base=BASE, files=kernel)


@pytest.mark.parametrize(
    ("provider", "kind"),
    [(b"tdx_guest\n", EvidenceKind.INTEL_TDX), (b"sev_guest\n", EvidenceKind.AMD_SNP)],
)
def test_the_provider_names_the_kind(provider: bytes, kind: EvidenceKind) -> None:
    """The report is over the 64 bytes, of the kind the kernel says, and the entry is removed."""
    kernel = Kernel(provider)
    evidence, collateral = cpu(kernel).report(DATA)
    assert (evidence.kind, evidence.raw) == (kind, b"report over " + DATA)
    assert collateral.items == ()
    assert kernel.entries == {}


def test_the_hosts_certificates_come_along() -> None:
    """A certificate table is collateral; an empty or oversized one is none."""
    kernel = Kernel(b"sev_guest\n")
    kernel.auxiliary = b"table"
    assert cpu(kernel).report(DATA)[1].items == ((Role.CERT_CHAIN, b"table"),)
    for useless in (bytes(24), b"x" * (MAX_BLOB_BYTES + 1)):
        kernel = Kernel(b"sev_guest\n")
        kernel.auxiliary = useless
        assert cpu(kernel).report(DATA)[1].items == ()


def test_no_tree_is_an_error() -> None:
    """A machine without configfs-tsm cannot attest."""
    kernel = Kernel()
    kernel.missing = True
    with pytest.raises(AttesterError, match="configfs-tsm"):
        cpu(kernel).report(DATA)


def test_an_unknown_provider_is_an_error() -> None:
    """A provider we have no verifier for is named, and the entry removed."""
    kernel = Kernel(b"other_guest\n")
    with pytest.raises(AttesterError, match="other_guest"):
        cpu(kernel).report(DATA)
    assert kernel.entries == {}


def test_a_second_writer_is_noticed() -> None:
    """A report may be over what somebody else wrote in between."""
    kernel = Kernel()
    kernel.writes = 1
    with pytest.raises(AttesterError, match="2 writes"):
        cpu(kernel).report(DATA)


@pytest.mark.parametrize("blob", [b"", bytes(MAX_BLOB_BYTES + 1)], ids=["empty", "huge"])
def test_reports_of_no_size_are_errors(blob: bytes) -> None:
    """Nothing, or more than a report can be, is not passed on."""
    kernel = Kernel()
    kernel.blob = blob
    with pytest.raises(AttesterError, match="bytes"):
        cpu(kernel).report(DATA)


def test_a_refusing_kernel_is_an_error() -> None:
    """What the kernel refuses is said with its reason, and the entry removed."""
    kernel = Kernel()
    with pytest.raises(AttesterError, match="inblob is empty"):
        cpu(kernel).report(b"")
    assert kernel.entries == {}


def test_the_real_tree_is_reached_by_plain_files(tmp_path: Path) -> None:
    """Directories and attributes are made, written in one go, read and removed."""
    files = KernelFiles()
    entry = tmp_path / "entry"
    files.make(entry)
    files.write(entry / "inblob", DATA)
    assert files.read(entry / "inblob") == DATA
    (entry / "inblob").unlink()
    files.remove(entry)
    assert not entry.exists()
    with pytest.raises(AttesterError):
        TsmCpu(base=tmp_path / "absent").report(DATA)
