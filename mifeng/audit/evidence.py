"""Appraise again, years later, what a gateway appraised when a keyset came into use.

The bundle is not named by the entry; it is found by the keyset it is about, and counts only if
every piece of evidence and collateral in it is one the entry names, in the entry's order, made for
the entry's nonce. It is judged at the recorded instant, with the recorded collateral, under the
recorded policy, and under the auditor's own. No clock, no network.

Source: docs/spec/keyset.md §4, §5; docs/spec/audit-pack.md §4.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TypeAlias

import policies
from attestation.appraise import appraise
from attestation.bundle import Bundle
from attestation.errors import AttestationError
from attestation.policy import Policy
from attestation.result import AttestedKey
from mifeng.crypto import sm3
from mifeng.errors import MalformedError, PeerError
from mifeng.protocol import entries
from mifeng.protocol.evidence import NOTE
from mifeng.protocol.freshness import check_note, cosigned_at
from mifeng.protocol.keyset import Keyset

from .facts import Facts
from .findings import Findings
from .pack import Pack
from .releases import Released
from .trust import Trust

_LABEL = b"mifeng/v1/bundle\0"


@dataclass(slots=True)
class Appraisals:
    """What came of appraising again."""

    passed: int = 0
    refused: int = 0
    undecided: int = 0
    """No bundle, or no policy that is known."""
    simulated: int = 0
    by_node: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Node → passed, not passed."""

    def count(self, node: str, *, good: bool) -> None:
        """Count one keyset of a node."""
        passed, failed = self.by_node.get(node, (0, 0))
        self.by_node[node] = (passed + good, failed + (not good))


def reappraise(
    pack: Pack,
    facts: Facts,
    trust: Trust,
    found: Findings,
    *,
    log_keys: frozenset[bytes],
    at: int | None,
) -> Appraisals:
    """Appraise the evidence of every KEYSET entry.

    Args:
        pack: where documents are.
        facts: complete.
        trust: the auditor's own pins and policies.
        found: findings are added here.
        log_keys: SM3 of the verifier key strings of the log's keys, as keysets name them.
        at: Unix seconds to judge at; None for each entry's own instant.
    """
    bundles = _bundles(pack, facts)
    known = _policies(pack, facts, trust)
    released = Released(pack, facts, trust.releases, found)
    done = Appraisals()
    read = lru_cache(maxsize=1)(lambda digest: _decoded(pack.blob(digest)))
    for index in _by_bundle(facts, bundles):
        entry = entries.decode(facts.one("SELECT data FROM others WHERE idx = ?", index))
        if isinstance(entry, entries.KeysetLogged):
            one = _One(read, facts, trust, found, index, entry, released)
            one.judge(bundles, known, done, log_keys=log_keys, at=entry.at if at is None else at)
    return done


_Description: TypeAlias = tuple[tuple[bytes, ...], tuple[bytes, ...], bytes, int]
_Bundles: TypeAlias = Mapping[bytes, Mapping[_Description, bytes]]


@dataclass(frozen=True, slots=True)
class _One:
    read: Callable[[bytes], Bundle | None]
    facts: Facts
    trust: Trust
    found: Findings
    index: int
    entry: entries.KeysetLogged
    released: Released

    def judge(
        self,
        bundles: _Bundles,
        known: Mapping[bytes, Policy],
        done: Appraisals,
        *,
        log_keys: frozenset[bytes],
        at: int,
    ) -> None:
        bundle = self.bundle(bundles)
        policy = self.policy(known)
        verdicts: list[AttestedKey | None] = []
        if bundle is not None and self.fits(bundle, log_keys):
            if bundle.freshness.kind == NOTE:
                self.note(
                    bundle.freshness.x, [each for each in (policy, *self.trust.policies) if each]
                )
            if policy is not None:
                verdicts.append(self.appraise(bundle, policy, at, "evidence.refused"))
            verdicts += (
                self.appraise(bundle, own, at, "evidence.own-policy")
                for own in self.trust.policies
                if policy is None or own.digest != policy.digest
            )
        key = verdicts[0] if verdicts and all(verdicts) else None
        if key is not None and bundle is not None:
            self.compare(key)
            judged = self.trust.policies or filter(None, (policy,))
            self.released.check(self.index, key, Keyset.decode(bundle.keyset), judged)
            done.passed += 1
            done.simulated += key.simulated
        elif bundle is None or (policy is None and not self.trust.policies):
            done.undecided += 1
        else:
            done.refused += 1
        done.count(self.entry.node, good=key is not None)

    def bundle(self, bundles: _Bundles) -> Bundle | None:
        """Find the bundle that the entry describes: each gateway of a log files one of its own."""
        if (digest := _described(self.entry, bundles)) is not None:
            return self.read(digest)
        some = bundles.get(self.entry.keyset)
        self.found.error("evidence.other" if some else "evidence.missing", self.index)
        return None

    def fits(self, bundle: Bundle, log_keys: frozenset[bytes]) -> bool:
        """Whether bundle, keyset and entry are about the same thing."""
        entry = self.entry
        try:
            keyset = Keyset.decode(bundle.keyset)
        except MalformedError:
            self.found.error("keyset.malformed", self.index)
            return False
        life = (keyset.not_before, keyset.not_after, keyset.simulated, keyset.epoch)
        if life != (entry.not_before, entry.not_after, entry.simulated, entry.epoch):
            self.found.error("keyset.entry-differs", self.index)
        if keyset.node_id != entry.node:
            self.found.error("keyset.entry-differs", self.index)
        if keyset.log.origin != self.trust.log.origin or not log_keys & set(keyset.log.keys):
            self.found.error("keyset.other-log", self.index)
        return True

    def note(self, x: bytes, judged: Sequence[Policy]) -> None:
        """Check that witnesses we trust cosigned, shortly before, what evidence was made after."""
        entry = self.entry
        try:
            cosigned_at(x, self.trust.log)
            for policy in judged:
                check_note(
                    x,
                    self.trust.log,
                    not_after=entry.not_after,
                    max_age_s=policy.max_evidence_age_s,
                    max_life_s=policy.max_keyset_life_s,
                    now=entry.at,
                )
        except PeerError as exc:
            self.found.error("freshness.note", self.index, why=str(exc)[:200])

    def policy(self, known: Mapping[bytes, Policy]) -> Policy | None:
        """Return the policy that the gateway says it judged by."""
        query = "SELECT policy FROM admissions WHERE keyset = ? AND idx < ? ORDER BY idx DESC"
        digest = self.facts.one(query, self.entry.keyset, self.index)
        if digest is None or digest not in known:
            name = digest.hex() if digest else ""
            self.found.warning("policy.unknown", self.index, subject=name)
            return None
        return known[digest]

    def appraise(self, bundle: Bundle, policy: Policy, at: int, code: str) -> AttestedKey | None:
        """Run the procedure; what falls short becomes a finding."""
        try:
            return appraise(bundle, policy, nonce32=self.entry.nonce, now=at)
        except AttestationError as exc:
            codes = sorted({finding.code for finding in exc.findings}) or [exc.code]
            self.found.error(code, self.index, subject=self.entry.node, why=", ".join(codes)[:200])
            return None

    def compare(self, key: AttestedKey) -> None:
        """Hold the verdict against what the gateway wrote down."""
        query = (
            "SELECT idx, tier, simulated, valid_until FROM admissions"
            " WHERE keyset = ? AND idx < ? ORDER BY idx DESC LIMIT 1"
        )
        for index, tier, simulated, until in self.facts.ask(query, self.entry.keyset, self.index):
            if (tier, bool(simulated)) != (key.tier.label, key.simulated) or until > min(
                key.valid_until, self.entry.not_after
            ):
                self.found.error("admission.verdict-differs", index)
        if self.entry.simulated != key.simulated:
            self.found.error("keyset.entry-differs", self.index)


def _description(bundle: Bundle) -> _Description:
    """Return what an entry says of its bundle: evidence, collateral, nonce, kind of freshness."""
    evidence = (bundle.cpu.raw, *(device.evidence.raw for device in bundle.accelerators))
    items = [data for _, data in bundle.cpu_collateral.items]
    items += [data for each in bundle.accelerators for _, data in each.collateral.items]
    # Devices of one kind bring the same collateral; it is named once.
    have = (tuple(map(sm3, evidence)), tuple(dict.fromkeys(map(sm3, items))))
    return (*have, bundle.freshness.nonce32, bundle.freshness.kind)


def _bundles(pack: Pack, facts: Facts) -> _Bundles:
    """Return keyset digest → description → digest of the bundle, among documents no entry names."""
    found: dict[bytes, dict[_Description, bytes]] = {}
    for digest in pack.blobs:
        if facts.one("SELECT 1 FROM documents WHERE digest = ?", digest) is not None:
            continue
        if (bundle := _decoded(pack.blob(digest))) is not None:
            found.setdefault(sm3(bundle.keyset), {}).setdefault(_description(bundle), digest)
    return found


def _described(entry: entries.KeysetLogged, bundles: _Bundles) -> bytes | None:
    """Return the digest of the bundle that an entry describes, if it is there."""
    said = (entry.evidence, entry.collateral, entry.nonce, entry.freshness)
    return bundles.get(entry.keyset, {}).get(said)


def _by_bundle(facts: Facts, bundles: _Bundles) -> list[int]:
    """Return the KEYSET entries, those that one bundle is for together: it is then read once."""
    found = []
    for index, data in facts.ask("SELECT idx, data FROM others WHERE type = 'KEYSET'"):
        entry = entries.decode(data)
        if isinstance(entry, entries.KeysetLogged):
            found.append((_described(entry, bundles) or b"", index))
    return [index for _, index in sorted(found)]


def _decoded(raw: bytes | None) -> Bundle | None:
    if raw is None or not raw.startswith(_LABEL):
        return None
    try:
        return Bundle.decode(raw)
    except AttestationError:
        return None


def _policies(pack: Pack, facts: Facts, trust: Trust) -> dict[bytes, Policy]:
    """Return the policies that admissions name, as far as pack, package or auditor have them."""
    known = {policy.digest: policy for policy in (*shipped_policies(), *trust.policies)}
    for (digest,) in facts.ask("SELECT DISTINCT policy FROM admissions"):
        raw = None if digest in known else pack.blob(digest)
        if raw is not None:
            try:
                known[digest] = policies.parse(raw)
            except policies.PolicyError:
                continue
    return known


@cache
def shipped_policies() -> tuple[Policy, ...]:
    """Return the profiles that come with this package; they need not lie in a pack."""
    return tuple(map(policies.shipped, policies.SHIPPED))
