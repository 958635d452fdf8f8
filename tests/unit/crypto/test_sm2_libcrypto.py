"""What this package adds to libcrypto: checks that some of its versions leave out."""

from __future__ import annotations

import gc

import pytest

from mifeng.crypto import CryptoError, DecryptionError, ciphertext_to_der, sm2_libcrypto, sm3
from mifeng.crypto import sm2_curve as curve
from mifeng.crypto import sm2_known_answers as known


@pytest.fixture(autouse=True)
def _usable() -> None:
    """Skip where the system's libcrypto has no SM2."""
    if not sm2_libcrypto.available():
        pytest.skip("the system has no libcrypto with SM2")


def test_a_version_that_decrypts_a_zero_key_stream_is_overruled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GB/T 32918.4 §7 B4 holds even if the library returns C2 itself as the plaintext."""
    key = sm2_libcrypto.Sm2PrivateKey.from_scalar(known.SCALAR)
    c2 = known.CIPHERTEXT[97:]
    monkeypatch.setattr(sm2_libcrypto, "_transform", lambda *_: c2)
    with pytest.raises(DecryptionError):
        key.decrypt(known.CIPHERTEXT)


def test_a_plaintext_of_another_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """C2 and the plaintext are equally long; a library that disagrees is not believed."""
    key = sm2_libcrypto.Sm2PrivateKey.from_scalar(known.SCALAR)
    monkeypatch.setattr(sm2_libcrypto, "_transform", lambda *_: known.PLAINTEXT[:-1])
    with pytest.raises(DecryptionError):
        key.decrypt(known.CIPHERTEXT)


def test_a_version_that_sends_the_plaintext_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GB/T 32918.4 §6 A5: a ciphertext whose C2 is the plaintext is drawn again."""
    key = sm2_libcrypto.Sm2PublicKey.from_bytes(known.PUBLIC)
    genuine = ciphertext_to_der(known.CIPHERTEXT)
    clear = ciphertext_to_der(curve.encode_point(curve.G) + sm3(b"any") + known.PLAINTEXT)
    answers = iter((clear, clear, genuine))
    monkeypatch.setattr(sm2_libcrypto, "_transform", lambda *_: next(answers))
    assert key.encrypt(known.PLAINTEXT) == known.CIPHERTEXT


def test_a_library_that_fails_is_not_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing and encrypting that fail are the installation's fault, under its code."""
    private = sm2_libcrypto.Sm2PrivateKey.from_scalar(known.SCALAR)
    monkeypatch.setattr(sm2_libcrypto, "_transform", lambda *_: None)
    for call in (lambda: private.sign(b""), lambda: private.public_key().encrypt(b"m")):
        with pytest.raises(CryptoError) as caught:
            call()
        assert caught.value.code == "crypto.provider"


def test_keys_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every EVP_PKEY goes back to libcrypto, which clears it, when its object goes."""
    freed = []
    real = sm2_libcrypto._lib().EVP_PKEY_free
    monkeypatch.setattr(
        sm2_libcrypto._lib(), "EVP_PKEY_free", lambda key: (freed.append(key.value), real(key))
    )
    key = sm2_libcrypto.Sm2PrivateKey.generate()
    handles = {key._key.value, key.public_key()._key.value}
    del key
    gc.collect()
    assert set(freed) == handles
