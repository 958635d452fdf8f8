"""Intel TDX trust domains.

Proves: a trust domain launched with this MRTD and configuration, whose run-time registers held
these values when the quote was made, on a genuine platform and module of this patch level.
Does not prove: what the registers mean (that takes the event log), nor who owns the machine.

Source: Intel TDX Module Base Architecture Specification §"TD attributes", ABI reference
(ATTRIBUTES, XFAM, TDREPORT); `attestation.dcap`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attestation.claims import Claims, Tier
from attestation.dcap.quote import TDX, Quote
from attestation.dcap.verify import Verified, verify
from attestation.errors import Finding
from attestation.eventlog.bind import bind_tdx
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.layout import le
from attestation.x509 import Certificate

_KIND: Final = EvidenceKind.INTEL_TDX

_TUD: Final = 0xFF
"""TD under debug: bit 0 and its reserved and profiling neighbours; any of them is debug."""
_LASS: Final = 1 << 27
_SEPT_VE_DISABLE: Final = 1 << 28
_MIGRATABLE: Final = 1 << 29
_PKS: Final = 1 << 30
_KEY_LOCKER: Final = 1 << 31
_PERFMON: Final = 1 << 63
_DEFINED: Final = _TUD | _LASS | _SEPT_VE_DISABLE | _MIGRATABLE | _PKS | _KEY_LOCKER | _PERFMON
_XFAM_MUST: Final = 0x3
"""x87 and SSE state are architecturally always on."""
_XFAM_MAY: Final = 0x6DBE7

_MEASURED: Final[Mapping[str, str]] = {
    "mrtd": "mr_td",
    "rtmr0": "rtmr0",
    "rtmr1": "rtmr1",
    "rtmr2": "rtmr2",
    "rtmr3": "rtmr3",
    "mrseam": "mr_seam",
    "mrsignerseam": "mr_signer_seam",
    "mrconfigid": "mr_config_id",
    "mrowner": "mr_owner",
    "mrownerconfig": "mr_owner_config",
    "mrservicetd": "mr_service_td",
}
"""Names of measurements and the fields they come from; the last only in TD15 quotes."""


class IntelTdxVerifier:
    """Verifies quotes of trust domains."""

    def __init__(self, roots: Sequence[Certificate]) -> None:
        self._roots = tuple(roots)

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`; collateral as `attestation.dcap.collateral` lists it.

        An event log is believed only if it replays to the quoted registers; one that does not
        is untrusted, and so is the evidence it came with.
        """
        found = verify(
            raw, collateral, tee_type=TDX, kind=_KIND.value, anchors=self._roots, now=now
        )
        body = found.quote.body
        attributes = le(body["td_attributes"])
        details = _details(found)
        if logs := collateral.all(Role.EVENT_LOG):
            rtmrs = [body[f"rtmr{index}"] for index in range(4)]
            details |= bind_tdx(logs, rtmrs, code=_KIND.value)
        return Claims(
            kind=_KIND,
            report_data=body["report_data"],
            hardware_id=found.pck.hardware_id,
            measurements={name: body[field] for name, field in _MEASURED.items() if field in body},
            debug=bool(attributes & _TUD),
            tier=Tier.TEE,
            valid_until=found.valid_until,
            status=found.status,
            details=details,
            ratchets=found.ratchets,
            conditional=_service_td(found.quote),
            refused=(*_refusals(found.quote), *found.refused),
            unchecked=found.unchecked,
        )


def _details(found: Verified) -> dict[str, object]:
    body = found.quote.body
    attributes = le(body["td_attributes"])
    details: dict[str, object] = {
        **found.details(),
        "tee_tcb_svn": body["tee_tcb_svn"],
        "td_attributes": body["td_attributes"],
        "seam_attributes": body["seam_attributes"],
        "xfam": body["xfam"],
        "sept_ve_disable": bool(attributes & _SEPT_VE_DISABLE),
        "pks": bool(attributes & _PKS),
        "key_locker": bool(attributes & _KEY_LOCKER),
        "relaunch_advised": found.relaunch_advised,
    }
    if "tee_tcb_svn_2" in body:
        details["tee_tcb_svn_2"] = body["tee_tcb_svn_2"]
    return details


def _service_td(quote: Quote) -> dict[str, Finding]:
    """A service TD can read or move the trust domain: only one that a policy names may."""
    digest = quote.body.get("mr_service_td", b"")
    if not any(digest):
        return {}
    code = f"{_KIND.value}.service-td"
    return {"mrservicetd": Finding(code, "MRSERVICETD", "0, or a reference value", digest.hex())}


def _refusals(quote: Quote) -> list[Finding]:
    """Return what no policy can accept about a trust domain."""
    body = quote.body
    attributes, xfam = le(body["td_attributes"]), le(body["xfam"])
    shown = f"{attributes:#018x}"
    checks = (
        (not attributes & _TUD, "debug", "TDATTRIBUTES bits 0-7", "0"),
        (bool(attributes & _SEPT_VE_DISABLE), "sept-ve-disable", "SEPT_VE_DISABLE", "1"),
        (not attributes & _MIGRATABLE, "migratable", "MIGRATABLE", "0"),
        (not attributes & _PERFMON, "perfmon", "PERFMON", "0"),
        (not attributes & ~_DEFINED, "td-attributes", "reserved TDATTRIBUTES", "0"),
    )
    found = [
        Finding(f"{_KIND.value}.{code}", claim, required, shown)
        for passed, code, claim, required in checks
        if not passed
    ]
    if xfam & _XFAM_MUST != _XFAM_MUST or xfam & ~_XFAM_MAY:
        required = f"bits 0 and 1, none outside {_XFAM_MAY:#x}"
        found.append(Finding(f"{_KIND.value}.xfam", "XFAM", required, f"{xfam:#x}"))
    for field, code in (("mr_signer_seam", "module-signer"), ("seam_attributes", "module-debug")):
        if any(body[field]):
            shown = body[field].hex()
            found.append(Finding(f"{_KIND.value}.{code}", field.upper(), "0 (Intel)", shown))
    return found
