"""Hygon DCU: from the bytes of a report to claims.

It proves that a genuine DCU with this chip id answered this nonce with this firmware digest.
The format says nothing about debugging, modes or the link to the host, and what `measure` covers
is not published: it proves less than other accelerators' evidence. Never checked against real
hardware evidence.

Source: openanolis/csv-rs `src/api/dcu`; docs/attestation/hygon-dcu.md.
"""

from typing import Final

from attestation.claims import Claims, Tier
from attestation.errors import Finding, untrusted
from attestation.evidence import Collateral, EvidenceKind
from attestation.hygon.certificate import Certificate, Usage, is_signed_by
from attestation.hygon.chain import NO_END, Chain, endorse, gather
from attestation.hygon.roots import Hrk

from .report import Report, parse

_CODE: Final = "hygon-dcu"
_VERSIONS: Final = frozenset({1})


class HygonDcuVerifier:
    """Verifies reports whose chain begins at a pinned root key."""

    def __init__(self, roots: tuple[Hrk, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`; nothing in this format depends on `now`.

        Collateral: `hsk-cek`, `hsk`, `cek`, `cert-chain` (those of several devices may be mixed),
        `hrk` (refused unless it is the pin).
        """
        del now
        # (1) Parse.
        report = parse(raw)
        pool = gather(collateral, self._roots, also=frozenset(), code=_CODE)
        if report.sig_usage == Usage.PEK:
            # Whatever a PEK signs is a CPU's, and this must never pass for an accelerator's.
            required, found = "an accelerator's (not a PEK's)", f"{report.sig_usage:#x}"
            raise untrusted(f"{_CODE}.signature.usage", "sig_usage", required, found)

        # (2) Authenticate and endorse: report ← CEK ← HSK ← pinned HRK.
        def check(cek: Certificate) -> None:
            if not is_signed_by(cek.point, Usage.CEK.uid, report.signed, report.signature):
                raise untrusted(f"{_CODE}.signature", "report signature", "by a CEK", "wrong")

        chain = endorse(pool, self._roots, check, code=_CODE)

        # (3) Claims.
        return _claims(report, chain)


def _claims(report: Report, chain: Chain) -> Claims:
    refused: tuple[Finding, ...] = ()
    if report.version not in _VERSIONS:
        known = ", ".join(map(str, sorted(_VERSIONS)))
        refused = (Finding(f"{_CODE}.version", "report version", known, str(report.version)),)
    return Claims(
        kind=EvidenceKind.HYGON_DCU,
        report_data=report.fields["user_data"],
        hardware_id=report.chip_id,
        measurements={"measure": report.fields["measure"]},
        debug=False,
        tier=Tier.TEE,
        valid_until=NO_END,
        details={
            "report_version": report.version,
            # No real report has shown these two; a policy can demand them (0x1004 and 4).
            "sig_usage": report.sig_usage,
            "sig_algo": report.sig_algo,
            "chip_id": report.chip_id,
            # The CEK does not name its chip: enrol both together.
            "cek": chain.hardware_id,
            "cek_version": chain.cek.version,
            "hsk_key_id": chain.hsk.key_id.hex(),
            "reserved": report.fields["reserved"].hex() if any(report.fields["reserved"]) else "",
        },
        refused=refused,
    )
