"""The appraisal procedure, in the order docs/spec/appraisal.md §3 states it.

What it does not do: decide whether the freshness was a challenge of ours or a note that a
witness of ours cosigned (the caller passes the `nonce32` it accepts), look into the keyset, or
look for it in the log. `mifeng.protocol.session` does those.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from types import MappingProxyType

from mifeng.crypto import sm3

from . import binding, registry
from .bundle import Bundle
from .claims import Claims, Tier
from .errors import (
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
    Finding,
    PolicyViolatedError,
    untrusted,
)
from .evidence import EvidenceKind
from .judge import NO_FLOORS, judge, revocation_last
from .policy import Policy
from .result import MINT, AttestedKey
from .verifier import Verifier

VerifierFor = Callable[[EvidenceKind], Verifier]


def appraise(
    bundle: Bundle,
    policy: Policy,
    *,
    nonce32: bytes,
    now: int,
    floors: Mapping[str, int] = NO_FLOORS,
    verifier_for: VerifierFor = registry.verifier_for,
) -> AttestedKey:
    """Return the node's keyset as attested, or raise saying everything that is wrong.

    Args:
        bundle: what the node presented; untrusted.
        policy: what we require.
        nonce32: the freshness we accept, 32 bytes (`Freshness.nonce32` of our own challenge,
            or of a checkpoint note cosigned by a witness we trust).
        now: Unix seconds at which the verdict must hold.
        floors: highest ratchet numbers already seen (`raise_floors`); older is a downgrade.
        verifier_for: the verifiers; only tests of this procedure pass another table.

    Raises:
        EvidenceMalformedError: some evidence or collateral does not parse.
        EvidenceUntrustedError: no pinned root vouches for it, or it binds something else.
        EvidenceUnverifiedError: it cannot be decided with the collateral given.
        EvidenceUnsupportedError: there is no verifier for a kind in the bundle.
        PolicyViolatedError: genuine, but not a machine this policy accepts.

    Source: RFC 9334 §8; docs/spec/appraisal.md §3.
    """
    # (1) Authenticate: every signature and chain up to a pinned root, at `now`.
    _check_shape(bundle)
    devices = sorted(bundle.accelerators, key=lambda device: device.device_id.encode())
    cpu = verifier_for(bundle.cpu.kind).verify(bundle.cpu.raw, bundle.cpu_collateral, now=now)
    accelerators = tuple(
        verifier_for(device.evidence.kind).verify(device.evidence.raw, device.collateral, now=now)
        for device in devices
    )
    claims = (cpu, *accelerators)

    # (2) Bind: the evidence must commit to exactly this keyset, freshness and set of devices.
    _check_binding(bundle, claims, nonce32=nonce32)

    # (3) Judge: compare every claim, and report all shortfalls together.
    tier = _tier(claims)
    refused = [
        finding for each in claims for finding in judge(each, policy, now=now, floors=floors)
    ]
    refused += _judge_node(accelerators, policy, tier)
    wiring, answered = registry.judge_topology(accelerators)
    refused += wiring
    open_ = (found for each in claims for found in each.unchecked if found.code not in answered)
    unchecked = revocation_last(open_)
    if refused:
        raise PolicyViolatedError(*refused, *unchecked)
    if unchecked:
        raise EvidenceUnverifiedError(*unchecked)

    # (4) Mint. This is the only call site.
    return AttestedKey(
        keyset=bundle.keyset,
        keyset_digest=sm3(bundle.keyset),
        nonce32=nonce32,
        tier=tier,
        simulated=_is_simulated(claims),
        policy_name=policy.name,
        policy_digest=policy.digest,
        valid_until=_valid_until(claims, policy, now),
        evidence_digest=bundle.evidence_digest,
        claims=claims,
        mint=MINT,
    )


def raise_floors(floors: Mapping[str, int], claims: Sequence[Claims]) -> Mapping[str, int]:
    """Return `floors` raised to the ratchet numbers of claims that were just accepted."""
    raised = dict(floors)
    for each in claims:
        for name, number in each.ratchets.items():
            raised[name] = max(number, raised.get(name, number))
    return MappingProxyType(raised)


def _check_shape(bundle: Bundle) -> None:
    """Refuse kinds in the wrong place and device names that occur twice."""
    findings = []
    if bundle.cpu.kind not in binding.CPU_FIELDS:
        findings.append(Finding("composite.cpu-kind", "CPU evidence", "a CPU", bundle.cpu.kind))
    for device in bundle.accelerators:
        kind = device.evidence.kind
        if kind not in binding.DEVICE_FIELDS:
            findings.append(Finding("composite.device-kind", device.device_id, "a device", kind))
    names = Counter(device.device_id for device in bundle.accelerators)
    findings += [
        Finding("composite.device-id-duplicated", "device id", "once", f"{name!r} × {count}")
        for name, count in names.items()
        if count > 1
    ]
    if findings:
        raise EvidenceUntrustedError(*findings)


def _check_binding(bundle: Bundle, claims: Sequence[Claims], *, nonce32: bytes) -> None:
    """Compare every byte of every signed free field, in constant time, and report all."""
    if not compare_digest(bundle.freshness.nonce32, nonce32):
        raise untrusted("binding.nonce", "freshness", nonce32.hex(), bundle.freshness.nonce32.hex())
    keyset_digest = sm3(bundle.keyset)
    node = binding.report_data(
        nonce32=nonce32, keyset_digest=keyset_digest, accelerators=bundle.accelerators
    )
    device = binding.device_nonce(nonce32=nonce32, keyset_digest=keyset_digest)
    cpu, *accelerators = claims
    findings = []
    expected = binding.CPU_FIELDS[cpu.kind].fill(node)
    if not compare_digest(cpu.report_data, expected):
        what = f"CPU report data over this keyset, freshness and {len(accelerators)} devices"
        found = cpu.report_data.hex()
        findings.append(Finding("binding.report-data", what, expected.hex(), found))
    for index, each in enumerate(accelerators):
        expected = binding.DEVICE_FIELDS[each.kind].fill(device)
        if not compare_digest(each.report_data, expected):
            found = each.report_data.hex()
            what = f"nonce of accelerator {index}"
            findings.append(Finding("binding.device-nonce", what, expected.hex(), found))
    if findings:
        raise EvidenceUntrustedError(*findings)


def _judge_node(accelerators: Sequence[Claims], policy: Policy, tier: Tier) -> list[Finding]:
    """Judge the set of devices: count, uniqueness, and what it all proves."""
    found = []
    have = Counter(each.kind for each in accelerators)
    for kind in sorted({*have, *policy.accelerators}):
        need = policy.accelerators.get(kind, 0)
        if have[kind] != need:
            found.append(
                Finding("composite.device-count", f"{kind} devices", str(need), str(have[kind]))
            )
    identities = Counter((each.kind, each.hardware_id) for each in accelerators)
    for (kind, identity), count in identities.items():
        if identity is None:
            found.append(Finding("composite.device-anonymous", kind, "a signed identity", "none"))
        elif count > 1:
            what = f"{kind} {identity}"
            found.append(Finding("composite.device-duplicated", what, "once", f"{count} times"))
    if tier < policy.min_tier:
        found.append(Finding("policy.tier", "tier", policy.min_tier.label, tier.label))
    return found


def _is_simulated(claims: Sequence[Claims]) -> bool:
    return any(each.kind is EvidenceKind.SIMULATED for each in claims)


def _tier(claims: Sequence[Claims]) -> Tier:
    """Return what the whole node proves: its weakest part, or more with bound accelerators."""
    weakest = min(each.tier for each in claims)
    if len(claims) > 1 and weakest >= Tier.TEE:
        return Tier.TEE_ACCELERATOR_SOFTWARE_BOUND
    return weakest


def _valid_until(claims: Sequence[Claims], policy: Policy, now: int) -> int:
    """Return the earliest expiry of anything an accepting verdict relied on."""
    ends = [now + policy.max_keyset_life_s, *(each.valid_until for each in claims)]
    for each in claims:
        for name, accepted in policy.rules[each.kind].references.items():
            value = each.measurements[name]
            ends.append(max(ref.not_after for ref in accepted if ref.value == value))
    return min(ends)
