"""What a vendor must be asked about one piece of evidence: requests, and nothing is sent.

Everything read here is untrusted: identifiers are taken from evidence before it is verified, so
each has its own narrow form before it becomes part of a URL, and the host is always configured.
What a node delivered itself is paired with the request it stands for, so that its age can be
compared.

Source: Intel PCS API v4; AMD 57230; NVIDIA RIM service v1, RFC 6960; docs/collateral.md §2.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from cryptography.hazmat.primitives.serialization import Encoding

from attestation.amd_snp import certificates as amd
from attestation.amd_snp import container, report
from attestation.amd_snp.container import add_missing
from attestation.amd_snp.product import Product, Tcb, product_of
from attestation.amd_snp.vek import VekIdentity, VekKind
from attestation.azure_vtpm import hcl
from attestation.azure_vtpm import verifier as azure
from attestation.dcap import collateral as dcap
from attestation.dcap import pck, quote
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.hygon_csv import report as csv
from attestation.hygon_dcu import report as dcu
from attestation.x509 import Certificate, load_certificates

from . import nvidia
from .request import BINARY, JSON, PEM, Request

_SERIAL: Final = re.compile("[A-Za-z0-9]{1,64}")
_PCK_CHAIN: Final = 5
_CA: Final = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
_SIGNING_KEY: Final = (2, 0b111)
_TURIN_HWID: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Where each vendor's service is; no slash at the end."""

    intel: str = "https://api.trustedservices.intel.com"
    """A PCCS serves the same paths."""
    intel_root_crl: str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
    amd: str = "https://kdsintf.amd.com"
    hygon: str = "https://cert.hygon.cn"
    nvidia_rim: str = "https://rim.attestation.nvidia.com"
    nvidia_ocsp: str = "https://ocsp.ndis.nvidia.com/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one piece of evidence calls for."""

    missing: tuple[Request, ...] = ()
    delivered: tuple[tuple[Request, bytes], ...] = ()
    """What the node brought, beside the request whose answer it stands for."""


def plan(evidence: Evidence, collateral: Collateral, urls: Urls) -> Plan:
    """Return what must be asked, and what was delivered already.

    Args:
        evidence: untrusted; kinds whose vendor has no service give an empty plan.
        collateral: untrusted; what came with the evidence.
        urls: where to ask.

    Raises:
        AttestationError: evidence or collateral does not parse; its verifier says the same.
    """
    planner = _PLANNERS.get(evidence.kind)
    return Plan() if planner is None else planner(evidence, collateral, urls)


def second(evidence: Evidence, collateral: Collateral, urls: Urls) -> Plan:
    """Return what must be asked once the first plan's answers are among `collateral`.

    Raises:
        AttestationError: collateral does not parse.
    """
    if evidence.kind in (EvidenceKind.NVIDIA_GPU, EvidenceKind.NVIDIA_NVSWITCH):
        return Plan(missing=nvidia.statuses(collateral, urls.nvidia_ocsp))
    return Plan()


def _intel(evidence: Evidence, collateral: Collateral, urls: Urls) -> Plan:
    kind = evidence.kind.value
    tee_type = quote.TDX if evidence.kind is EvidenceKind.INTEL_TDX else quote.SGX
    found = quote.parse(evidence.raw, tee_type=tee_type, kind=kind)
    given = dcap.sort(collateral, kind=kind)
    pool = list(given.pool)
    if found.cert_type == _PCK_CHAIN:
        pool += load_certificates(found.cert_data, what="PCK chain", code=f"{kind}.pck")
    leaf = next((each for each in pool if pck.common_name(each) == pck.LEAF_NAME), None)
    tee = "tdx" if tee_type == quote.TDX else "sgx"
    base = f"{urls.intel}/{tee}/certification/v4"
    asked = []
    if leaf is not None:
        fmspc = pck.read_pck(leaf, kind=kind).fmspc.hex()
        url = f"{base}/tcb?fmspc={fmspc}"
        raws = [each.raw for each in given.tcb_infos]
        asked.append((Request.get(Role.TCB_INFO, url, JSON, chain="TCB-Info-Issuer-Chain"), raws))
        if (authority := _authority(leaf)) is not None:
            url = f"{urls.intel}/sgx/certification/v4/pckcrl?ca={authority}&encoding=der"
            request = Request.get(Role.PCK_CRL, url, BINARY, chain="SGX-PCK-CRL-Issuer-Chain")
            asked.append((request, _crls(given, root=False)))
    url = f"{base}/qe/identity"
    header = "SGX-Enclave-Identity-Issuer-Chain"
    raws = [each.raw for each in given.qe_identities]
    asked.append((Request.get(Role.QE_IDENTITY, url, JSON, chain=header), raws))
    root = Request.get(Role.ROOT_CRL, urls.intel_root_crl, BINARY)
    asked.append((root, _crls(given, root=True)))
    return Plan(
        missing=tuple(request for request, have in asked if not have),
        delivered=tuple((request, each) for request, have in asked for each in have),
    )


def _authority(leaf: Certificate) -> str | None:
    return next((ca for name, ca in _CA.items() if f"CN={name}" in leaf.issuer), None)


def _crls(given: dcap.Delivered, *, root: bool) -> list[bytes]:
    return [
        each.crl.public_bytes(Encoding.DER)
        for each in given.crls
        if ("Intel SGX Root CA" in each.issuer) is root
    ]


def _amd(raw: bytes, collateral: Collateral, urls: Urls) -> Plan:
    delivery = container.unwrap(raw)
    found = report.parse(delivery.report)
    roles = (Role.VEK, Role.ASK, Role.ARK, Role.CERT_CHAIN)
    files = [data for role in roles for data in collateral.all(role)]
    pool = [
        cert for data in (*files, *delivery.certificates) for cert in amd.load_certificates(data)
    ]
    places = {amd.place(cert): cert for cert in pool}
    vek = places.get(Role.VEK)
    if found.cpuid is not None:
        product = product_of(found.cpuid)
    elif vek is not None:
        product = VekIdentity.read(vek).product
    else:
        return Plan()  # version 2 does not name its product, and there is no default
    shift, mask = _SIGNING_KEY
    kind = VekKind.VLEK if found.signer_info >> shift & mask == 1 else VekKind.VCEK
    base = f"{urls.amd}/{'vlek' if kind is VekKind.VLEK else 'vcek'}/v1/{product.value}"
    missing = []
    # A VLEK is handed to the cloud provider only; a masked chip has no name to ask for.
    if vek is None and kind is VekKind.VCEK and any(found.chip_id):
        missing.append(Request.get(Role.VEK, _vcek(base, found, product), BINARY))
    if Role.ASK not in places:
        missing.append(Request.get(Role.CERT_CHAIN, f"{base}/cert_chain", PEM))
    crl = Request.get(Role.SNP_CRL, f"{base}/crl", BINARY)
    have = collateral.all(Role.SNP_CRL) or delivery.crls
    missing += [] if have else [crl]
    return Plan(missing=tuple(missing), delivered=tuple((crl, each) for each in have))


def _vcek(base: str, found: report.Report, product: Product) -> str:
    tcb = Tcb.parse(found.reported_tcb, product)
    levels = {
        "fmcSPL": tcb.fmc,
        "blSPL": tcb.bootloader,
        "teeSPL": tcb.tee,
        "snpSPL": tcb.snp,
        "ucodeSPL": tcb.microcode,
    }
    query = urlencode({name: f"{level:02}" for name, level in levels.items() if level is not None})
    chip = found.chip_id[:_TURIN_HWID] if product is Product.TURIN else found.chip_id
    return f"{base}/{chip.hex()}?{query}"


def _hygon(serial: str, collateral: Collateral, urls: Urls) -> Plan:
    """Plan for a chip by its serial number: a CPU's is not signed, an accelerator's is its id."""
    if any(collateral.all(role) for role in (Role.HSK_CEK, Role.HSK, Role.CEK, Role.CERT_CHAIN)):
        return Plan()
    if not _SERIAL.fullmatch(serial):
        return Plan()
    url = f"{urls.hygon}/hsk_cek?snumber={serial}"
    return Plan(missing=(Request.get(Role.HSK_CEK, url, BINARY),))


def _azure(raw: bytes, collateral: Collateral, urls: Urls) -> Plan:
    """Plan for the hardware inside: the paravisor's SNP report, or the TD quote beside it."""
    found = azure.parse(raw)
    blob = hcl.parse(found.blob)
    if blob.report_type is hcl.ReportType.SNP:
        embedded = [] if found.vcek is None else [(Role.CERT_CHAIN, found.vcek)]
        return _amd(blob.hardware_report, add_missing(collateral, embedded), urls)
    if found.td_quote is None:
        return Plan()  # its verifier says what is missing; there is nothing to ask about
    td = Evidence(EvidenceKind.INTEL_TDX, found.td_quote)
    return _intel(td, azure.for_td(collateral), urls)


def _nvidia(evidence: Evidence, collateral: Collateral, urls: Urls) -> Plan:
    return Plan(missing=nvidia.manifests(evidence, collateral, urls.nvidia_rim))


_Planner = Callable[[Evidence, Collateral, Urls], Plan]
_PLANNERS: Final[Mapping[EvidenceKind, _Planner]] = {
    EvidenceKind.INTEL_TDX: _intel,
    EvidenceKind.INTEL_SGX: _intel,
    EvidenceKind.AMD_SNP: lambda evidence, given, urls: _amd(evidence.raw, given, urls),
    EvidenceKind.HYGON_CSV: lambda evidence, given, urls: _hygon(
        csv.parse(evidence.raw).serial, given, urls
    ),
    EvidenceKind.HYGON_DCU: lambda evidence, given, urls: _hygon(
        dcu.parse(evidence.raw).chip_id, given, urls
    ),
    EvidenceKind.AZURE_VTPM: lambda evidence, given, urls: _azure(evidence.raw, given, urls),
    EvidenceKind.NVIDIA_GPU: _nvidia,
    EvidenceKind.NVIDIA_NVSWITCH: _nvidia,
}
