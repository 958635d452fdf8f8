"""Which nodes may be dispatched to, and whether one request may. Pure: time is a parameter.

The gateway's appraisal is about availability: it keeps clients from being offered nodes they
would refuse. No client relies on it; each appraises for itself.

Source: docs/spec/keyset.md §5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from attestation.appraise import appraise
from attestation.bundle import Bundle
from attestation.errors import AttestationError, Finding
from attestation.judge import NO_FLOORS
from attestation.policy import Policy
from attestation.result import AttestedKey
from mifeng.crypto import sm3
from mifeng.errors import MalformedError
from mifeng.protocol.header import Header
from mifeng.protocol.keyset import Keyset, LogIdentity

from .problems import ProblemError

CLOCK_SKEW_S: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One keyset of one node that passed, and until when it may be used."""

    node_id: str
    key: AttestedKey
    keyset: Keyset
    valid_until: int

    @property
    def digest(self) -> bytes:
        """The keyset's digest."""
        return self.key.keyset_digest


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node was refused; goes into the log."""

    keyset: bytes
    findings: tuple[Finding, ...]


def admit(
    bundle: Bundle,
    policy: Policy,
    *,
    nonce32: bytes,
    log: LogIdentity,
    node_id: str,
    now: int,
    floors: Mapping[str, int] = NO_FLOORS,
) -> Lease | Rejection:
    """Return a lease for the bundle's keyset, or everything that is wrong with it.

    Args:
        bundle: what the node answered to our challenge; untrusted.
        policy: the operator's own.
        nonce32: of the challenge.
        log: this gateway's log; a node that obeys another is of no use.
        node_id: as the operator configured it.
        now: Unix seconds.
        floors: ratchet numbers of collateral seen before; older is a downgrade.
    """
    digest = sm3(bundle.keyset)
    try:
        key = appraise(bundle, policy, nonce32=nonce32, now=now, floors=floors)
        keyset = Keyset.decode(key.keyset)
    except AttestationError as exc:
        return Rejection(digest, exc.findings or (Finding(exc.code, "evidence", "", ""),))
    except MalformedError as exc:
        return Rejection(digest, (Finding("keyset.malformed", "keyset", "canonical", str(exc)),))
    wrong = []
    if keyset.log != log:
        wrong.append(Finding("keyset.log", "log", log.origin, keyset.log.origin))
    if keyset.node_id != node_id:
        wrong.append(Finding("keyset.node", "node id", node_id, keyset.node_id))
    if keyset.simulated != key.simulated:
        wrong.append(Finding("keyset.simulated", "simulated", str(key.simulated), "otherwise"))
    if not keyset.not_before - CLOCK_SKEW_S <= now < keyset.not_after:
        wrong.append(Finding("keyset.life", "now", "within the keyset's life", str(now)))
    if wrong:
        return Rejection(digest, tuple(wrong))
    until = min(key.valid_until, keyset.not_after)
    return Lease(node_id=node_id, key=key, keyset=keyset, valid_until=until)


def check_request(header: Header, lease: Lease | None, *, now: int, max_deadline_s: int) -> Lease:
    """Return the lease a request may be dispatched under.

    Expiry is looked at on every request: a verdict that has run out dispatches nothing.

    Raises:
        ProblemError: the header cannot be served, and why.
    """
    if lease is None or now >= lease.valid_until:
        raise ProblemError("keyset.unknown")
    if header.suite not in lease.keyset.suites:
        raise ProblemError("suite.unknown")
    model = lease.keyset.models.get(header.model)
    if model is None or model.digest != header.model_digest:
        raise ProblemError("model.unknown")
    if abs(header.created - now) > CLOCK_SKEW_S:
        raise ProblemError("request.clock", f"off by {header.created - now} s")
    if header.deadline <= now:
        raise ProblemError("deadline.expired")
    if header.deadline - now > max_deadline_s or header.deadline > lease.valid_until:
        raise ProblemError("deadline.too_far")
    return lease
