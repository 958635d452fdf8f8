"""Find out how patched the platform of an authentic quote is.

Everything here adds to one `Inquiry`: what is `refused` under every policy, what is
`unchecked` for want of current collateral, and the status words of the parts. A signature that
is wrong raises.

Source: Intel TDX DCAP Quote Verification, "TCB status evaluation"; docs/spec/appraisal.md §4.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from attestation.claims import Status
from attestation.errors import Finding, untrusted
from attestation.layout import le
from attestation.x509 import Certificate, Crl, check_crl, crl_window, is_revoked, path_to_anchor

from .collateral import Delivered, SignedJson, verify_p256
from .pck import Pck, common_name
from .quote import Body, Quote
from .tcb import (
    REVOKED,
    UP_TO_DATE,
    Level,
    QeIdentity,
    TcbInfo,
    level_by_svn,
    parse_qe_identity,
    parse_tcb_info,
    worst,
)

_TCB_SIGNING_NAME: Final = "Intel SGX TCB Signing"


@dataclass(slots=True, kw_only=True)
class Inquiry:
    """What accumulates while a quote is looked at."""

    kind: str
    now: int
    quote: Quote
    pck: Pck
    delivered: Delivered
    anchor: Certificate
    valid_until: int
    root_crl: Crl | None = None
    refused: list[Finding] = field(default_factory=list)
    unchecked: list[Finding] = field(default_factory=list)
    ratchets: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    advisories: set[str] = field(default_factory=set)
    evaluation_numbers: list[int] = field(default_factory=list)

    @property
    def is_td(self) -> bool:
        """Whether the quote is a trust domain's."""
        return self.quote.body_type is not Body.ENCLAVE

    def until(self, *instants: int) -> None:
        """Let the verdict end no later than any of these."""
        self.valid_until = min(self.valid_until, *instants)

    def miss(self, code: str, claim: str, required: str, found: str) -> None:
        """Note what could not be checked."""
        self.unchecked.append(Finding(f"{self.kind}.{code}", claim, required, found))

    def refuse(self, code: str, claim: str, required: str, found: str) -> None:
        """Note what no policy can accept."""
        self.refused.append(Finding(f"{self.kind}.{code}", claim, required, found))

    def take(self, part: str, level: Level) -> None:
        """Note the status of one part; of two, the worse."""
        known = self.statuses.get(part, level.status)
        self.statuses[part] = worst((known, level.status))
        self.advisories.update(level.advisories)


def current_crl(inquiry: Inquiry, issuer: Certificate, name: str) -> Crl | None:
    """Return the newest list that `issuer` signed, reporting when there is none or it is old."""
    code = f"{inquiry.kind}.revocation.{name}"
    ours = [crl for crl in inquiry.delivered.crls if crl.issuer == issuer.subject]
    if not ours:
        inquiry.miss(f"revocation.{name}", name, f"a CRL of {issuer.subject}", "none")
        return None
    for crl in ours:
        check_crl(crl, issuer, what=name, code=code)
    newest = max(ours, key=lambda crl: crl.this_update)
    inquiry.unchecked += crl_window(newest, now=inquiry.now, what=name, code=code)
    inquiry.until(newest.next_update)
    inquiry.ratchets[f"intel/crl/{common_name(issuer)}"] = newest.this_update
    return newest


def judge_revocation(
    inquiry: Inquiry, checks: Sequence[tuple[Certificate, Crl | None, str]]
) -> None:
    """Refuse each certificate that its issuer's list, where there is one, names."""
    for cert, crl, name in checks:
        if crl is not None and is_revoked(crl, cert):
            inquiry.refuse(f"{name}.revoked", cert.subject, "not revoked", f"{cert.serial:x}")


def _is_authentic(inquiry: Inquiry, document: SignedJson, code: str) -> bool:
    """Return whether the document is authentic now; raise if its signature is nobody's we trust.

    A signing certificate outside its validity leaves the document unverified.
    """
    signers = [cert for cert in inquiry.delivered.pool if common_name(cert) == _TCB_SIGNING_NAME]
    if not signers:
        inquiry.miss(f"{code}.signer", f"{code} signer", _TCB_SIGNING_NAME, "no certificate")
        return False
    for signer in sorted(signers, key=lambda cert: -cert.not_after):
        key = signer.key
        if not isinstance(key, ec.EllipticCurvePublicKey) or not verify_p256(
            key, document.signature, document.raw
        ):
            continue
        if not signer.not_before <= inquiry.now <= signer.not_after:
            # The chain's signatures still have to hold for the finding to be only about time.
            at = min(max(inquiry.now, signer.not_before), signer.not_after)
            found = f"{signer.not_before} … {signer.not_after}"
            inquiry.miss(
                f"{code}.signer-window", f"{code} signer", f"valid at {inquiry.now}", found
            )
        else:
            at = inquiry.now
        path = path_to_anchor(
            signer,
            inquiry.delivered.pool,
            (inquiry.anchor,),
            now=at,
            what=f"{code} signer",
            code=f"{inquiry.kind}.{code}.signer",
        )
        inquiry.until(*(cert.not_after for cert in path))
        judge_revocation(inquiry, ((signer, inquiry.root_crl, "tcb-signing"),))
        return True
    raise untrusted(
        f"{inquiry.kind}.{code}.signature", f"{code} signature", f"by {_TCB_SIGNING_NAME}", "wrong"
    )


def _window(inquiry: Inquiry, code: str, issued: int, next_update: int) -> None:
    if not issued <= inquiry.now <= next_update:
        found = f"{issued} … {next_update}"
        inquiry.miss(f"{code}.window", code, f"current at {inquiry.now}", found)
    inquiry.until(next_update)


def judge_tcb_info(inquiry: Inquiry) -> bool:
    """Judge platform and module; return whether a relaunch of the TD is advised."""
    wanted = ("TDX" if inquiry.is_td else "SGX", inquiry.pck.fmspc, inquiry.pck.pce_id)
    infos: list[tuple[TcbInfo, SignedJson]] = []
    found = "none"
    for document in inquiry.delivered.tcb_infos:
        info = parse_tcb_info(document.raw, kind=inquiry.kind)
        if (info.id, info.fmspc, info.pce_id) == wanted:
            infos.append((info, document))
        found = f"{info.id} TCB info of FMSPC {info.fmspc.hex()}, PCEID {info.pce_id.hex()}"
    if not infos:
        name, fmspc, pce_id = wanted
        required = f"{name} TCB info of FMSPC {fmspc.hex()}, PCEID {pce_id.hex()}"
        code = "tcb-info.platform" if inquiry.delivered.tcb_infos else "tcb-info.missing"
        inquiry.miss(code, "TCB info", required, found)
        return False
    info, document = max(infos, key=lambda each: each[0].issued)
    if not _is_authentic(inquiry, document, "tcb-info"):
        return False
    _window(inquiry, "tcb-info", info.issued, info.next_update)
    inquiry.evaluation_numbers.append(info.evaluation_number)
    series = f"intel/tcb-info/{info.id}/{info.fmspc.hex()}"
    inquiry.ratchets[series] = info.evaluation_number
    inquiry.ratchets[f"{series}/issued"] = info.issued
    if inquiry.is_td:
        return _judge_td(inquiry, info)
    _judge_platform(inquiry, info, None)
    return False


def _judge_td(inquiry: Inquiry, info: TcbInfo) -> bool:
    """Judge the module a TD was launched under and, if it changed since, the one it runs under."""
    quote = inquiry.quote
    launched = quote.body["tee_tcb_svn"]
    _judge_platform(inquiry, info, launched)
    at_launch = _judge_module(inquiry, info, launched)
    if quote.body_type is not Body.TD15 or quote.body["tee_tcb_svn_2"] == launched:
        return False
    running = quote.body["tee_tcb_svn_2"]
    _judge_platform(inquiry, info, running)
    since = _judge_module(inquiry, info, running)
    if at_launch is None or since is None:
        return False
    return at_launch.status != UP_TO_DATE and since.status == UP_TO_DATE


def _judge_platform(inquiry: Inquiry, info: TcbInfo, tee_tcb_svn: bytes | None) -> None:
    pck = inquiry.pck
    level = info.platform_level(pck, tee_tcb_svn)
    if level is None:
        svn = "" if tee_tcb_svn is None else f", TEE_TCB_SVN {tee_tcb_svn.hex()}"
        found = f"{bytes(pck.components).hex()}, PCESVN {pck.pce_svn}{svn}"
        inquiry.refuse("tcb.no-level", "platform TCB", "one of Intel's levels", found)
        return
    inquiry.take("platform", level)


def _judge_module(inquiry: Inquiry, info: TcbInfo, tee_tcb_svn: bytes) -> Level | None:
    """Judge the TDX module; a level only for modules that carry their own identity."""
    body = inquiry.quote.body
    signer, attributes = body["mr_signer_seam"], body["seam_attributes"]
    identity = info.module_identity(tee_tcb_svn)
    if identity is None:
        required = "an identity in the TCB info"
        inquiry.refuse("module.unknown", "TDX module", required, f"TDX_{tee_tcb_svn[1]:02x}")
        return None
    if not identity.matches(signer, attributes):
        found = f"MRSIGNERSEAM {signer.hex()}, attributes {attributes.hex()}"
        inquiry.refuse("module.identity", "TDX module", f"as {identity.id or 'tdxModule'}", found)
        return None
    if not tee_tcb_svn[1]:
        return None
    level = level_by_svn(identity.levels, tee_tcb_svn[0])
    if level is None:
        found = f"{identity.id} SVN {tee_tcb_svn[0]}"
        inquiry.refuse("module.no-level", "TDX module TCB", "one of Intel's levels", found)
        return None
    inquiry.take("module", level)
    return level


def judge_qe(inquiry: Inquiry) -> None:
    """Judge the quoting enclave by the identity Intel publishes for this TEE."""
    report = inquiry.quote.qe_report
    wanted = "TD_QE" if inquiry.is_td else "QE"
    identities: list[tuple[int, QeIdentity, SignedJson]] = []
    found = "none"
    for document in inquiry.delivered.qe_identities:
        identity = parse_qe_identity(document.raw, kind=inquiry.kind)
        found = identity.id
        if identity.id == wanted:
            identities.append((identity.issued, identity, document))
    if not identities:
        code = "qe-identity.other" if inquiry.delivered.qe_identities else "qe-identity.missing"
        inquiry.miss(code, "QE identity", wanted, found)
        return
    _, identity, document = max(identities, key=lambda each: each[0])
    if not _is_authentic(inquiry, document, "qe-identity"):
        return
    _window(inquiry, "qe-identity", identity.issued, identity.next_update)
    inquiry.evaluation_numbers.append(identity.evaluation_number)
    inquiry.ratchets[f"intel/qe-identity/{identity.id}"] = identity.evaluation_number
    inquiry.ratchets[f"intel/qe-identity/{identity.id}/issued"] = identity.issued
    wrong = identity.mismatch(report)
    if wrong is not None:
        name, required, seen = wrong
        # A report that Intel's quoting enclave did not make authenticates nothing.
        raise untrusted(f"{inquiry.kind}.qe.identity", f"QE {name}", required, seen)
    level = level_by_svn(identity.levels, le(report["isv_svn"]))
    if level is None:
        svn = str(le(report["isv_svn"]))
        inquiry.refuse("qe.no-level", "QE TCB", "one of Intel's levels", f"ISVSVN {svn}")
        return
    inquiry.take("qe", level)


def merged_status(inquiry: Inquiry) -> Status:
    """Return the merged status, only if every part of it is known."""
    parts = inquiry.statuses
    known = [parts[name] for name in ("platform", "module", "qe") if name in parts]
    complete = "platform" in parts and "qe" in parts
    merged = worst(known) if complete else None
    if REVOKED in known:
        inquiry.refuse("tcb.revoked", "TCB status", "not Revoked", REVOKED)
    return Status(
        tcb=merged,
        platform=parts.get("platform"),
        module=parts.get("module"),
        qe=parts.get("qe"),
    )
