"""`mifeng evidence`, `policy` and `attest` as scripts use them: arguments, JSON, exit status."""

import json
from base64 import b64encode, urlsafe_b64decode
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

import mifeng.cli.evidence as module
from attestation.containers import MAX_EVIDENCE_BYTES
from attestation.intel_tdx.verifier import IntelTdxVerifier
from mifeng.cli import appraisal
from mifeng.cli.attest import command as attest
from mifeng.cli.evidence import command as evidence
from mifeng.cli.policy import command as policy
from mifeng.crypto import sm3
from policies.load import SHIPPED, shipped_bytes
from tests.harness.tee import intel, nvidia
from tests.harness.tee.simulated import CHALLENGE, EIGHT, HONEST, NOW

AT = "2026-09-21T14:13:20Z"
"""`NOW` in RFC 3339."""


def run(group: click.Group, *arguments: object) -> Result:
    """Run a command as its caller would, and let unexpected exceptions through."""
    result = CliRunner().invoke(group, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Return a file with one simulated report."""
    path = tmp_path / "report.bin"
    path.write_bytes(HONEST.bundle().cpu.raw)
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a file with the policy for laboratories."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(shipped_bytes("unsafe-simulated"))
    return path


def verify(file: Path, *more: object, kind: str = "simulated") -> Result:
    """Run `evidence verify` at the instant of the simulated world."""
    return run(evidence, "verify", "--kind", kind, "--at", AT, *more, file)


def test_the_json_answer_has_exactly_the_promised_members(report: Path, rules: Path) -> None:
    """Scripts depend on these names."""
    result = verify(report, "--policy", rules, "--json")
    assert result.exit_code == 0
    answer = json.loads(result.output)
    assert list(answer) == [
        "kind",
        "authentic",
        "verdict",
        "code",
        "findings",
        "claims",
        "status",
        "tier",
    ]
    assert list(answer["status"]) == ["tcb", "platform", "module", "qe", "freshness"]
    assert answer["status"]["freshness"] == "not-checked"
    assert (answer["verdict"], answer["tier"]) == ("accepted", "simulated")


def test_findings_are_data(report: Path) -> None:
    """Each finding names code, claim, what was required and what was found."""
    result = verify(report, "--json")
    assert result.exit_code == 10
    answer = json.loads(result.output)
    assert answer["findings"] == [
        {
            "code": "policy.simulated",
            "claim": "evidence",
            "required": "real hardware",
            "found": "SIMULATED",
        }
    ]


def test_each_verdict_has_its_exit_status(report: Path, rules: Path, tmp_path: Path) -> None:
    """0, 10, 20, 30, 40; the reading for people says the same."""
    data = HONEST.bundle().cpu.raw[0x40:0x80]
    bent = tmp_path / "bent"
    bent.write_bytes(report.read_bytes()[:-1] + b"\0")
    junk = tmp_path / "junk"
    junk.write_bytes(b"\0junk")
    rows = (
        (verify(report, "--policy", rules, "--report-data", data.hex()), 0, "accepted"),
        (verify(report, "--policy", rules, "--nonce", f"0x{data.hex()}"), 0, "accepted"),
        (verify(report, "--policy", "unsafe-simulated"), 0, "accepted"),
        (verify(report), 10, "rejected"),
        (verify(report, "--policy", rules, "--nonce", data[:32].hex()), 20, "untrusted"),
        (verify(bent, "--policy", rules), 20, "untrusted"),
        (verify(junk), 30, "malformed"),
        (verify(report, kind="ascend-npu"), 40, "unsupported"),
    )
    for result, status, word in rows:
        assert result.exit_code == status
        assert result.output.startswith(word)
    assert "SIMULATED" in rows[0][0].output


def test_usage_errors_are_two(report: Path, rules: Path, tmp_path: Path) -> None:
    """What the caller got wrong is never mistaken for a verdict."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\n")
    wrong = (
        ("verify", "--kind", "simulated", report),
        ("verify", "--at", AT, report),
        ("verify", "--kind", "tdx", "--at", AT, report),
        ("verify", "--kind", "simulated", "--at", "yesterday", report),
        ("verify", "--kind", "simulated", "--at", "2026-01-01T00:00:00", report),
        ("verify", "--kind", "simulated", "--at", AT, "--nonce", "xyz", report),
        ("verify", "--kind", "simulated", "--at", AT, tmp_path / "absent"),
        ("verify", "--kind", "simulated", "--at", AT, "--collateral", "ocsp", report),
        ("verify", "--kind", "simulated", "--at", AT, "--collateral", f"x={report}", report),
        ("verify", "--kind", "simulated", "--at", AT, "--collateral", "ocsp=/absent", report),
        ("verify", "--kind", "simulated", "--at", AT, "--policy", broken, report),
        ("show", tmp_path / "absent"),
    )
    for arguments in wrong:
        assert run(evidence, *arguments).exit_code == 2, arguments
    assert verify(report, "--policy", rules).exit_code == 0


def test_ear_is_printed_instead(report: Path, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--ear` prints attestation result claims, with the policy's name and our version."""
    shown = json.loads(verify(report, "--policy", rules, "--ear").output)
    named, digest = shown["submods"]["0:simulated"]["ear_appraisal_policy_ids"]
    assert (named, digest) == ("unsafe-simulated", f"sm3:{sm3(rules.read_bytes()).hex()}")

    def absent(name: str) -> str:
        """Find no distribution."""
        raise module.PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", absent)
    shown = json.loads(verify(report, "--ear").output)
    assert shown["ear_verifier_id"]["build"] == "checkout"
    assert shown["submods"]["0:simulated"]["ear_appraisal_policy_ids"] == ["mifeng:built-in"]
    monkeypatch.setattr(module, "version", lambda _: "9")
    assert json.loads(verify(report, "--ear").output)["ear_verifier_id"]["build"] == "9"


def test_collateral_reaches_the_verifier_by_role(tmp_path: Path) -> None:
    """A quote and its collateral under another root: refused for its chain, with a reading."""
    quote, dcap = tmp_path / "quote", tmp_path / "dcap.json"
    quote.write_bytes(intel.TD.quote())
    dcap.write_bytes(intel.TD.dcap())
    result = verify(quote, "--collateral", f"dcap={dcap}", "--json", kind="intel-tdx")
    assert result.exit_code == 20
    assert json.loads(result.output)["code"] == "intel-tdx.pck.chain"


def test_a_status_is_shown_to_people(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The vendor's status words are printed where there are any."""
    quote, dcap = tmp_path / "quote", tmp_path / "dcap.json"
    quote.write_bytes(intel.TD.quote())
    dcap.write_bytes(intel.TD.dcap())
    verifier = IntelTdxVerifier(intel.TD.anchors())
    monkeypatch.setattr("attestation.verdict.verifier_for", lambda _: verifier)
    result = run(
        evidence,
        "verify",
        "--kind",
        "intel-tdx",
        "--at",
        "2025-10-09T08:53:20Z",
        "--collateral",
        f"dcap={dcap}",
        quote,
    )
    assert result.exit_code == 0
    assert "status: tcb UpToDate, platform UpToDate, module UpToDate, qe UpToDate" in result.output


def test_at_most_one_byte_more_than_allowed_is_read(tmp_path: Path) -> None:
    """A huge file is refused without being read."""
    big = tmp_path / "big"
    big.write_bytes(bytes(MAX_EVIDENCE_BYTES * 2))
    assert len(module.read_file(big)) == MAX_EVIDENCE_BYTES + 1
    assert verify(big).exit_code == 30


def test_show_says_what_it_cannot_read(report: Path, tmp_path: Path) -> None:
    """A file that is not of the given kind, or of none, has no tables."""
    wrong = run(evidence, "show", "--kind", "intel-tdx", report)
    assert (wrong.exit_code, "intel-tdx.quote" in wrong.output) == (30, True)
    junk = tmp_path / "junk"
    junk.write_bytes(b"\0junk")
    unknown = run(evidence, "show", junk)
    assert (unknown.exit_code, "unknown, 5 bytes" in unknown.output) == (30, True)


def test_untrusted_text_is_printed_as_text(tmp_path: Path) -> None:
    """Markup and control characters in evidence reach no terminal."""
    tree = tmp_path / "tree.json"
    tree.write_text(json.dumps({"a": "[bold]x[/bold]\x1b]0;owned\x07", "\x1b[31m": 1}))
    output = run(evidence, "show", tree).output
    assert "[bold]x[/bold]\\x1b]0;owned\\x07" in output
    assert "\x1b[31m" not in output


def test_show_lists_every_device_and_what_came_with_it(tmp_path: Path) -> None:
    """A file of several devices is several tables, collateral counted."""
    report = b64encode(nvidia.switch().report()).decode()
    one = {"evidence": report, "certificate": b64encode(b"y").decode()}
    path = tmp_path / "switches.json"
    path.write_text(json.dumps([one, one]))
    found = run(evidence, "show", "--kind", "nvidia-nvswitch", path)
    assert "device 1: file" in found.output
    assert "carries cert-chain" in found.output


def test_shipped_policies_pass_their_own_tests() -> None:
    """Every profile carries cases, and answers each as it says."""
    result = run(policy, "test", "--json", *SHIPPED)
    assert result.exit_code == 0
    outcomes = json.loads(result.output)
    assert list(outcomes) == list(SHIPPED)
    assert all(case["passed"] for cases in outcomes.values() for case in cases)
    assert all(outcomes.values())
    assert "accepted" in run(policy, "test", "unsafe-simulated").output


def test_a_failed_policy_case_is_one(rules: Path) -> None:
    """A policy that answers otherwise than it says fails, visibly."""
    rules.write_bytes(shipped_bytes("unsafe-simulated").replace(b"svn: 1\n", b"svn: 2\n", 1))
    result = run(policy, "test", rules)
    assert result.exit_code == 1
    assert "FAILED" in result.output


def test_a_policy_is_shown_with_its_digest(rules: Path) -> None:
    """People see the document, scripts the values; both see the digest receipts use."""
    shown = json.loads(run(policy, "show", "--json", rules).output)
    assert shown["name"] == "unsafe-simulated"
    assert shown["kinds"]["simulated"]["enrolled"] == "any"
    text = run(policy, "show", "unsafe-simulated").output
    assert shown["digest"] in text.replace("\n", "")
    assert "UNSAFE" in text
    hygon = json.loads(run(policy, "show", "--json", "production-hygon").output)
    assert hygon["kinds"]["hygon-dcu"]["enrolled"] == []
    assert "UNSAFE" not in run(policy, "show", "production-hygon").output


def test_policies_that_are_none_are_usage_errors(tmp_path: Path) -> None:
    """Absent files and broken documents are the caller's mistake."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\n")
    for arguments in (
        ("test", broken),
        ("show", broken),
        ("test", tmp_path / "absent"),
        ("test",),
    ):
        assert run(policy, *arguments).exit_code == 2


def appraise(path: Path, *more: object, rules: object = "unsafe-simulated") -> Result:
    """Run `attest verify` at the instant of the simulated world."""
    return run(attest, "verify", "--policy", rules, "--at", AT, *more, path)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a file with an honest node's bundle."""
    path = tmp_path / "node.bundle"
    path.write_bytes(HONEST.bundle().encode())
    return path


def test_a_bundle_is_appraised(bundle: Path, rules: Path) -> None:
    """The whole node, bound to a challenge, in all three forms."""
    text = appraise(bundle, "--challenge", CHALLENGE.hex())
    assert text.exit_code == 0
    assert "SIMULATED" in text.output
    answer = json.loads(appraise(bundle, "--json", rules=rules).output)
    assert answer["status"] == {"freshness": "not-checked"}
    assert answer["simulated"] is True
    assert answer["keyset_digest"] in text.output.replace("\n", "")
    fresh = json.loads(appraise(bundle, "--json", "--challenge", CHALLENGE.hex()).output)
    assert fresh["status"] == {"freshness": "match"}
    shown = json.loads(appraise(bundle, "--ear").output)
    assert shown["submods"]["0:simulated"]["ear_status"] == "warning"


def test_a_refused_bundle_says_everything(bundle: Path, tmp_path: Path) -> None:
    """Wrong challenge, wrong policy, not a bundle: verdict, findings and status agree."""
    other = appraise(bundle, "--json", "--challenge", "00" * 32)
    assert (other.exit_code, json.loads(other.output)["code"]) == (20, "binding.nonce")
    strict = appraise(bundle, rules="production-cpu-only")
    assert (strict.exit_code, "policy.simulated" in strict.output) == (10, True)
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    shown = appraise(junk, "--ear")
    assert shown.exit_code == 30
    only = json.loads(shown.output)["submods"]["0:evidence"]
    assert [each["code"] for each in only["ear_verifier_claims"]["findings"]] == ["bundle.label"]
    eight = tmp_path / "eight"
    eight.write_bytes(EIGHT.bundle().encode())
    assert appraise(eight).exit_code == 10


def test_appraisal_usage_errors_are_two(bundle: Path, tmp_path: Path) -> None:
    """A short challenge or a broken policy is no verdict."""
    assert appraise(bundle, "--challenge", "00").exit_code == 2
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\n")
    assert appraise(bundle, rules=broken).exit_code == 2
    assert appraise(bundle, rules=tmp_path / "absent").exit_code == 2


def test_without_an_instant_a_bundle_is_appraised_now(bundle: Path) -> None:
    """An old bundle has expired by now, whenever now is."""
    result = run(attest, "verify", "--policy", "unsafe-simulated", "--json", bundle)
    assert result.exit_code in (10, 20)


def test_a_real_bundle_is_printed_without_the_word(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIMULATED is said of simulated nodes only."""
    real = appraisal.appraise

    def pretend(*arguments: object, **named: object) -> object:
        """Return a real verdict that says it is not simulated."""
        key = real(*arguments, **named)  # type: ignore[arg-type]
        return SimpleNamespace(
            **{name: getattr(key, name) for name in key.__slots__} | {"simulated": False}
        )

    monkeypatch.setattr(appraisal, "appraise", pretend)
    assert "SIMULATED" not in appraise(bundle).output


def test_the_instant_is_the_worlds() -> None:
    """The text used above is the simulated world's instant."""
    assert module.INSTANT.convert(AT, None, None) == NOW


def test_an_attestation_result_is_signed_on_request(
    report: Path, rules: Path, bundle: Path, tmp_path: Path
) -> None:
    """With a key it is a JWT (ES256) that others verify; without, the bare claims-set."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key))
    for result in (
        verify(report, "--policy", rules, "--ear-key", path),
        appraise(bundle, "--ear", "--ear-key", path),
    ):
        assert result.exit_code == 0
        head, body, signature = result.output.strip().split(".")
        raw = urlsafe_b64decode(signature + "==")
        r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
        der = encode_dss_signature(r, s)
        key.public_key().verify(der, f"{head}.{body}".encode(), ec.ECDSA(SHA256()))
        header = json.loads(urlsafe_b64decode(head + "=="))
        assert (header["alg"], header["typ"], len(header["kid"])) == ("ES256", "eat+jwt", 43)
        claims = json.loads(urlsafe_b64decode(body + "=="))
        assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    refused = appraise(bundle, "--ear-key", path, rules="production-cpu-only")
    assert (refused.exit_code, refused.output.count(".")) == (10, 2)
    challenged = appraise(bundle, "--ear", "--challenge", CHALLENGE.hex())
    assert len(json.loads(challenged.output)["eat_nonce"]) == 43
    matched = verify(report, "--ear", "--report-data", HONEST.bundle().cpu.raw[64:128].hex())
    assert len(json.loads(matched.output)["eat_nonce"]) == 86


def test_only_a_p256_key_signs_results(report: Path, tmp_path: Path) -> None:
    """Another curve, another algorithm, an encrypted file or none is a usage error."""
    path = tmp_path / "key.pem"
    assert verify(report, "--ear-key", path).exit_code == 2
    for data in (
        b"junk",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
    ):
        path.write_bytes(data)
        assert verify(report, "--ear-key", path).exit_code == 2


def pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    """Return a private key as openssl writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def test_times_are_rfc_3339_and_nothing_else(report: Path) -> None:
    """Lower case and fractions are; dates, week dates, bare numbers and missing offsets are not."""
    kind = ("verify", "--kind", "simulated", "--json")
    for good in ("2026-09-21T14:13:20z", "2026-09-21t16:13:20.5+02:00", "2026-09-21 14:13:20Z"):
        assert run(evidence, *kind, "--at", good, report).exit_code == 10, good
    for bad in (
        "2026-09-21",
        "2026-09-21T14:13:20",
        "20260921T141320Z",
        "2026-W38-1",
        "1790000000",
        "2026-09-21T14:13Z",
        "2026-13-21T14:13:20Z",
        "now",
    ):
        assert run(evidence, *kind, "--at", bad, report).exit_code == 2, bad
