"""Which provider is chosen, what is said about it, and that a leaking one can be refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mifeng.crypto import (
    CryptoError,
    DecryptionError,
    SignatureError,
    providers,
    sm2_known_answers,
    sm2_libcrypto,
    sm2_portable,
    sm4_portable,
)
from mifeng.crypto.providers import Provider, Providers

GOOD = Provider(name="a", constant_time=True, why="because.")
BAD = Provider(name="b", constant_time=False, why="it looks tables up.")


def ask(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter with these variables added."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_primitive_has_a_provider_with_a_reason() -> None:
    """What `mifeng doctor` prints is complete."""
    active = providers.providers()
    for primitive in ("sm3", "sm4", "sm2"):
        provider = getattr(active, primitive)
        assert provider.name in {"native", "cryptography", "libcrypto", "portable"}
        assert provider.why.endswith(".")
        assert providers.implementation(primitive).__name__.startswith("mifeng.crypto.")


def test_off_leaves_the_native_core_out() -> None:
    """MIFENG_NATIVE=off gives the portable path, and says that it leaks; gmssl is never loaded."""
    code = (
        "import json, sys; from mifeng.crypto import providers, Sm2PrivateKey; "
        "p = providers.providers(); "
        "print(json.dumps([p.sm3.name, p.sm4.name, p.sm4.constant_time, p.sm2.name,"
        " any(m.startswith(('gmssl', 'mifeng.crypto._native')) for m in sys.modules)]))"
    )
    result = ask(code, MIFENG_NATIVE="off")
    sm3, sm4, sm4_constant_time, sm2, foreign = json.loads(result.stdout)
    assert (sm3, sm4, sm4_constant_time) == ("cryptography", "cryptography", False)
    assert sm2 in {"libcrypto", "portable"}
    assert foreign is False


@pytest.mark.parametrize(
    ("wish", "reason"),
    [("", "the best this processor has"), ("portable", "as MIFENG_NATIVE says")],
)
def test_a_native_path_says_why_it_was_taken(wish: str, reason: str) -> None:
    """The path's name, and whether the processor or the environment chose it."""
    if providers.providers().sm4.name != "native":
        pytest.skip("the native core is not in use")
    code = "from mifeng.crypto.providers import providers; print(providers().sm4.why)"
    why = ask(code, MIFENG_NATIVE=wish).stdout
    assert f"{wish or ''}, {reason}." in why


def test_another_provider_says_why_it_is_not_the_native_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Switched off, or not built: the reader need not guess."""
    monkeypatch.setenv("MIFENG_NATIVE", "off")
    assert providers._choose()[1].sm4.why.endswith("MIFENG_NATIVE=off.")
    monkeypatch.delenv("MIFENG_NATIVE")
    monkeypatch.setattr(providers, "_NATIVE_MODULE", "mifeng.crypto._native.absent")
    for provider in (providers._choose()[1].sm3, providers._choose()[1].sm2):
        assert provider.why.endswith("The native core is not built here.")


def test_a_code_path_that_is_not_there_is_an_error() -> None:
    """Asking for a native path that cannot run does not fall back in silence."""
    result = ask("import mifeng.crypto", MIFENG_NATIVE="no-such-path")
    assert result.returncode != 0
    assert "ImportError" in result.stderr or "ModuleNotFoundError" in result.stderr


def test_a_core_that_was_not_built_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler at installation means the portable path, unless a native path was asked for."""
    monkeypatch.setattr(providers, "_NATIVE_MODULE", "mifeng.crypto._native.absent")
    monkeypatch.delenv("MIFENG_NATIVE", raising=False)
    modules, chosen = providers._choose()
    assert "native" not in {chosen.sm3.name, chosen.sm4.name, chosen.sm2.name}
    assert modules["sm4"] is sm4_portable
    monkeypatch.setenv("MIFENG_NATIVE", "avx2-aesni")
    with pytest.raises(ImportError):
        providers._choose()


@pytest.mark.parametrize("broken", ["verify", "decrypt", "encrypt", "uid", "c3"])
def test_a_provider_with_wrong_answers_fails_the_known_answers(broken: str) -> None:
    """Each way of being wrong is noticed by the check that guards the choice of a provider."""

    class Public(sm2_portable.Sm2PublicKey):
        """A public key that is wrong in the way asked for."""

        def verify(self, signature, data, *, uid=b"1234567812345678") -> None:  # noqa: ANN001
            """Verify, wrongly if so asked."""
            if broken == "verify":
                raise SignatureError
            if broken != "uid":
                super().verify(signature, data, uid=uid)

        def encrypt(self, plaintext) -> bytes:  # noqa: ANN001
            """Encrypt, something else if so asked."""
            return super().encrypt(b"?" if broken == "encrypt" else plaintext)

    class Private(sm2_portable.Sm2PrivateKey):
        """A private key that is wrong in the way asked for."""

        __slots__ = ()

        def decrypt(self, ciphertext) -> bytes:  # noqa: ANN001
            """Decrypt, wrongly if so asked."""
            if broken == "decrypt":
                raise DecryptionError
            try:
                return super().decrypt(ciphertext)
            except DecryptionError:
                if broken == "c3":
                    return b""
                raise

    with pytest.raises(CryptoError) as caught:
        sm2_known_answers.check(Private, Public)
    assert caught.value.code == "crypto.self_test"


def test_without_libcrypto_sm2_is_pure_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort works everywhere and says that it is variable-time."""
    monkeypatch.setenv("MIFENG_NATIVE", "off")
    monkeypatch.setattr(sm2_libcrypto, "available", lambda: False)
    modules, chosen = providers._choose()
    assert modules["sm2"] is sm2_portable
    assert chosen.sm2.name == "portable"
    assert not chosen.sm2.constant_time


def test_a_leaking_provider_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`require_constant_time` names each leaking primitive, under a stable code."""
    monkeypatch.setattr(providers, "_PROVIDERS", Providers(sm3=GOOD, sm4=BAD, sm2=BAD))
    with pytest.raises(CryptoError) as caught:
        providers.require_constant_time()
    assert caught.value.code == "crypto.not_constant_time"
    assert "SM4 (b: it looks tables up.)" in str(caught.value)
    assert "SM2" in str(caught.value)
    assert "SM3" not in str(caught.value)


def test_constant_time_providers_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to refuse, what is active is returned."""
    good = Providers(sm3=GOOD, sm4=GOOD, sm2=GOOD)
    monkeypatch.setattr(providers, "_PROVIDERS", good)
    assert providers.require_constant_time() is good


def test_libcrypto_is_not_used_when_its_answers_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that fails the standard's examples is no provider."""

    def fails(*_: object) -> None:
        """Refuse every provider."""
        raise CryptoError("SM2 self-test failed", code="crypto.self_test")

    monkeypatch.setattr("mifeng.crypto.sm2_known_answers.check", fails)
    assert sm2_libcrypto.available.__wrapped__() is False


def test_without_a_library_libcrypto_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to load means not available, no version, and a clear error if used regardless."""
    monkeypatch.setattr(sm2_libcrypto, "_library", lambda: None)
    assert sm2_libcrypto.available.__wrapped__() is False
    assert sm2_libcrypto.version() == ""
    with pytest.raises(CryptoError) as caught:
        sm2_libcrypto.Sm2PrivateKey.generate()
    assert caught.value.code == "crypto.provider"
