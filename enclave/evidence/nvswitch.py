"""Evidence of NVIDIA switches through NSCQ, one report for every switch of a protected-PCIe board.

NSCQ calls back with one answer per device; sessions, identifiers and answers are passed by value.

Source: NVIDIA attestation-sdk `nscq_attestation.h`, `nscq_attestation_path.h` (libnvidia-nscq 2.0).
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final, Protocol

from attestation.bundle import Device
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role

from . import AttesterError

LIBRARY: Final = "libnvidia-nscq.so.2"
NONCE_BYTES: Final = 32
_REPORT_BYTES: Final = 0x2000
_CHAIN_BYTES: Final = 0x1400
_LABEL_BYTES: Final = 64
_MOUNT_DEVICES: Final = 1
_UUIDS: Final = b"/drv/nvswitch/{device}/uuid"


class _Session(ctypes.Structure):
    _fields_ = (("handle", ctypes.c_void_p),)


class _SessionResult(ctypes.Structure):
    _fields_ = (("rc", ctypes.c_int8), ("session", _Session))


class _Uuid(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_uint8 * 16),)


class _Label(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char * _LABEL_BYTES),)


class _Report(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.c_uint8 * _REPORT_BYTES))


class _Chain(ctypes.Structure):
    _fields_ = (("data", ctypes.c_uint8 * _CHAIN_BYTES), ("size", ctypes.c_uint32))


_UuidAnswer = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(_Uuid), ctypes.c_int8, ctypes.POINTER(_Uuid), ctypes.c_void_p
)
_ReportAnswer = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(_Uuid), ctypes.c_int8, _Report, ctypes.c_void_p
)
_ChainAnswer = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Uuid), ctypes.c_int8, _Chain, ctypes.c_void_p)


class Switches(Protocol):
    """An open session with every switch."""

    def labels(self) -> list[str]:
        """Return the switches' names."""
        ...

    def report(self, label: str, nonce: bytes) -> bytes:
        """Return one switch's report over 32 bytes."""
        ...

    def chain(self, label: str) -> bytes:
        """Return one switch's certificates."""
        ...

    def close(self) -> None:
        """End the session."""


class Nscq:
    """The real library."""

    def __init__(self, name: str = LIBRARY) -> None:
        """Open a session.

        Raises:
            AttesterError: the library is not installed, or finds no driver.
        """
        try:
            library = ctypes.CDLL(name)
        except OSError as exc:
            raise AttesterError(f"NSCQ: {exc}") from exc
        library.nscq_session_create.restype = _SessionResult
        library.nscq_session_create.argtypes = (ctypes.c_uint32,)
        library.nscq_session_destroy.restype = None
        library.nscq_session_destroy.argtypes = (_Session,)
        for function in ("session_path_observe", "session_set_input", "uuid_to_label"):
            getattr(library, f"nscq_{function}").restype = ctypes.c_int8
        self._library = library
        made = library.nscq_session_create(_MOUNT_DEVICES)
        _check(made.rc, "session")
        self._session = made.session

    def close(self) -> None:
        """See `Switches.close`."""
        self._library.nscq_session_destroy(self._session)

    def labels(self) -> list[str]:
        """See `Switches.labels`."""
        found: list[str] = []

        def answer(_device: object, rc: int, uuid: object, _data: object) -> None:
            label = _Label()
            if rc >= 0 and self._library.nscq_uuid_to_label(uuid, ctypes.byref(label), 0) >= 0:
                found.append(label.data.decode("ascii", "replace"))

        self._observe(_UUIDS, _UuidAnswer(answer))
        return found

    def report(self, label: str, nonce: bytes) -> bytes:
        """See `Switches.report`."""
        given = (ctypes.c_uint8 * len(nonce)).from_buffer_copy(nonce)
        rc = self._library.nscq_session_set_input(
            self._session, ctypes.c_uint32(0), given, ctypes.c_uint32(len(nonce))
        )
        _check(rc, "nonce")
        return self._one(f"/{label}/config/attestation_report".encode(), _ReportAnswer)

    def chain(self, label: str) -> bytes:
        """See `Switches.chain`."""
        return self._one(f"/{label}/config/certificate".encode(), _ChainAnswer)

    def _one(self, path: bytes, kind: Callable[[Any], Any]) -> bytes:
        found: list[bytes] = []

        def answer(_device: object, rc: int, value: _Report | _Chain, _data: object) -> None:
            if rc >= 0 and value.size <= len(value.data):
                found.append(bytes(value.data[: value.size]))

        self._observe(path, kind(answer))
        if len(found) != 1 or not found[0]:
            raise AttesterError(f"NSCQ: {path.decode()}: {len(found)} answers where one was needed")
        return found[0]

    def _observe(self, path: bytes, callback: object) -> None:
        rc = self._library.nscq_session_path_observe(
            self._session, ctypes.c_char_p(path), callback, None, ctypes.c_uint32(0)
        )
        _check(rc, path.decode())


def _check(rc: int, what: str) -> None:
    """Refuse errors; positive results are warnings."""
    if rc < 0:
        raise AttesterError(f"NSCQ: {what}: error {rc}")


def switches(nonce: bytes, *, open_session: Callable[[], Switches] = Nscq) -> tuple[Device, ...]:
    """Return the evidence of every switch over the 32-byte nonce.

    Raises:
        AttesterError: no library, no driver, no switch, or one that refuses.
        ValueError: the nonce is not 32 bytes; the caller's mistake.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"nonce: need {NONCE_BYTES} bytes, got {len(nonce)}")
    session = open_session()
    try:
        found = tuple(
            Device(
                device_id=label,
                evidence=Evidence(EvidenceKind.NVIDIA_NVSWITCH, session.report(label, nonce)),
                collateral=Collateral(((Role.CERT_CHAIN, session.chain(label)),)),
            )
            for label in session.labels()
        )
    finally:
        session.close()
    if not found:
        raise AttesterError("NSCQ: no switch")
    return found
