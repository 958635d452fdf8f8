"""Azure confidential VMs: hardware report → paravisor's claims → attestation key → fresh quote.

Four links, each checked here or by the verifier of the hardware's own kind. What it proves rests
on the paravisor that the hardware report measures (`launch` or `mrtd`): a policy must name it.

Source: Microsoft, "Guest attestation for confidential VMs"; docs/attestation/azure-vtpm.md.
"""

from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestation import json_strict
from attestation.amd_snp.container import add_missing
from attestation.claims import Claims
from attestation.containers import json_bytes
from attestation.errors import (
    EvidenceUnsupportedError,
    Finding,
    malformed,
    untrusted,
    unverified,
)
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.tpm2 import ak, quote
from attestation.tpm2.quote import PCR_COUNT, SHA256_BANK, Quote, SignedQuote

from . import hcl
from .hcl import HclReport, ReportType
from .roots import AzureVtpmRoots

_CODE: Final = "azure-vtpm"
_VERSIONS: Final = frozenset({None, 0, 1, 2, "0", "1", "2"})
_KINDS: Final = {ReportType.SNP: EvidenceKind.AMD_SNP, ReportType.TDX: EvidenceKind.INTEL_TDX}

_NOT_FOR_TDX: Final = frozenset({Role.AK_CERT, Role.VEK, Role.ASK, Role.ARK, Role.SNP_CRL})


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureEvidence:
    """What agents of all versions deliver, decoded and not yet believed."""

    blob: bytes
    quote: SignedQuote | None
    vcek: bytes | None
    td_quote: bytes | None


class AzureVtpmVerifier:
    """Verifies SNP and TDX machines of Azure through the verifiers of those kinds."""

    def __init__(self, roots: AzureVtpmRoots) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`.

        `raw` is the agents' JSON (versions 0 to 2), or an HCL blob alone, which proves no
        freshness and is refused as unverified. Collateral is the hardware kind's, and
        optionally `ak-cert`.
        """
        # (1) Parse.
        evidence = parse(raw)
        blob = hcl.parse(evidence.blob)
        if evidence.quote is None:
            raise unverified(f"{_CODE}.quote.missing", "vTPM quote", "a quote", "none")
        # (2) Hardware: the report of the blob, or the quote over the same report data.
        hardware = self._hardware(blob, evidence, collateral, now=now)
        # (3) Bind: the hardware signed the hash of the claims that name the AK.
        if not compare_digest(hardware.report_data, blob.report_data):
            required, shown = blob.report_data.hex(), hardware.report_data.hex()
            raise untrusted(f"{_CODE}.claims-hash", "hardware report data", required, shown)
        # (4) Quote: that AK signed a nonce and every PCR of the SHA-256 bank.
        found = quote.verify(evidence.quote, blob.ak, code=f"{_CODE}.quote")
        bank, selected = found.attest.bank, len(found.pcrs)
        if (bank, selected) != (SHA256_BANK, PCR_COUNT):
            shown = f"{selected} of bank {bank:#06x}"
            raise untrusted(f"{_CODE}.quote.selection", "PCRs", "24 of the SHA-256 bank", shown)
        # (5) An AK certificate is no substitute for (2), but if there is one it must fit.
        subject = self._ak_certificate(blob, collateral, now=now)
        return _claims(hardware, blob, found, subject)

    def _hardware(
        self, blob: HclReport, evidence: AzureEvidence, collateral: Collateral, *, now: int
    ) -> Claims:
        verifier = self._roots.hardware(_KINDS[blob.report_type])
        if blob.report_type is ReportType.SNP:
            if evidence.td_quote is not None:
                raise malformed(f"{_CODE}.evidence.json", "td_quote", "absent with SNP", "present")
            embedded = [] if evidence.vcek is None else [(Role.CERT_CHAIN, evidence.vcek)]
            return verifier.verify(blob.hardware_report, add_missing(collateral, embedded), now=now)
        if evidence.td_quote is None:
            raise unverified(f"{_CODE}.td-quote.missing", "TD quote", "a quote", "none")
        claims = verifier.verify(evidence.td_quote, for_td(collateral), now=now)
        # A TDREPORT is MACed for its own platform only; the quote must say the same.
        local = (blob.td_report_data, blob.td_mrtd)
        signed = (claims.report_data, claims.measurements.get("mrtd"))
        if local != signed:
            raise untrusted(f"{_CODE}.td-report", "TDREPORT", "as the TD quote says", "another")
        return claims

    def _ak_certificate(self, blob: HclReport, collateral: Collateral, *, now: int) -> str | None:
        files = collateral.all(Role.AK_CERT)
        if not files:
            return None
        spki = blob.ak.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        path = ak.verify(spki, files, self._roots.ak, now=now, code=f"{_CODE}.ak-cert")
        return path.leaf.subject


def for_td(collateral: Collateral) -> Collateral:
    """Return what of a machine's collateral is about the TD quote."""
    return Collateral(tuple(item for item in collateral.items if item[0] not in _NOT_FOR_TDX))


def parse(raw: bytes) -> AzureEvidence:
    """Return the parts of agents' JSON, or of an HCL blob alone.

    Raises:
        EvidenceMalformedError: neither (codes `azure-vtpm.evidence.*`).
        EvidenceUnsupportedError: another version of the JSON.
    """
    if raw[:4] == hcl.MAGIC:
        return AzureEvidence(blob=raw, quote=None, vcek=None, td_quote=None)
    code = f"{_CODE}.evidence"
    doc = json_strict.parse_object(raw, what="Azure evidence", code=code)
    inner = doc.get("evidence")
    if isinstance(inner, dict):
        doc = inner
    version = doc.get("version")
    if isinstance(version, bool) or not isinstance(version, int | str | None):
        raise malformed(f"{code}.json", "version", "0 to 2", type(version).__name__)
    if version not in _VERSIONS:
        raise EvidenceUnsupportedError(
            Finding(f"{_CODE}.version", "evidence version", "0 to 2", str(version)[:32])
        )
    blob = _one_of(doc, "hcl_report", "report")
    signed = _one_of(doc, "tpm_quote", "quote")

    def optional(name: str) -> bytes | None:
        value = doc.get(name)
        if isinstance(value, str) and value.isascii() and value.startswith("-----BEGIN"):
            return value.encode()
        return None if value is None else json_bytes(value, what=name, code=code)

    return AzureEvidence(
        blob=json_bytes(blob, what="hcl_report", code=code),
        quote=None if signed is None else SignedQuote.of(signed, code=code),
        vcek=optional("vcek"),
        td_quote=optional("td_quote"),
    )


def _one_of(doc: dict[str, object], *names: str) -> object:
    """Return the one member that goes by either of its names; two would be ambiguous."""
    found = [doc[name] for name in names if name in doc]
    if len(found) > 1:
        raise malformed(f"{_CODE}.evidence.json", names[0], "once", "twice")
    return found[0] if found else None


def _claims(hardware: Claims, blob: HclReport, found: Quote, ak_subject: str | None) -> Claims:
    configuration = blob.claims.get("vm-configuration")
    runtime = configuration if isinstance(configuration, dict) else {}
    return replace(
        hardware,
        kind=EvidenceKind.AZURE_VTPM,
        report_data=found.attest.extra_data,
        measurements={
            **hardware.measurements,
            **{f"pcr{index}": value for index, value in found.pcrs.items()},
        },
        details={
            **hardware.details,
            **quote.details(found),
            "hardware": hardware.kind.value,
            "secure_boot": runtime.get("secure-boot"),
            "console_enabled": runtime.get("console-enabled"),
            "tpm_enabled": runtime.get("tpm-enabled"),
            "vm_configuration": runtime,
            "user_data": blob.claims.get("user-data"),
            "ak_subject": ak_subject,
        },
    )
