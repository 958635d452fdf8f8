"""`sm2` and `p256` behind one pair of classes."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mifeng.crypto import CryptoError, KeyFormatError, SignatureError, signatures
from mifeng.crypto.signatures import SIGN_ALGS, SignAlg, SigningKey, VerifyKey

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
each_alg = pytest.mark.parametrize("alg", SIGN_ALGS)

# RFC 6979, appendix A.2.5: P-256 with SHA-256, message "sample".
RFC6979_PUBLIC = (
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
RFC6979_SIGNATURE = (
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)


def test_rfc_6979_verifies() -> None:
    """RFC 6979 A.2.5 in the raw form used here."""
    key = VerifyKey("p256", bytes.fromhex(RFC6979_PUBLIC))
    key.verify(bytes.fromhex(RFC6979_SIGNATURE), b"sample")
    with pytest.raises(SignatureError):
        key.verify(bytes.fromhex(RFC6979_SIGNATURE), b"Sample")


@each_alg
def test_what_is_signed_verifies_under_that_key_only(alg: SignAlg) -> None:
    """Message, key and algorithm all count."""
    key, other = SigningKey.generate(alg), SigningKey.generate(alg)
    signature = key.sign(b"data")
    assert len(signature) == 64
    assert len(key.public_bytes) == 65
    VerifyKey(alg, key.public_bytes).verify(signature, b"data")
    with pytest.raises(SignatureError):
        key.verify_key().verify(signature, b"datb")
    with pytest.raises(SignatureError):
        other.verify_key().verify(signature, b"data")


@each_alg
def test_any_bent_byte_of_a_signature_is_refused(alg: SignAlg) -> None:
    """Each byte of r ‖ s counts."""
    key = SigningKey.generate(alg)
    signature = key.sign(b"data")
    for i in range(64):
        bent = bytearray(signature)
        bent[i] ^= 1 << (i % 8)
        with pytest.raises(SignatureError):
            key.verify_key().verify(bytes(bent), b"data")


@each_alg
def test_signatures_out_of_range_are_refused(alg: SignAlg) -> None:
    """Zero, the order, beyond it, and every other length."""
    key = SigningKey.generate(alg)
    good = key.sign(b"data")
    order = P256_ORDER.to_bytes(32, "big")
    for bad in (
        bytes(64),
        bytes(32) + good[32:],
        good[:32] + bytes(32),
        order + good[32:],
        good[:32] + order,
        b"\xff" * 64,
        b"",
        good[:63],
        good + b"\0",
    ):
        with pytest.raises(SignatureError):
            key.verify_key().verify(bad, b"data")


@each_alg
def test_points_that_are_none_are_refused(alg: SignAlg) -> None:
    """Compressed, off the curve, too short, too long."""
    good = SigningKey.generate(alg).public_bytes
    for bad in (b"", good[:-1], good + b"\0", b"\2" + good[1:33], b"\6" + good[1:], bytes(65)):
        with pytest.raises(KeyFormatError):
            VerifyKey(alg, bad)
    with pytest.raises(KeyFormatError):
        VerifyKey(alg, good[:-1] + bytes((good[-1] ^ 1,)))


def test_a_key_of_one_algorithm_is_none_of_the_other() -> None:
    """The two curves share a shape, not points."""
    for alg, other in (("sm2", "p256"), ("p256", "sm2")):
        with pytest.raises(KeyFormatError):
            VerifyKey(other, SigningKey.generate(alg).public_bytes)


def test_an_unknown_algorithm_is_refused() -> None:
    """There is no default algorithm."""
    for call in (lambda: SigningKey.generate("rsa"), lambda: VerifyKey("rsa", b"")):
        with pytest.raises(CryptoError) as caught:
            call()
        assert caught.value.code == "crypto.alg"


def test_another_curve_is_refused() -> None:
    """A P-384 key does not become a P-256 one."""
    with pytest.raises(KeyFormatError):
        SigningKey(ec.generate_private_key(ec.SECP384R1()))


@each_alg
def test_keys_are_values_and_secrets(alg: SignAlg) -> None:
    """Verify keys compare and hash; signing keys neither print, nor pickle, nor copy."""
    key = SigningKey.generate(alg)
    assert key.verify_key() == VerifyKey(alg, key.public_bytes)
    assert len({key.verify_key(), VerifyKey(alg, key.public_bytes)}) == 1
    assert key.verify_key() != SigningKey.generate(alg).verify_key()
    assert key.verify_key() != key.public_bytes
    assert key.public_bytes.hex() in repr(key.verify_key())
    assert "secret" in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)


def test_signatures_do_not_import_suites() -> None:
    """A signer of logs must not reach a decapsulation key through this module."""
    tree = ast.parse(Path(signatures.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", "") or "", *(alias.name for alias in node.names))
    }
    assert not any("suites" in name or "kem" in name for name in imported)
