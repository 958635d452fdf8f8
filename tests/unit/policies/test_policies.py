"""Policy documents: strict YAML in, a policy out; nothing unsaid is allowed."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from attestation import Claims, EvidenceKind, PolicyViolatedError, Tier, appraise
from attestation.judge import judge
from mifeng.crypto import sm3
from policies import PolicyError, load, parse, shipped
from policies.cases import run_cases
from policies.conditions import CelCondition, ConditionError
from policies.load import MAX_POLICY_BYTES, SHIPPED, parse_document, shipped_bytes
from tests.harness.tee.simulated import CHALLENGE, HONEST, NOW

SAFE = shipped_bytes("unsafe-simulated")


def claims(**details: object) -> Claims:
    """Return claims with some details."""
    return Claims(
        kind=EvidenceKind.SIMULATED,
        report_data=bytes(64),
        hardware_id="00",
        measurements={"measurement": b"\1"},
        debug=False,
        tier=Tier.SIMULATED,
        valid_until=NOW + 1,
        details={"svn": 1, **details},
    )


def test_a_policy_is_named_by_its_exact_bytes() -> None:
    """One more comment is another policy."""
    assert parse(SAFE).digest == sm3(SAFE)
    assert parse(SAFE + b"# more\n").digest != parse(SAFE).digest


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_load_and_pass_their_cases(name: str) -> None:
    """Each profile is called by its file's name, has cases, and answers them."""
    assert shipped(name).name == name
    outcomes = run_cases(shipped_bytes(name))
    assert outcomes
    assert all(outcome.passed for outcome in outcomes)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("production")])
def test_production_accepts_nothing_simulated_and_nothing_unlisted(name: str) -> None:
    """A production profile refuses the simulated node, and any real one until it is filled in."""
    policy = shipped(name)
    assert not policy.unsafe_allow_simulated
    for rule in policy.rules.values():
        assert not rule.unsafe_any_measurement
        assert rule.enrolled == frozenset()
        assert all(accepted == () for accepted in rule.references.values())
    bundle = HONEST.bundle()
    with pytest.raises(PolicyViolatedError) as caught:
        appraise(bundle, policy, nonce32=bundle.freshness.nonce32, now=NOW)
    assert "policy.simulated" in {finding.code for finding in caught.value.findings}
    assert bundle.freshness.x == CHALLENGE


@pytest.mark.parametrize("name", SHIPPED)
def test_every_line_of_a_profile_is_explained(name: str) -> None:
    """No key without a comment above it or above its list, outside the test cases."""
    lines = shipped_bytes(name).decode().partition("\ntests:")[0].splitlines()
    for number, line in enumerate(lines):
        key = line.strip()
        if not key or key.startswith("#") or (not key.endswith((":", "]", "}")) and ":" not in key):
            continue
        above = [each.strip() for each in lines[max(0, number - 6) : number]]
        assert any(each.startswith("#") for each in above), line


BROKEN: Mapping[str, bytes] = {
    "not YAML": b"a: [",
    "not a mapping": b"[]",
    "nothing": b"",
    "bytes that are no text": b"\xff\xfe\x00",
    "too large": bytes(MAX_POLICY_BYTES + 1),
    "an unknown key": SAFE + b"allow_debug: true\n",
    "a key twice": SAFE + b"name: again\n",
    "a nested key twice": SAFE.replace(b"svn: 1", b"svn: 1\n      svn: 0", 1),
    "a key that is no text": SAFE + b"1: x\n",
    "a key that is a list": SAFE + b"? [a]\n: x\n",
    "an anchor": SAFE.replace(b"tcb_statuses: []", b"tcb_statuses: &x []"),
    "an alias": SAFE.replace(b"tcb_statuses: []", b"tcb_statuses: *x"),
    "a bomb": b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "a tag": SAFE.replace(b"denied: []", b"denied: !!python/object:os.system []"),
    "no form": SAFE.replace(b"form: 1\n", b""),
    "a form of later days": SAFE.replace(b"form: 1\n", b"form: 2\n"),
    "a form that is no number": SAFE.replace(b"form: 1\n", b"form: true\n"),
    "no minimum tier": SAFE.replace(b"min_tier: simulated", b""),
    "a tier nobody knows": SAFE.replace(b"min_tier: simulated", b"min_tier: fine"),
    "a tier that is a number": SAFE.replace(b"min_tier: simulated", b"min_tier: 3"),
    "a kind nobody knows": SAFE.replace(b"  simulated:\n", b"  simulation:\n"),
    "text for a truth value": SAFE.replace(
        b"unsafe_any_measurement: true", b"unsafe_any_measurement: 1"
    ),
    "a negative age": SAFE.replace(b"max_evidence_age_s: 3600", b"max_evidence_age_s: -1"),
    "a reference without an end": SAFE.replace(
        b"references: {}", b'references: {a: [{value: "00", why: x}]}'
    ),
    "a reference that is a number": SAFE.replace(
        b"references: {}",
        b"references: {a: [{value: 10, why: x, not_after: 2030-01-01T00:00:00Z}]}",
    ),
    "a reference that is no hex": SAFE.replace(
        b"references: {}",
        b'references: {a: [{value: "xy", why: x, not_after: 2030-01-01T00:00:00Z}]}',
    ),
    "an end without an offset": SAFE.replace(
        b"references: {}",
        b'references: {a: [{value: "00", why: x, not_after: 2030-01-01T00:00:00}]}',
    ),
    "a case of no kind": SAFE.replace(b"kind: amd-snp", b"kind: 7"),
    "a condition that does not compile": SAFE.replace(
        b"conditions: []", b"conditions: [{expression: '1 +', why: x}]"
    ),
    "very deep": b"[" * 5000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_document_that_says_anything_else_does_not_load(name: str) -> None:
    """Unknown, missing, repeated, mistyped: one error, no default."""
    with pytest.raises(PolicyError):
        parse(BROKEN[name])


@pytest.mark.parametrize(
    "key",
    [line.split(b":")[0] for line in SAFE.splitlines() if line[:1].isalpha()],
)
def test_every_key_is_required(key: bytes) -> None:
    """A policy that forgets a field does not load."""
    tree = SAFE.replace(key + b":", b"x_" + key + b":", 1)
    with pytest.raises(PolicyError):
        parse_document(tree)


def test_references_reach_the_policy(tmp_path: Path) -> None:
    """A listed value passes until its end."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(
        SAFE.replace(
            b"references: {}",
            b'references: {measurement: [{value: "01", why: x, not_after: 2030-01-01T00:00:00Z}]}',
        ).replace(b"unsafe_any_measurement: true", b"unsafe_any_measurement: false")
    )
    policy = load(path)
    (reference,) = policy.rules[EvidenceKind.SIMULATED].references["measurement"]
    assert reference.value == b"\1"
    assert judge(claims(), policy, now=NOW) == []


def test_enrolment_is_a_list_or_the_word_any() -> None:
    """A list becomes exactly that list."""
    policy = parse(SAFE.replace(b"enrolled: any", b'enrolled: ["00"]'))
    assert policy.rules[EvidenceKind.SIMULATED].enrolled == {"00"}
    with pytest.raises(PolicyError):
        parse(SAFE.replace(b"enrolled: any", b"enrolled: all"))


def test_there_is_no_other_profile() -> None:
    """Profiles are a table, not a directory listing."""
    with pytest.raises(PolicyError):
        shipped("production")


def test_conditions_hold_only_if_they_are_true() -> None:
    """False, not a truth value, and not evaluable all refuse, and say what they found."""
    rows = {
        "claims.details.svn == 1": None,
        'tier == "simulated" && status.tcb == null': None,
        "claims.details.svn == 2": "False",
        "claims.details.svn": "1",
        "claims.details.none == 1": "Error",
        "1 + 'x' == 2": "Error",
    }
    for expression, shown in rows.items():
        found = CelCondition.compile(expression, why="w").check(claims())
        if shown is None:
            assert found == ()
        else:
            assert (found[0].code, shown in found[0].found) == ("policy.condition", True)


def test_a_condition_in_a_policy_is_judged() -> None:
    """Conditions of a document refuse like built-in rules."""
    policy = parse(
        SAFE.replace(
            b"conditions: []", b"conditions: [{expression: claims.details.svn >= 3, why: floor}]"
        )
    )
    assert [finding.code for finding in judge(claims(), policy, now=NOW)] == ["policy.condition"]
    assert judge(claims(svn=3), policy, now=NOW) == []


def test_without_an_interpreter_conditions_do_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition is never skipped."""
    monkeypatch.setitem(__import__("sys").modules, "cel", None)
    with pytest.raises(ConditionError):
        CelCondition.compile("true", why="w")


def test_any_software_does_not_mean_any_masked_report() -> None:
    """A policy that accepts any software answers a masked report with its own code."""
    raw = (
        SAFE.split(b"tests:")[0].replace(b"  simulated:\n", b"  hygon-csv:\n")
        + b"""tests:
  - name: masked
    at: 2026-11-01T00:00:00Z
    claims: {kind: hygon-csv, tier: tee, details: {report_version: 1, svn: 1}}
    expect: [policy.masked-report]
  - name: not masked
    at: 2026-11-01T00:00:00Z
    claims: {kind: hygon-csv, tier: tee, details: {report_version: 2, svn: 1}}
    expect: []
"""
    )
    assert b"unsafe_any_measurement: true" in raw
    assert [(each.name, each.found) for each in run_cases(raw)] == [
        ("masked", ("policy.masked-report",)),
        ("not masked", ()),
    ]
