"""`mifeng attest verify`: appraise a node's whole bundle, offline, as of an instant.

A bundle is what a node presents: keyset, CPU evidence, accelerators, collateral. The verdict is
`attestation.appraise`'s; what is judged here is neither the keyset's content nor its place in
the log, which is the client's business (`mifeng.protocol.session`).
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from rich.console import Console

from attestation import (
    AttestationError,
    AttestedKey,
    Bundle,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
    Freshness,
    Policy,
    PolicyViolatedError,
    appraise,
    ear,
)
from attestation.bundle import CHALLENGE_BYTES, MAX_BUNDLE_BYTES
from attestation.report import claims_json, finding_json
from attestation.verdict import Decision

from .ear import KEY, print_ear
from .evidence import (
    EXIT_STATUS,
    HEX,
    INSTANT,
    build,
    claims_table,
    findings_table,
    print_json,
    read_file,
    read_policy,
)

_DECISIONS: Final = (
    (EvidenceMalformedError, Decision.MALFORMED),
    (EvidenceUnsupportedError, Decision.UNSUPPORTED),
    (PolicyViolatedError, Decision.REJECTED),
    (EvidenceUntrustedError, Decision.UNTRUSTED),
    (EvidenceUnverifiedError, Decision.UNVERIFIED),
)


@click.command("verify")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--policy", required=True, help="A file, or the name of a shipped profile.")
@click.option("--at", type=INSTANT, help="The instant the verdict is for; now, if not given.")
@click.option("--challenge", type=HEX, help="The 32 bytes this bundle must answer.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--ear", "as_ear", is_flag=True, help="Print EAT attestation result claims.")
@click.option("--ear-key", type=KEY, help="Print them as a JWT signed with this P-256 key (PEM).")
def verify(
    *,
    bundle: Path,
    policy: str,
    at: int | None,
    challenge: bytes | None,
    as_json: bool,
    as_ear: bool,
    ear_key: EllipticCurvePrivateKey | None,
) -> None:
    """Say whether BUNDLE's keyset is attested: every device, bound both ways, by POLICY.

    Exit status as `mifeng evidence verify`. Without --challenge the bundle is taken at its own
    word about what it answers, and the output says `freshness: not-checked`.
    """
    rules = read_policy(policy)
    if challenge is not None and len(challenge) != CHALLENGE_BYTES:
        raise click.UsageError(f"--challenge: need {CHALLENGE_BYTES} bytes")
    now = int(datetime.now(UTC).timestamp()) if at is None else at
    try:
        found = Bundle.decode(read_file(bundle, limit=MAX_BUNDLE_BYTES))
        mine = found.freshness if challenge is None else Freshness(kind=1, x=challenge)
        key = appraise(found, rules, nonce32=mine.nonce32, now=now)
    except AttestationError as exc:
        decision = next(word for kind, word in _DECISIONS if isinstance(exc, kind))
        if as_ear or ear_key is not None:
            issue = ear.Issue(now=now, build=build(), policy=rules)
            print_ear(ear.failed(type(exc), exc.findings, issue), ear_key)
        else:
            _print_refused(exc, decision, as_json=as_json)
        sys.exit(EXIT_STATUS[decision])
    fresh = "not-checked" if challenge is None else "match"
    if as_ear or ear_key is not None:
        print_ear(_ear(key, rules, now, asked=challenge is not None), ear_key)
    elif as_json:
        print_json(_accepted_json(key, fresh))
    else:
        _print_accepted(key, fresh)


def _ear(key: AttestedKey, rules: Policy, now: int, *, asked: bool) -> dict[str, object]:
    nonce = key.nonce32 if asked else None
    issue = ear.Issue(now=now, build=build(), policy=rules, nonce=nonce)
    return ear.accepted([ear.Appraised(claims=each) for each in key.claims], issue)


def _print_refused(error: AttestationError, decision: Decision, *, as_json: bool) -> None:
    """Print every shortfall."""
    if as_json:
        print_json(
            {
                "verdict": decision.value,
                "code": error.findings[0].code,
                "findings": [finding_json(finding) for finding in error.findings],
            }
        )
        return
    console = Console()
    console.print(f"[bold red]{decision.value}[/]")
    console.print(findings_table(error.findings))


def _accepted_json(key: AttestedKey, fresh: str) -> dict[str, object]:
    return {
        "verdict": Decision.ACCEPTED.value,
        "code": Decision.ACCEPTED.value,
        "findings": [],
        "keyset_digest": key.keyset_digest.hex(),
        "evidence_digest": key.evidence_digest.hex(),
        "tier": key.tier.label,
        "simulated": key.simulated,
        "policy": key.policy_name,
        "policy_digest": key.policy_digest.hex(),
        "valid_until": key.valid_until,
        "status": {"freshness": fresh},
        "claims": [claims_json(each) for each in key.claims],
    }


def _print_accepted(key: AttestedKey, fresh: str) -> None:
    console = Console()
    console.print(f"[bold green]accepted[/]  tier {key.tier.label}  policy {key.policy_name}")
    if key.simulated:
        console.print("[bold red]SIMULATED: anyone can make this evidence[/]")
    console.print(f"freshness: {fresh}   valid until {key.valid_until}")
    console.print(f"keyset   {key.keyset_digest.hex()}\nevidence {key.evidence_digest.hex()}")
    for each in key.claims:
        console.print(f"[bold]{each.kind.value}[/]")
        console.print(claims_table(each))
