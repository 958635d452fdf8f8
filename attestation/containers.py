"""Take evidence out of the wrappers vendors and agents deliver it in.

Raw binary, hex text, base64 text, one PEM-armoured block, or JSON of an agent: what comes out
is what a verifier parses, one unit per device. Nothing here is believed; a wrapper that names a
nonce, a version or a verdict beside the evidence is not even looked at.

Kinds whose evidence *is* JSON (Azure vTPM, virtCCA, iTrustee, a software TPM's) reach their
verifier as that JSON. A kind with a wrapper of its own brings `attestation.<kind>.container`
with `unpack(value, collateral) -> tuple[Unit, ...]`.

Source: docs/spec/appraisal.md §4.1.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from . import json_strict
from .errors import malformed
from .evidence import Collateral, Evidence, EvidenceKind, Role

MAX_EVIDENCE_BYTES: Final = 1 << 20
MAX_UNITS: Final = 64
_HEX: Final = re.compile(rb"(?:0[xX])?((?:[0-9a-fA-F]{2})+)")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_TEXT: Final = re.compile(rb"[\t\n\r\x20-\x7e]+")
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_LABELS: Final = {EvidenceKind.INTEL_TDX: b"QUOTE", EvidenceKind.INTEL_SGX: b"QUOTE"}
_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----"
)
_CERTIFICATE_FILES: Final = frozenset(
    {Role.CERT_CHAIN, Role.VEK, Role.ASK, Role.ARK, Role.DEV_CERT, Role.AK_CERT}
)
_DER_FILES: Final = _CERTIFICATE_FILES | {Role.SNP_CRL, Role.ROOT_CRL, Role.PCK_CRL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One device's evidence, out of its wrapper, with what the wrapper carried beside it."""

    evidence: Evidence
    collateral: Collateral


Unpack = Callable[[object, Collateral], tuple[Unit, ...]]


def normalise(evidence: Evidence, collateral: Collateral) -> tuple[Unit, ...]:
    """Return the evidence of each device in a file; at least one.

    Args:
        evidence: the file's bytes as delivered, and the kind they are said to be.
        collateral: handed to every unit, before what the wrapper itself carries.

    Raises:
        EvidenceMalformedError: too large, empty, or no form that the kind is delivered in
            (codes `<kind>.container.*`).
    """
    kind, data = evidence.kind, evidence.raw
    code = f"{kind.value}.container"
    for what, each in [
        ("evidence", data),
        *((role.value, each) for role, each in collateral.items),
    ]:
        if len(each) > MAX_EVIDENCE_BYTES:
            raise malformed(f"{code}.size", what, f"<= {MAX_EVIDENCE_BYTES} bytes", len(each))
    if not data:
        raise malformed(f"{code}.size", "evidence", "at least 1 byte", 0)
    collateral = Collateral(
        tuple((role, _bare(role, each, code=code)) for role, each in collateral.items)
    )
    if _is_json(data):
        return _from_json(kind, data, collateral, code=code)
    label = _LABELS.get(kind, b"")
    raw = text_to_bytes(data, what="evidence", code=code, label=label) if is_text(data) else data
    if kind is EvidenceKind.INTEL_TDX:
        raw = _dstack_quote(raw)
    if raw != data and _is_json(raw):
        return _from_json(kind, raw, collateral, code=code)
    return (Unit(evidence=Evidence(kind, raw), collateral=collateral),)


def _bare(role: Role, data: bytes, *, code: str) -> bytes:
    """Return a file of certificates or of a CRL without its text encoding or explanatory text.

    Agents write DER and PEM in hex or base64, tools write subjects and comments around PEM blocks
    (RFC 7468 §2). A file whose rest has dashes is left as it is: a block that is not understood
    must not pass for text.
    """
    packed = b"".join(data.split())
    if role in _DER_FILES and (_HEX.fullmatch(packed) or _BASE64.fullmatch(packed)):
        data = text_to_bytes(data, what=role.value, code=code)
    if role not in _CERTIFICATE_FILES or b"-----BEGIN" not in data:
        return data
    if b"-----" in _CERTIFICATE.sub(b"", data):
        return data
    return b"\n".join(_CERTIFICATE.findall(data)) + b"\n"


def is_text(data: bytes) -> bool:
    """Whether all of it is printable ASCII and white space, as binary evidence never is."""
    return _TEXT.fullmatch(data) is not None


def text_to_bytes(data: bytes, *, what: str, code: str, label: bytes = b"") -> bytes:
    """Return what hex, base64 (either alphabet) or one PEM block says.

    Hex is tried first: text of hex digits only is hex. Of several blocks it is the one that is
    labelled `label`, which must occur once.

    Raises:
        EvidenceMalformedError: none of these (code `<code>.text`).
    """
    blocks = _PEM.findall(data)
    if len(blocks) > 1:
        blocks = [block for block in blocks if block[0] == label]
    if b"-----" in data and len(blocks) != 1:
        raise malformed(f"{code}.text", what, "one PEM block", len(blocks))
    body = b"".join((blocks[0][1] if len(blocks) == 1 else data).split())
    if not blocks and (match := _HEX.fullmatch(body)):
        return bytes.fromhex(match[1].decode())
    if not _BASE64.fullmatch(body):
        raise malformed(f"{code}.text", what, "hex, base64 or one PEM block", "other text")
    stripped = body.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return b64decode(stripped + b"=" * (-len(stripped) % 4), validate=True)
    except ValueError as exc:
        raise malformed(f"{code}.text", what, "hex, base64 or one PEM block", str(exc)) from exc


def json_bytes(value: object, *, what: str, code: str) -> bytes:
    """Return the bytes a JSON value stands for: hex or base64 text, or a list of numbers.

    Raises:
        EvidenceMalformedError: any other value (code `<code>.text`).
    """
    if isinstance(value, str) and value.isascii():
        return text_to_bytes(value.encode(), what=what, code=code)
    if isinstance(value, list) and all(type(each) is int and 0 <= each <= 255 for each in value):  # noqa: PLR2004 - a byte
        return bytes(cast("list[int]", value))
    raise malformed(f"{code}.text", what, "hex, base64 or a list of bytes", type(value).__name__)


def _is_json(data: bytes) -> bool:
    return data.lstrip(b" \t\r\n")[:1] in (b"{", b"[") and _TEXT.match(data) is not None


def _from_json(
    kind: EvidenceKind, data: bytes, collateral: Collateral, *, code: str
) -> tuple[Unit, ...]:
    value = json_strict.parse(data, what="evidence", code=code)
    unpack = _UNPACKERS.get(kind) or _own_unpacker(kind)
    if unpack is None:
        return (Unit(evidence=Evidence(kind, data), collateral=collateral),)
    units = unpack(_named_platform(value), collateral)
    if not 1 <= len(units) <= MAX_UNITS:
        raise malformed(f"{code}.count", "devices", f"1 … {MAX_UNITS}", len(units))
    return units


def _named_platform(value: object) -> object:
    """Return the evidence that an agent wraps beside its platform's name, or `value` itself."""
    if isinstance(value, dict) and not value.keys().isdisjoint(_PLATFORM_NAMES):
        inner = value.get("evidence")
        return inner if isinstance(inner, dict) else value
    return value


def _own_unpacker(kind: EvidenceKind) -> Unpack | None:
    name = _CONTAINERS.get(kind)
    return None if name is None else cast("Unpack", import_module(name).unpack)


def _intel(kind: EvidenceKind) -> Unpack:
    """Quotes as agents, dstack and configfs-tsm wrap them, and event logs beside them."""
    code = f"{kind.value}.container"

    def unpack(value: object, collateral: Collateral) -> tuple[Unit, ...]:
        names = [name for name in _QUOTES if name in value] if isinstance(value, dict) else []
        if not isinstance(value, dict) or not names:
            raise malformed(f"{code}.json", "evidence", "an object with `quote`", "another value")
        raw = json_bytes(value[names[0]], what=names[0], code=code)
        if names[0] == _DSTACK_NAME:
            raw = _dstack_quote(raw)
        items = list(collateral.items)
        items += [(Role.EVENT_LOG, log) for log in _event_logs(value, code=code)]
        return (Unit(evidence=Evidence(kind, raw), collateral=Collateral(tuple(items))),)

    return unpack


def _cca(value: object, collateral: Collateral) -> tuple[Unit, ...]:
    """Tokens as guest-components (`token`) and readers of configfs-tsm (`outblob`) wrap them."""
    code = f"{EvidenceKind.ARM_CCA.value}.container"
    names = [name for name in _TOKENS if name in value] if isinstance(value, dict) else []
    if not isinstance(value, dict) or not names:
        raise malformed(f"{code}.json", "evidence", "an object with `token`", "another value")
    raw = json_bytes(value[names[0]], what=names[0], code=code)
    return (Unit(evidence=Evidence(EvidenceKind.ARM_CCA, raw), collateral=collateral),)


def _nvidia(kind: EvidenceKind) -> Unpack:
    """Serialized evidence: a list of devices, each a report and its PEM chain in base64."""
    code = f"{kind.value}.container"

    def unpack(value: object, collateral: Collateral) -> tuple[Unit, ...]:
        if isinstance(value, dict):
            lists = [value[name] for name in _NVIDIA_LISTS if name in value]
            value = lists[0] if len(lists) == 1 else [value]
        if not isinstance(value, list):
            raise malformed(f"{code}.json", "evidence", "a list of devices", type(value).__name__)
        return tuple(device(each, collateral) for each in value)

    def device(value: object, collateral: Collateral) -> Unit:
        if not isinstance(value, dict) or not {"evidence", "certificate"} <= value.keys():
            required = "an object with `evidence` and `certificate`"
            raise malformed(f"{code}.json", "device", required, "another value")
        raw = json_bytes(value["evidence"], what="device evidence", code=code)
        chain = value["certificate"]
        if isinstance(chain, str) and chain.lstrip().startswith("-----BEGIN"):
            pem = chain.encode(errors="surrogatepass")
        else:
            pem = json_bytes(chain, what="device certificate", code=code)
        items = (*collateral.items, (Role.CERT_CHAIN, pem))
        return Unit(evidence=Evidence(kind, raw), collateral=Collateral(items))

    return unpack


def _event_logs(value: dict[str, object], *, code: str) -> Iterator[bytes]:
    """Yield the logs beside a quote: CCEL in base64, dstack's as text or JSON.

    An agent's `aa_eventlog` is left out: its text has no format that could be replayed.
    """
    for name in ("cc_eventlog", "event_log"):
        log = value.get(name)
        if not log:
            continue
        if isinstance(log, str) and name != "cc_eventlog":
            yield log.encode(errors="surrogatepass")
        elif isinstance(log, list) and log and isinstance(log[0], dict):
            yield json.dumps(log).encode()
        else:
            yield json_bytes(log, what=name, code=code)


_DSTACK_TDX: Final = bytes(2)
"""SCALE: version 0, variant 0 (TDX); a vector of bytes follows, the quote."""
_SCALE_TWO_BYTES: Final = 1


def _dstack_quote(raw: bytes) -> bytes:
    """Return the quote at the front of a dstack envelope, or `raw` if it is none."""
    head = raw[:4]
    if head[:2] != _DSTACK_TDX or len(head) < len(_DSTACK_TDX) + 2:
        return raw
    compact = int.from_bytes(head[2:], "little")
    if compact & 3 != _SCALE_TWO_BYTES:
        return raw
    return raw[4 : 4 + (compact >> 2)]


_PLATFORM_NAMES: Final = frozenset({"platform", "tee"})
_DSTACK_NAME: Final = "attestation"
_QUOTES: Final = ("quote", "outblob", _DSTACK_NAME)
_TOKENS: Final = ("token", "outblob")
_NVIDIA_LISTS: Final = ("device_evidence_list", "evidence_list", "evidences")

_CONTAINERS: Final[Mapping[EvidenceKind, str]] = {
    EvidenceKind.AMD_SNP: "attestation.amd_snp.container",
    EvidenceKind.HYGON_CSV: "attestation.hygon_csv.container",
    EvidenceKind.HYGON_DCU: "attestation.hygon_dcu.container",
}
"""Kinds that bring a wrapper of their own, and the module that opens it."""

_UNPACKERS: Final[Mapping[EvidenceKind, Unpack]] = {
    EvidenceKind.ARM_CCA: _cca,
    EvidenceKind.INTEL_TDX: _intel(EvidenceKind.INTEL_TDX),
    EvidenceKind.INTEL_SGX: _intel(EvidenceKind.INTEL_SGX),
    EvidenceKind.NVIDIA_GPU: _nvidia(EvidenceKind.NVIDIA_GPU),
    EvidenceKind.NVIDIA_NVSWITCH: _nvidia(EvidenceKind.NVIDIA_NVSWITCH),
}
