"""Readers of evidence, one per kind: its parser's result, with the vendor's bits spelled out.

Each takes what `attestation.containers` unwrapped and raises `AttestationError` if its parser
does. Nothing is verified. Parsers are imported when they are needed.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attestation import EvidenceKind
from attestation.errors import EvidenceUnsupportedError, malformed

from .reading_files import certificate_rows, certificates, hygon_rows, when
from .reading_table import Grid, Sections

Reader = Callable[[bytes], Sections]
_TD_ATTRIBUTES: Final = {
    0: "DEBUG",
    27: "LASS",
    28: "SEPT_VE_DISABLE",
    29: "MIGRATABLE",
    30: "PKS",
    31: "KL",
    63: "PERFMON",
}
_SGX_ATTRIBUTES: Final = {
    0: "INIT",
    1: "DEBUG",
    2: "MODE64BIT",
    4: "PROVISIONKEY",
    5: "EINITTOKENKEY",
}
_NUMBERS: Final = frozenset({"isv_prod_id", "isv_svn"})
_SIGNING_KEYS: Final = {0: "VCEK", 1: "VLEK", 7: "none"}
_SWITCH_BLOCKS: Final = 31
_PCK_CHAIN: Final = 5
_UNSHOWN: Final = ("signed", "r", "s")


def _simulated(raw: bytes) -> Sections:
    from attestation.layout import read
    from attestation.simulated import LAYOUT, SIZE

    yield (
        "SIMULATED report",
        read(LAYOUT, raw, size=SIZE, what="simulated report", code="simulated.report"),
    )


def _intel(tee_type: int, kind: EvidenceKind) -> Reader:
    def read(raw: bytes) -> Sections:
        from attestation.dcap.quote import TDX, parse

        found = parse(raw, tee_type=tee_type, kind=kind.value)
        yield (
            "quote",
            {
                "version": found.version,
                "body": found.body_type,
                "attestation key": found.attestation_key,
                "signature": found.signature,
                "certification data": f"type {found.cert_type}, {len(found.cert_data)} bytes",
            },
        )
        yield ("TD report" if tee_type == TDX else "enclave report"), _fields(found.body)
        name, bits = (
            ("td_attributes", _TD_ATTRIBUTES)
            if tee_type == TDX
            else ("attributes", _SGX_ATTRIBUTES)
        )
        yield name, _bits(int.from_bytes(found.body[name], "little"), bits)
        yield "quoting enclave", _fields(found.qe_report)
        if found.cert_type == _PCK_CHAIN:
            yield from certificates(found.cert_data)

    return read


def _snp(raw: bytes) -> Sections:
    from attestation.amd_snp import certificates as amd
    from attestation.amd_snp.container import unwrap
    from attestation.amd_snp.product import Tcb, platform_claims, policy_claims, product_of
    from attestation.amd_snp.report import parse

    delivery = unwrap(raw)
    found = parse(delivery.report)
    key = found.signer_info >> 2 & 0b111
    yield "report", {name: each for name, each in _members(found).items() if name not in _UNSHOWN}
    yield "guest policy", policy_claims(found.policy)
    yield (
        "platform",
        {"signing_key": _SIGNING_KEYS.get(key, key), **platform_claims(found.platform_info)},
    )
    levels = {
        "reported": found.reported_tcb,
        "committed": found.committed_tcb,
        "current": found.current_tcb,
        "launch": found.launch_tcb,
    }
    try:
        product = product_of(found.cpuid) if found.cpuid else None
    except EvidenceUnsupportedError:
        product = None
    if product is not None:
        parsed = {name: Tcb.parse(word, product).components() for name, word in levels.items()}
        yield f"patch levels ({product.value})", parsed
    for index, data in enumerate(delivery.certificates):
        for cert in amd.load_certificates(data):
            yield f"certificate {index}", certificate_rows(cert)


def _nvidia(raw: bytes) -> Sections:
    from attestation.nvidia import opaque
    from attestation.nvidia.spdm import decode

    found = decode(raw)
    yield (
        "report",
        {
            "nonce": found.nonce,
            "responder_nonce": found.responder_nonce,
            "signature": found.signature,
        },
    )
    yield "opaque fields", opaque.describe(opaque.decode(found.opaque))
    rows = tuple(found.measurements.items())
    yield "measurements", Grid(headings=("index", "value"), rows=rows)


def _switch(raw: bytes) -> Sections:
    from attestation.nvidia.spdm import decode

    if (count := len(decode(raw).measurements)) != _SWITCH_BLOCKS:
        raise malformed("nvidia-nvswitch.report", "measurements", _SWITCH_BLOCKS, count)
    return _nvidia(raw)


def _hygon_csv(raw: bytes) -> Sections:
    from attestation.hygon_csv.report import parse
    from attestation.hygon_csv.verifier import policy_claims

    found = parse(raw)
    shown = {
        name: value for name, value in found.fields.items() if name not in ("pek", "sn", "r", "s")
    }
    yield (
        f"report version {found.version}" + (", unmasked" if found.version == 1 else ""),
        {
            **shown,
            "serial (unsigned)": found.serial,
            "signature (r ‖ s)": found.signature,
        },
    )
    yield "guest policy", policy_claims(found.policy)
    yield "PEK certificate", hygon_rows(found.pek)


def _hygon_dcu(raw: bytes) -> Sections:
    from attestation.hygon_dcu.report import parse

    found = parse(raw)
    yield (
        "report",
        {
            "version": found.version,
            "chip_id": found.chip_id,
            "user_data": found.fields["user_data"],
            "measure": found.fields["measure"],
            "reserved": found.fields["reserved"],
            "sig_usage": f"{found.sig_usage:#x}",
            "sig_algo": found.sig_algo,
            "signature (r ‖ s)": found.signature,
        },
    )


def _azure(raw: bytes) -> Sections:
    from attestation.azure_vtpm import hcl
    from attestation.azure_vtpm.verifier import parse

    found = parse(raw)
    blob = hcl.parse(found.blob)
    yield (
        "paravisor's report (HCL)",
        {
            "hardware": blob.report_type,
            "report data it must have": blob.report_data,
            "attestation key": f"RSA {blob.ak.key_size} bits",
        },
    )
    yield "runtime claims", {name: value for name, value in blob.claims.items() if name != "keys"}
    if blob.report_type is hcl.ReportType.SNP:
        yield from _snp(blob.hardware_report)
    else:
        yield "TDREPORT (local)", {"report_data": blob.td_report_data, "mr_td": blob.td_mrtd}
    if found.td_quote is not None:
        yield from _PARSE_TDX(found.td_quote)
    if found.quote is not None:
        yield from tpm_quote(found.quote.message, found.quote.pcrs)


def tpm_quote(message: bytes, pcrs: tuple[bytes, ...]) -> Sections:
    """Return the tables of one TPMS_ATTEST and the PCR values beside it."""
    from attestation.tpm2.quote import parse

    yield "TPM quote", parse(message, code="tpm2.quote")
    yield "PCR values beside it", Grid(headings=("PCR", "value"), rows=tuple(enumerate(pcrs)))


def _tpm2(raw: bytes) -> Sections:
    from attestation.tpm2.verifier import parse

    key, found = parse(raw)
    size = getattr(key, "key_size", "")
    yield "attestation key", {"type": type(key).__name__.lstrip("_"), "bits": size}
    yield from tpm_quote(found.message, found.pcrs)


def _nitro(raw: bytes) -> Sections:
    from attestation.aws_nitro.document import parse
    from attestation.x509 import load_certificate

    found = parse(raw)
    yield (
        "document",
        {
            "module_id": found.module_id,
            "timestamp": when(found.timestamp_ms // 1000),
            "user_data": found.user_data,
            "nonce": found.nonce,
            "public_key": found.public_key,
        },
    )
    yield "PCRs", Grid(headings=("PCR", "value"), rows=tuple(found.pcrs.items()))
    for der in (found.certificate, *reversed(found.cabundle)):
        cert = load_certificate(der, what="certificate", code="aws-nitro.cert")
        yield "certificate", certificate_rows(cert)


def _arm_cca(raw: bytes) -> Sections:
    from attestation.arm_cca.token import parse

    platform_token, platform, realm_token, realm = parse(raw)
    yield (
        f"platform token, COSE algorithm {platform_token.algorithm}",
        {
            **_members(platform, without="components"),
            "lifecycle": f"{platform.lifecycle:#06x}",
        },
    )
    rows = tuple((c.kind, c.version, c.value, c.signer) for c in platform.components)
    yield "software components", Grid(headings=("type", "version", "value", "signer"), rows=rows)
    yield f"realm token, COSE algorithm {realm_token.algorithm}", realm


def _virtcca(raw: bytes) -> Sections:
    from attestation.huawei_virtcca.evidence import parse

    found = parse(raw)
    yield f"confidential VM token, COSE algorithm {found.cvm.algorithm}", found.claims
    yield (
        "platform token",
        {
            "present": found.platform is not None,
            "challenge": found.challenge,
        },
    )
    for data in found.device_certificates:
        yield from certificates(data)


def _itrustee(raw: bytes) -> Sections:
    from attestation.huawei_itrustee import legacy
    from attestation.huawei_itrustee.report import AkCertificate, parse
    from attestation.x509 import load_certificate

    if raw.lstrip()[:1] != b"{":
        binary = legacy.parse(raw)
        yield (
            "binary report of earlier releases",
            {
                **_members(binary, without="buffers"),
                **{f"{tag:#x}": value for tag, value in binary.buffers.items()},
            },
        )
        return
    found = parse(raw)
    ak = found if isinstance(found, AkCertificate) else found.ak
    if not isinstance(found, AkCertificate):
        yield "report", _members(found, without="ak")
    if isinstance(ak, AkCertificate):
        shown = _members(ak, without="key")
        yield "attestation key", {**shown, "ak_pub": ak.key.table}
    der = ak.device_certificate if isinstance(ak, AkCertificate) else ak
    cert = load_certificate(der, what="certificate", code="huawei-itrustee.cert")
    yield (
        "certificate of the device" if isinstance(ak, AkCertificate) else "certificate of the key",
        certificate_rows(cert),
    )


def _ascend(raw: bytes) -> Sections:
    yield "no public format", {"bytes": raw}


def _members(value: object, *, without: str = "") -> dict[str, object]:
    names: Mapping[str, object] = getattr(type(value), "__dataclass_fields__", {})
    return {name: getattr(value, name) for name in names if name != without}


def _fields(found: Mapping[str, bytes]) -> dict[str, object]:
    return {
        name: int.from_bytes(value, "little") if name in _NUMBERS else value
        for name, value in found.items()
    }


def _bits(word: int, names: Mapping[int, str]) -> dict[str, object]:
    return {f"bit {bit} {name}": word >> bit & 1 for bit, name in names.items()}


_PARSE_TDX: Final = _intel(0x81, EvidenceKind.INTEL_TDX)

KINDS: Final[Mapping[EvidenceKind, Reader]] = {
    EvidenceKind.SIMULATED: _simulated,
    EvidenceKind.INTEL_TDX: _PARSE_TDX,
    EvidenceKind.INTEL_SGX: _intel(0x00, EvidenceKind.INTEL_SGX),
    EvidenceKind.AZURE_VTPM: _azure,
    EvidenceKind.AMD_SNP: _snp,
    EvidenceKind.HYGON_CSV: _hygon_csv,
    EvidenceKind.HYGON_DCU: _hygon_dcu,
    EvidenceKind.NVIDIA_NVSWITCH: _switch,
    EvidenceKind.NVIDIA_GPU: _nvidia,
    EvidenceKind.AWS_NITRO: _nitro,
    EvidenceKind.TPM2: _tpm2,
    EvidenceKind.ARM_CCA: _arm_cca,
    EvidenceKind.HUAWEI_VIRTCCA: _virtcca,
    EvidenceKind.HUAWEI_ITRUSTEE: _itrustee,
    EvidenceKind.ASCEND_NPU: _ascend,
}
"""Every kind, in the order they are guessed in: an HCL blob before the report inside it."""

GUESSES: Final = tuple(kind for kind in KINDS if kind is not EvidenceKind.ASCEND_NPU)
