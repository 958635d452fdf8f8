"""Claims and findings as plain JSON values, for people, logs, conditions and other tools.

Nothing here decides anything. Bytes become lower-case hex.

Source: docs/spec/appraisal.md §5; EAR: draft-ietf-rats-ear, draft-ietf-rats-ar4si.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .claims import Claims, Tier
from .errors import Finding
from .evidence import EvidenceKind

EAR_PROFILE: Final = "tag:ietf.org,2026:rats/ear#01"
_AFFIRMING, _WARNING, _CONTRAINDICATED = 2, 32, 96
"""AR4SI trustworthiness tiers, as the lowest value of each."""


def plain(value: object) -> object:
    """Return `value` with bytes as hex and every container as list or dict."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, Iterable):
        return [plain(each) for each in value]
    return str(value)


def finding_json(finding: Finding) -> dict[str, str]:
    """Return one finding as the command line prints it."""
    return {
        "code": finding.code,
        "claim": finding.claim,
        "required": finding.required,
        "found": finding.found,
    }


def status_json(claims: Claims | None) -> dict[str, str | None]:
    """Return the vendor's status words; all None without claims."""
    if claims is None:
        return {"tcb": None, "platform": None, "module": None, "qe": None}
    status = claims.status
    return {
        "tcb": status.tcb,
        "platform": status.platform,
        "module": status.module,
        "qe": status.qe,
    }


def claims_json(claims: Claims) -> dict[str, object]:
    """Return every claim by name; the vendor's own fields are under `details`."""
    return {
        "kind": claims.kind.value,
        "report_data": claims.report_data.hex(),
        "hardware_id": claims.hardware_id,
        "measurements": {name: value.hex() for name, value in claims.measurements.items()},
        "debug": claims.debug,
        "valid_until": claims.valid_until,
        "issued_at": claims.issued_at,
        "ratchets": dict(claims.ratchets),
        "details": plain(claims.details),
    }


def ear(
    claims: Sequence[Claims],
    findings: Sequence[Finding],
    *,
    now: int,
    policy: str,
    build: str,
) -> dict[str, object]:
    """Return an EAT attestation result over all claims, unsigned.

    Args:
        claims: authentic claims, one submodule each; may be empty.
        findings: everything that fell short; empty means affirming.
        now: Unix seconds of the verdict.
        policy: name of the policy, or a word saying that none was given.
        build: version of this software.

    Source: draft-ietf-rats-ear §3.
    """
    codes = [finding.code for finding in findings]
    submods = {
        f"{index}:{each.kind.value}": _submod(each, codes, policy)
        for index, each in enumerate(claims)
    }
    if not claims:
        submods = {"0:evidence": {"ear.status": "contraindicated", "mifeng.findings": codes}}
    return {
        "eat_profile": EAR_PROFILE,
        "iat": now,
        "ear.verifier-id": {"developer": "mifeng", "build": build},
        "submods": submods,
    }


def _submod(claims: Claims, codes: Sequence[str], policy: str) -> dict[str, object]:
    good = not codes
    tier = claims.tier if good else None
    return {
        "ear.status": "affirming" if good else "contraindicated",
        "ear.trustworthiness-vector": {
            "instance-identity": _AFFIRMING if claims.hardware_id else 0,
            "hardware": _hardware(tier),
            "executables": _AFFIRMING if good else _CONTRAINDICATED,
        },
        "ear.appraisal-policy-id": policy,
        "mifeng.tier": claims.tier.label,
        "mifeng.simulated": claims.kind is EvidenceKind.SIMULATED,
        "mifeng.findings": list(codes),
        "mifeng.claims": claims_json(claims),
    }


def _hardware(tier: Tier | None) -> int:
    if tier is None:
        return _CONTRAINDICATED
    return _AFFIRMING if tier >= Tier.TEE else _WARNING
