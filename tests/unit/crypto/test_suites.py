"""Cipher suites: sizes, round trips, refusals, and RFC 9180's own vector."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mifeng.crypto import CryptoError, DecryptionError, KeyFormatError, kem
from mifeng.crypto.suites import SUITES, Suite, suite

NONCE = bytes(12)
each_suite = pytest.mark.parametrize("one", SUITES.values(), ids=lambda one: one.name)

# RFC 9180, appendix A.1 (DHKEM(X25519, HKDF-SHA256), base mode).
RFC9180_SKR = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"
RFC9180_PKR = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
RFC9180_ENC = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
RFC9180_SHARED_SECRET = "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc"


def test_the_table_is_that_of_the_specification() -> None:
    """Identifiers, names and sizes are wire format: they never change."""
    facts = {
        one.id: (
            one.name,
            one.key_bytes,
            one.ct_bytes,
            one.hash_bytes,
            one.public_key_bytes,
            one.sign_alg,
            one.experimental,
        )
        for one in SUITES.values()
    }
    assert facts == {
        0x0001: ("sm", 16, 129, 32, 65, "sm2", False),
        0x0002: ("sm-pq", 16, 1217, 32, 1249, "sm2", True),
        0x0101: ("intl", 32, 32, 32, 32, "p256", False),
    }
    assert all(suite(key) is value for key, value in SUITES.items())


@pytest.mark.parametrize("unknown", [0, 3, 0x0102, 0xFFFF, -1, 1 << 40])
def test_an_unknown_suite_is_refused(unknown: int) -> None:
    """There is no fallback."""
    with pytest.raises(CryptoError) as caught:
        suite(unknown)
    assert caught.value.code == "crypto.suite"


def test_suites_cannot_be_changed() -> None:
    """Neither the table nor a suite is mutable."""
    with pytest.raises(TypeError):
        SUITES[1] = SUITES[2]
    with pytest.raises(dataclasses.FrozenInstanceError):
        SUITES[1].name = "other"


@each_suite
def test_encapsulation_comes_back(one: Suite) -> None:
    """Both sides get one secret, a new one each time, in ciphertexts of the stated size."""
    key = one.generate()
    assert len(key.public_bytes) == one.public_key_bytes
    secrets = set()
    for _ in range(3):
        ct, ss = one.encap(key.public_bytes)
        assert len(ct) == one.ct_bytes
        assert one.decap(key, ct) == ss
        secrets.add(ss)
    assert len(secrets) == 3


@each_suite
def test_a_bent_encapsulation_never_gives_the_secret(one: Suite) -> None:
    """Every byte of an encapsulation counts: an error, or (implicit rejection) another secret."""
    key = one.generate()
    ct, ss = one.encap(key.public_bytes)
    step = 1 if one.ct_bytes < 200 else 13
    for i in range(0, len(ct), step):
        bent = bytearray(ct)
        bent[i] ^= 1 << (i % 7)
        try:
            assert one.decap(key, bytes(bent)) != ss
        except DecryptionError:
            continue
        assert one.name != "sm", "SM2 encryption rejects explicitly"


@each_suite
def test_another_encapsulation_length_is_refused(one: Suite) -> None:
    """Every other length gets the one error."""
    key = one.generate()
    ct, _ = one.encap(key.public_bytes)
    for wrong in (b"", ct[:-1], ct + b"\0"):
        with pytest.raises(DecryptionError):
            one.decap(key, wrong)


@each_suite
def test_another_key_does_not_decapsulate(one: Suite) -> None:
    """An encapsulation is for its recipient only."""
    ct, ss = one.encap(one.generate().public_bytes)
    with contextlib.suppress(DecryptionError):
        assert one.decap(one.generate(), ct) != ss


def test_a_key_of_another_suite_is_refused() -> None:
    """One encryption key per suite, even where the key type is the same."""
    key = SUITES[1].generate()
    ct, _ = SUITES[1].encap(key.public_bytes)
    with pytest.raises(CryptoError) as caught:
        SUITES[2].decap(key, ct)
    assert caught.value.code == "crypto.suite"


@each_suite
def test_public_keys_are_checked(one: Suite) -> None:
    """Wrong lengths and non-points are no keys."""
    good = one.generate().public_bytes
    for wrong in (b"", good[:-1], good + b"\0", bytes(one.public_key_bytes)):
        with pytest.raises(KeyFormatError):
            one.encap(wrong)


def test_an_mlkem_key_out_of_range_is_refused() -> None:
    """FIPS 203 §7.2: coefficients of an encapsulation key are below q."""
    good = SUITES[2].generate().public_bytes
    with pytest.raises(KeyFormatError):
        SUITES[2].encap(good[:65] + b"\xff" * 384 + good[65 + 384 :])


def test_x25519_points_of_small_order_are_refused() -> None:
    """RFC 9180 §7.1.4: an all-zero shared secret is an error on both sides."""
    one = SUITES[0x0101]
    key = one.generate()
    for point in (bytes(32), b"\1" + bytes(31)):
        with pytest.raises(KeyFormatError):
            one.encap(point)
        with pytest.raises(DecryptionError):
            one.decap(key, point)


def test_dhkem_gives_the_shared_secret_of_rfc_9180() -> None:
    """RFC 9180 A.1.1, receiver's direction."""
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(RFC9180_SKR))
    key = kem._X25519DecapKey(0x0101, private)
    assert key.public_bytes.hex() == RFC9180_PKR
    assert SUITES[0x0101].decap(key, bytes.fromhex(RFC9180_ENC)).hex() == RFC9180_SHARED_SECRET


def test_the_hybrid_is_the_concatenation() -> None:
    """`sm-pq`: 32 bytes of SM2 and then 32 of ML-KEM; spoiling the latter keeps the former."""
    one = SUITES[2]
    key = one.generate()
    ct, ss = one.encap(key.public_bytes)
    assert len(ss) == 64
    bent = bytearray(ct)
    bent[-1] ^= 1
    spoilt = one.decap(key, bytes(bent))
    assert spoilt[:32] == ss[:32]
    assert spoilt[32:] != ss[32:]


@each_suite
def test_kdf_and_hash_have_the_stated_sizes(one: Suite) -> None:
    """`extract`, `expand` and `hash` agree with `hash_bytes` and depend on every input."""
    prk = one.extract(b"salt", b"ikm")
    assert len(prk) == one.hash_bytes == len(one.hash(b""))
    assert len({prk, one.extract(b"Salt", b"ikm"), one.extract(b"salt", b"Ikm")}) == 3
    assert [len(one.expand(prk, b"", n)) for n in (0, 1, 60, 8160)] == [0, 1, 60, 8160]
    assert one.expand(prk, b"a", 60)[:16] == one.expand(prk, b"a", 16)
    assert one.expand(prk, b"a", 16) != one.expand(prk, b"b", 16)
    for bad in (-1, 8161):
        with pytest.raises(ValueError, match="HKDF"):
            one.expand(prk, b"", bad)


@each_suite
def test_the_aead_seals_and_opens(one: Suite) -> None:
    """All four methods, in place too; a bent byte is refused; the key has one length."""
    aead = one.aead(bytes(one.key_bytes))
    sealed = aead.seal(NONCE, b"data", b"aad")
    assert aead.open(NONCE, sealed, b"aad") == b"data"
    buffer = bytearray(b"data" + bytes(16))
    view = memoryview(buffer)
    assert aead.seal_into(NONCE, view[:4], b"aad", view) == 20
    assert buffer == sealed
    assert aead.open_into(NONCE, view, b"aad", view) == 4
    assert buffer[:4] == b"data"
    for i in range(len(sealed)):
        bent = bytearray(sealed)
        bent[i] ^= 1
        with pytest.raises(DecryptionError):
            aead.open(NONCE, bent, b"aad")
        with pytest.raises(DecryptionError):
            aead.open_into(NONCE, bent, b"aad", bytearray(4))
    for short in range(16):
        with pytest.raises(DecryptionError):
            aead.open(NONCE, sealed[:short], b"aad")
        with pytest.raises(DecryptionError):
            aead.open_into(NONCE, sealed[:short], b"aad", bytearray(16))
    with pytest.raises(KeyFormatError):
        one.aead(bytes(one.key_bytes + 1))
    with pytest.raises(ValueError, match="nonce"):
        aead.seal(bytes(8), b"", b"")
    with pytest.raises(ValueError, match="buffer"):
        aead.seal_into(NONCE, b"data", b"", bytearray(19))


@each_suite
def test_a_refused_message_leaves_no_plaintext(one: Suite) -> None:
    """After a failure the output buffer holds none of the plaintext, whatever the suite."""
    aead, plaintext = one.aead(bytes(one.key_bytes)), bytes(range(1, 101))
    bent = bytearray(aead.seal(NONCE, plaintext, b""))
    bent[-1] ^= 1
    out = bytearray(len(plaintext))
    with pytest.raises(DecryptionError):
        aead.open_into(NONCE, bent, b"", out)
    assert not any(out[i : i + 4] == plaintext[i : i + 4] for i in range(len(plaintext) - 3))


def test_rfc_5869_holds_for_intl() -> None:
    """RFC 5869 A.1: HKDF-SHA256, basic test case."""
    one = SUITES[0x0101]
    prk = one.extract(bytes(range(13)), b"\x0b" * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    okm = one.expand(prk, bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


@each_suite
def test_decapsulation_keys_keep_their_secret(one: Suite) -> None:
    """They neither print, nor pickle, nor copy."""
    key = one.generate()
    assert "secret" in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)
    assert not hasattr(key, "__dict__")
