"""Hygon CSV: from the bytes of a report to claims.

It proves which software a genuine Hygon processor launched in an encrypted guest, and what the
guest had signed. Hygon publishes no expiry, no revocation and no status of firmware: a machine
is trusted by being enrolled, and distrusted by being denied.

Source: openanolis/csv-rs (formats, chain); GB/T 32918.2; docs/attestation/hygon-csv.md.
"""

from typing import Final

from attestation.claims import Claims, Tier
from attestation.errors import Finding, untrusted
from attestation.eventlog.bind import bind_csv
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.hygon.certificate import SM2_SIGN, Certificate, Usage, is_signed_by
from attestation.hygon.chain import NO_END, Chain, endorse, gather, has_signed
from attestation.hygon.roots import Hrk
from attestation.layout import le

from .report import Report, parse

_CODE: Final = "hygon-csv"
_FLAGS: Final = ("nodbg", "noks", "es", "nosend", "domain", "csv", "csv3", "asid_reuse")
"""Policy bits 0 to 7."""
_NUMBERS: Final = (
    ("hsk_version", 8, 4),
    ("cek_version", 12, 4),
    ("api_major", 16, 8),
    ("api_minor", 24, 8),
)
_UNUSED: Final = ("user_pubkey_digest", "vm_id", "vm_version")
"""Fields that are zero unless the guest's owner set them at launch."""
_WORD: Final = 4


class HygonCsvVerifier:
    """Verifies reports whose chain begins at a pinned root key."""

    def __init__(self, roots: tuple[Hrk, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`; nothing in this format depends on `now`.

        Collateral: `hsk-cek`, `hsk`, `cek`, `cert-chain` (certificates, several allowed), `hrk`
        (refused unless it is the pin), `event-log` (believed only if it replays to the report).
        """
        del now
        # (1) Parse, before anything is believed.
        report = parse(raw)
        pool = gather(collateral, self._roots, also=frozenset({Role.EVENT_LOG}), code=_CODE)

        # (2) Authenticate: the report's signature by the PEK inside it. Alone it proves nothing.
        _check_signature(report)

        # (3) Endorse: PEK ← CEK ← HSK ← pinned HRK.
        def check(cek: Certificate) -> None:
            if not has_signed(cek, report.pek):
                raise untrusted(f"{_CODE}.pek", "PEK signature", "by the delivered CEK", "not")

        chain = endorse(pool, self._roots, check, code=_CODE)

        # (4) Events, each log replayed against the report's registers first.
        logs = collateral.all(Role.EVENT_LOG)
        events: dict[str, object] = {}
        if report.version > 1 and logs:
            events = bind_csv(logs, report.fields, code=_CODE)

        # (5) Claims, with what is refused under every policy.
        return _claims(report, chain, events)


def _check_signature(report: Report) -> None:
    fields = report.fields
    stated = (le(fields["sig_usage"]), le(fields["sig_algo"]))
    if stated != (Usage.PEK, SM2_SIGN):
        required = f"usage {int(Usage.PEK):#x}, algorithm {SM2_SIGN}"
        raise untrusted(f"{_CODE}.signature.usage", "report signature", required, stated)
    if not is_signed_by(report.pek.point, Usage.PEK.uid, report.signed, report.signature):
        raise untrusted(f"{_CODE}.signature", "report signature", "by the PEK", "wrong")
    if report.mac_is_wrong:
        raise untrusted(f"{_CODE}.mac", "HMAC of PEK and serial number", "right", "wrong")
    if report.version == 1 and (word := _shifted(fields)):
        raise untrusted(f"{_CODE}.anonce", "unused fields", "zero", f"{word.hex()} repeated")


def _shifted(fields: dict[str, bytes]) -> bytes:
    """Return the word that fields meant to be zero are filled with, if they are.

    It is what a changed `anonce` leaves behind when the guest had these fields zero. Whoever
    prepares the guest can avoid it, so this catches the careless only.
    """
    whole = fields["user_pubkey_digest"]
    both = fields["vm_id"] + fields["vm_version"]
    for data in (whole, both):
        word = data[:_WORD]
        if any(word) and data == word * (len(data) // _WORD):
            return word
    return b""


def policy_claims(policy: int) -> dict[str, int]:
    """Return the guest policy bit by bit, names as in the specification with `policy_` before.

    `policy_encrypted_state` is ours: registers are encrypted, which both ES and CSV3 demand.
    """
    found = {f"policy_{name}": policy >> bit & 1 for bit, name in enumerate(_FLAGS)}
    for name, shift, width in _NUMBERS:
        found[f"policy_{name}"] = policy >> shift & ((1 << width) - 1)
    found["policy_encrypted_state"] = found["policy_es"] | found["policy_csv3"]
    return found


def _claims(report: Report, chain: Chain, events: dict[str, object]) -> Claims:
    fields = report.fields
    measurements = {"measure": fields["measure"]}
    refused: list[Finding] = []
    details: dict[str, object] = {
        "report_version": report.version,
        "policy": report.policy,
        **policy_claims(report.policy),
        **{name: fields[name].hex() for name in (*_UNUSED, "mnonce")},
        "serial_unsigned": report.serial,
        "hsk_key_id": chain.hsk.key_id.hex(),
        "cek_version": chain.cek.version,
        "pek_version": report.pek.version,
        "cek_api": list(chain.cek.api or ()),
        "pek_api": list(report.pek.api or ()),
        **events,
    }
    if report.version == 1:
        details["anonce"] = fields["anonce"].hex()
    else:
        details["build"] = le(fields["build"])
        details["rtmr_version"] = le(fields["rtmr_version"])
        measurements |= {f"rtmr{index}": fields[f"rtmr{index}"] for index in range(5)}
        if fields["rtmr0"] != fields["measure"]:
            want, found = fields["measure"].hex(), fields["rtmr0"].hex()
            refused.append(Finding(f"{_CODE}.rtmr0", "rtmr0", f"the launch digest {want}", found))
    debug = not report.policy & 1
    if debug:
        refused.insert(0, Finding(f"{_CODE}.debug", "policy bit 0 (NODBG)", "1", "0"))
    return Claims(
        kind=EvidenceKind.HYGON_CSV,
        report_data=fields["report_data"],
        hardware_id=chain.hardware_id,
        measurements=measurements,
        debug=debug,
        tier=Tier.TEE,
        valid_until=NO_END,
        details=details,
        refused=tuple(refused),
    )
