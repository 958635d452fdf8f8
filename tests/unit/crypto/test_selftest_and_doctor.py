"""The self-test notices wrong answers, and `mifeng doctor` reports what it finds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mifeng.cli import doctor
from mifeng.crypto import CryptoError, selftest, sm2_libcrypto, sm2_portable
from mifeng.crypto.providers import Provider, Providers

RUNNER = CliRunner()


def report(*options: str) -> dict[str, object]:
    """Return what `mifeng doctor --json` prints; it must succeed."""
    result = RUNNER.invoke(doctor.command, ["--json", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.output)
    return found


def test_every_check_holds_here() -> None:
    """The active providers give the standards' answers."""
    assert all(outcome.ok for outcome in selftest.run())
    assert len(selftest.run()) == 5
    selftest.require()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("sm3", lambda _: bytes(32)),
        ("sm3_many", lambda leaves: [bytes(32)] * len(leaves)),
        ("hmac_sm3", lambda *_: bytes(32)),
        ("hkdf_sm3", lambda *_, length, **__: bytes(length)),
    ],
)
def test_a_wrong_answer_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: object
) -> None:
    """Each function replaced by one that answers wrongly makes the self-test fail."""
    monkeypatch.setattr(selftest, name, broken)
    with pytest.raises(CryptoError) as caught:
        selftest.require()
    assert caught.value.code == "crypto.self_test"


def test_a_cipher_that_accepts_a_spoilt_tag_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right answers are not enough: the self-test also wants a refusal."""

    class Careless(selftest.sm4_portable.Sm4Gcm):
        """SM4-GCM that opens whatever it is given."""

        def open(self, nonce, data, aad):  # noqa: ANN001, ANN202
            """Open, or pretend to."""
            try:
                return super().open(nonce, data, aad)
            except CryptoError:
                return b""

    monkeypatch.setattr(selftest, "Sm4Gcm", Careless)
    assert [outcome.name for outcome in selftest.run() if not outcome.ok] == ["SM4-GCM"]


def test_an_sm2_that_verifies_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that accepts everything passes every right answer and fails here."""

    class Careless(sm2_portable.Sm2PublicKey):
        """SM2 key that finds every signature valid."""

        def verify(self, signature, data, *, uid=b"") -> None:  # noqa: ANN001
            """Accept."""

    monkeypatch.setattr(selftest, "Sm2PublicKey", Careless)
    assert [outcome.name for outcome in selftest.run() if not outcome.ok] == ["SM2"]


def test_doctor_reports_in_json() -> None:
    """Versions, providers, checks, telemetry and warnings, machine-readable."""
    found = report()
    assert found["ok"] is True
    assert set(found["providers"]) == {"sm3", "sm4", "sm2"}
    assert {"python", "cryptography", "openssl_of_cryptography"} <= set(found["versions"])
    assert all(outcome["ok"] for outcome in found["self_test"])
    assert found["interop"] == []
    assert [one["name"] for one in found["suites"] if one["experimental"]] == ["sm-pq"]


def test_doctor_prints_tables() -> None:
    """People get tables and a plain last line."""
    result = RUNNER.invoke(doctor.command, [], catch_exceptions=False)
    assert result.exit_code == 0
    assert "constant-time" in result.output
    assert "sm-pq (experimental: its construction may change)" in result.output
    assert result.output.rstrip().endswith("All checks hold.")


def test_doctor_crosses_other_implementations() -> None:
    """`--interop` has one line for each, present or not."""
    found = report("--interop")
    assert [outcome["name"] for outcome in found["interop"]] == [
        "system libcrypto",
        "openssl command",
        "gmssl-pyx",
        "gmssl",
    ]


def test_doctor_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing oracle is no failure, and is not passed over in silence."""

    def missing(name: str) -> None:
        """Have no module."""
        raise ImportError(name)

    monkeypatch.setattr(doctor.importlib, "import_module", missing)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    monkeypatch.setattr(sm2_libcrypto, "available", lambda: False)
    found = report("--interop")
    assert {outcome["detail"] for outcome in found["interop"]} == {"not installed, not checked"}


def test_a_disagreement_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another implementation that computes something else makes the status 1."""
    monkeypatch.setattr(doctor, "sm3", lambda _: bytes(32))
    result = RUNNER.invoke(doctor.command, ["--interop"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "A check failed." in result.output


def test_a_failed_self_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong digest makes the status 1, in JSON too."""
    monkeypatch.setattr(selftest, "sm3", lambda _: bytes(32))
    result = RUNNER.invoke(doctor.command, ["--json"], catch_exceptions=False)
    assert result.exit_code == 1
    assert json.loads(result.output)["ok"] is False


def test_a_leaking_path_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not constant-time is said, with the reason, and does not fail."""
    leaky = Provider(name="portable", constant_time=False, why="It takes secret-dependent time.")
    fine = Provider(name="native", constant_time=True, why="It does not.")
    monkeypatch.setattr(doctor, "providers", lambda: Providers(sm3=fine, sm4=fine, sm2=leaky))
    found = report()
    assert any(str(warning).startswith("SM2 (portable)") for warning in found["warnings"])
    assert not any(str(warning).startswith("SM3") for warning in found["warnings"])


@pytest.mark.parametrize(
    ("installed", "value", "state"),
    [(False, None, "absent"), (True, "1", "off"), (True, None, "on"), (True, "0", "on")],
)
def test_the_telemetry_switch_is_reported(
    monkeypatch: pytest.MonkeyPatch, *, installed: bool, value: str | None, state: str
) -> None:
    """Absent, off or on, and a warning only for on."""
    spec = object() if installed else None
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: spec)
    monkeypatch.delenv(doctor.TELEMETRY_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(doctor.TELEMETRY_VARIABLE, value)
    found = report()
    assert found["telemetry"]["state"] == state
    assert any("telemetry" in w or "vendor" in w for w in found["warnings"]) == (state == "on")


def test_doctor_loads_no_oracle_unless_asked() -> None:
    """Without `--interop` no foreign SM2 implementation enters the process."""
    code = (
        "import sys; from mifeng.cli.doctor import command\n"
        "command([], standalone_mode=False)\n"
        "print([m for m in sys.modules if m.startswith('gmssl')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.rstrip().endswith("[]")
