"""What a node hands over to be appraised, as one value with one encoding.

A bundle is untrusted. It holds the exact keyset bytes, the freshness the evidence was made
for, one CPU's evidence and that of every accelerator, each with the collateral stapled to it.
The node, the gateway and the log pass it on as bytes; only `attestation.appraise` judges it.

Source: docs/spec/binding.md §4.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mifeng.crypto import sm3

from .errors import malformed
from .evidence import Collateral, Evidence, EvidenceKind, Role

MAX_BUNDLE_BYTES: Final = 32 << 20
MAX_DEVICES: Final = 64
MAX_ITEMS: Final = 64
CHALLENGE_BYTES: Final = 32
_FRESHNESS_LABEL: Final = b"mifeng/v1/freshness\0"
_BUNDLE_LABEL: Final = b"mifeng/v1/bundle\0"
_EVIDENCE_LABEL: Final = b"mifeng/v1/evidence\0"
_KINDS: Final[Mapping[bytes, EvidenceKind]] = {kind.value.encode(): kind for kind in EvidenceKind}
_ROLES: Final[Mapping[bytes, Role]] = {role.value.encode(): role for role in Role}


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What the evidence was made after: a challenge (1), or a cosigned checkpoint note (2)."""

    kind: Literal[1, 2]

    x: bytes
    """Kind 1: the verifier's own 32 bytes. Kind 2: the whole note, whose cosignature the
    verifier checks elsewhere (docs/spec/binding.md §2)."""

    def __post_init__(self) -> None:
        if self.kind not in (1, 2):
            raise malformed("freshness.kind", "freshness kind", "1 or 2", self.kind)
        if self.kind == 1 and len(self.x) != CHALLENGE_BYTES:
            raise malformed("freshness.size", "challenge", f"{CHALLENGE_BYTES} bytes", len(self.x))
        if not self.x:
            raise malformed("freshness.size", "freshness", "at least 1 byte", 0)

    @property
    def nonce32(self) -> bytes:
        """The 32 bytes every piece of evidence in the bundle commits to (docs/spec/binding.md)."""
        return sm3(_FRESHNESS_LABEL + bytes([self.kind]) + self.x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator's evidence."""

    device_id: str
    """The node's name for the device, 1 … 255 UTF-8 bytes; orders the devices, proves nothing."""

    evidence: Evidence
    collateral: Collateral

    def __post_init__(self) -> None:
        try:
            size = len(self.device_id.encode())
        except UnicodeEncodeError as exc:
            raise malformed("bundle.device-id", "device id", "Unicode text", "surrogates") from exc
        if not 1 <= size <= 255:  # noqa: PLR2004 - one length byte
            raise malformed("bundle.device-id", "device id", "1 … 255 bytes", size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A keyset and everything that vouches for it."""

    keyset: bytes
    """Exact bytes, never re-serialised: their SM3 is the keyset's name."""

    freshness: Freshness
    cpu: Evidence
    cpu_collateral: Collateral
    accelerators: tuple[Device, ...]

    def encode(self) -> bytes:
        """Return the one encoding of this bundle (docs/spec/binding.md §4)."""
        parts = [_BUNDLE_LABEL, _long(self.keyset), *_freshness(self.freshness)]
        parts += [*_evidence(self.cpu), *_collateral(self.cpu_collateral)]
        parts.append(len(self.accelerators).to_bytes(2))
        for device in self.accelerators:
            parts += [_short(device.device_id.encode()), *_evidence(device.evidence)]
            parts += _collateral(device.collateral)
        return b"".join(parts)

    @classmethod
    def decode(cls, raw: bytes) -> "Bundle":
        """Return the bundle `raw` encodes.

        Args:
            raw: untrusted; any bytes.

        Raises:
            EvidenceMalformedError: not exactly one encoded bundle (code `bundle.*`).
        """
        if len(raw) > MAX_BUNDLE_BYTES:
            raise malformed("bundle.size", "bundle", f"<= {MAX_BUNDLE_BYTES} bytes", len(raw))
        cursor = _Cursor(raw)
        cursor.label(_BUNDLE_LABEL)
        keyset = cursor.long()
        freshness = cursor.freshness()
        cpu, cpu_collateral = cursor.evidence(), cursor.collateral()
        count = cursor.number(2, most=MAX_DEVICES)
        devices = tuple(cursor.device() for _ in range(count))
        cursor.end()
        return cls(
            keyset=keyset,
            freshness=freshness,
            cpu=cpu,
            cpu_collateral=cpu_collateral,
            accelerators=devices,
        )

    def evidence_encoding(self) -> bytes:
        """Return what the log names: freshness and evidence, without keyset and collateral.

        Collateral is renewed during a keyset's life; what the machine said is not.
        """
        parts = [_EVIDENCE_LABEL, *_freshness(self.freshness), *_evidence(self.cpu)]
        parts.append(len(self.accelerators).to_bytes(2))
        for device in self.accelerators:
            parts += [_short(device.device_id.encode()), *_evidence(device.evidence)]
        return b"".join(parts)

    @property
    def evidence_digest(self) -> bytes:
        """SM3 of `evidence_encoding`, 32 bytes."""
        return sm3(self.evidence_encoding())


def _short(data: bytes) -> bytes:
    return len(data).to_bytes(1) + data


def _long(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _freshness(freshness: Freshness) -> Iterator[bytes]:
    yield bytes([freshness.kind])
    yield _long(freshness.x)


def _evidence(evidence: Evidence) -> Iterator[bytes]:
    yield _short(evidence.kind.value.encode())
    yield _long(evidence.raw)


def _collateral(collateral: Collateral) -> Iterator[bytes]:
    yield len(collateral.items).to_bytes(2)
    for role, data in collateral.items:
        yield _short(role.value.encode())
        yield _long(data)


class _Cursor:
    """Reads the encoding from front to back; every length is checked before it is used."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._raw):
            raise malformed("bundle.truncated", "bundle", f"{end} bytes", len(self._raw))
        data = self._raw[self._at : end]
        self._at = end
        return data

    def label(self, label: bytes) -> None:
        if self._raw[: len(label)] != label:
            raise malformed("bundle.label", "bundle", label[:-1].decode(), "another label")
        self._at = len(label)

    def number(self, size: int, *, most: int) -> int:
        value = int.from_bytes(self._take(size))
        if value > most:
            raise malformed("bundle.count", "bundle count", f"<= {most}", value)
        return value

    def short(self) -> bytes:
        return self._take(self._take(1)[0])

    def long(self) -> bytes:
        return self._take(int.from_bytes(self._take(4)))

    def freshness(self) -> Freshness:
        kind = self._take(1)[0]
        x = self.long()
        if kind == 1:
            return Freshness(kind=1, x=x)
        if kind == 2:  # noqa: PLR2004 - the kind's own number
            return Freshness(kind=2, x=x)
        raise malformed("freshness.kind", "freshness kind", "1 or 2", kind)

    def evidence(self) -> Evidence:
        name = self.short()
        if name not in _KINDS:
            raise malformed("bundle.kind", "evidence kind", "a known kind", repr(name))
        return Evidence(_KINDS[name], self.long())

    def collateral(self) -> Collateral:
        count = self.number(2, most=MAX_ITEMS)
        return Collateral(tuple(self._item() for _ in range(count)))

    def _item(self) -> tuple[Role, bytes]:
        name = self.short()
        if name not in _ROLES:
            raise malformed("bundle.role", "collateral role", "a known role", repr(name))
        return _ROLES[name], self.long()

    def device(self) -> Device:
        raw_id = self.short()
        try:
            device_id = raw_id.decode()
        except UnicodeDecodeError as exc:
            raise malformed("bundle.device-id", "device id", "UTF-8", repr(raw_id)) from exc
        evidence = self.evidence()
        return Device(device_id=device_id, evidence=evidence, collateral=self.collateral())

    def end(self) -> None:
        if self._at != len(self._raw):
            left = len(self._raw) - self._at
            raise malformed("bundle.trailing", "bundle", "no trailing bytes", f"{left} bytes")
