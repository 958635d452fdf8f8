"""Second implementations: two builds of GmSSL's ideas, and the openssl command.

They are oracles for interoperability only: what one side makes, the other must understand. What a
foreign implementation fails to refuse is not tested here.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from mifeng.crypto import (
    Sm2PrivateKey,
    ciphertext_from_der,
    ciphertext_to_der,
    keyfiles,
    signature_from_der,
    signature_to_der,
    sm3,
)
from mifeng.crypto import sm2_known_answers as known
from mifeng.crypto.sm2_curve import message_digest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

UID = b"1234567812345678"
MESSAGE = "密封".encode()


@pytest.fixture
def openssl() -> str:
    """Return the openssl command if it knows SM2, or skip."""
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("no openssl command")
    listed = subprocess.run([command, "ecparam", "-list_curves"], capture_output=True, check=True)
    if b"SM2" not in listed.stdout:
        pytest.skip("this openssl has no SM2")
    return command


def test_gmssl_in_python_signs_and_verifies(sm2_provider: ModuleType) -> None:
    """PyPI gmssl: signatures cross in both directions."""
    sm2 = pytest.importorskip("gmssl.sm2")
    theirs = sm2.CryptSM2(private_key=known.SCALAR.hex(), public_key=known.PUBLIC[1:].hex())
    ours = sm2_provider.Sm2PrivateKey.from_scalar(known.SCALAR)
    ours.public_key().verify(bytes.fromhex(theirs.sign_with_sm3(MESSAGE)), MESSAGE)
    assert theirs.verify_with_sm3(ours.sign(MESSAGE).hex(), MESSAGE)


def test_gmssl_in_python_encrypts_and_decrypts(sm2_provider: ModuleType) -> None:
    """PyPI gmssl: ciphertexts cross in both directions; it writes C1 without 04."""
    sm2 = pytest.importorskip("gmssl.sm2")
    theirs = sm2.CryptSM2(private_key=known.SCALAR.hex(), public_key=known.PUBLIC[1:].hex(), mode=1)
    ours = sm2_provider.Sm2PrivateKey.from_scalar(known.SCALAR)
    assert ours.decrypt(b"\x04" + theirs.encrypt(MESSAGE)) == MESSAGE
    assert theirs.decrypt(ours.public_key().encrypt(MESSAGE)[1:]) == MESSAGE


def test_gmssl_in_python_hashes_alike(sm3_provider: ModuleType) -> None:
    """PyPI gmssl: SM3 of lengths around a block."""
    theirs = pytest.importorskip("gmssl.sm3")
    for length in (0, 1, 55, 56, 63, 64, 65, 200):
        data = bytes(range(length))
        assert theirs.sm3_hash(list(data)) == sm3_provider.sm3(data).hex()


def test_gmssl_in_c_signs_and_verifies(sm2_provider: ModuleType) -> None:
    """gmssl-pyx: messages with an identifier and bare digests, in both directions."""
    theirs = pytest.importorskip("gmssl_pyx")
    ours = sm2_provider.Sm2PrivateKey.from_scalar(known.SCALAR)
    point = known.PUBLIC[1:]
    for uid in (UID, b"ALICE123@YAHOO.COM"):
        signature = theirs.sm2_sign(known.SCALAR, point, MESSAGE, signer_id=uid)
        ours.public_key().verify(signature_from_der(signature), MESSAGE, uid=uid)
        mine = signature_to_der(ours.sign(MESSAGE, uid=uid))
        assert theirs.sm2_verify(point, MESSAGE, mine, signer_id=uid)
    digest = message_digest(known.PUBLIC, UID, MESSAGE)
    signature = theirs.sm2_sign_sm3_digest(known.SCALAR, digest)
    ours.public_key().verify_digest(signature_from_der(signature), digest)
    assert theirs.sm2_verify_sm3_digest(point, digest, signature_to_der(ours.sign_digest(digest)))


@pytest.mark.parametrize("length", [1, 32, 255])
def test_gmssl_in_c_encrypts_and_decrypts(sm2_provider: ModuleType, length: int) -> None:
    """gmssl-pyx: SM2Cipher in both directions, up to its own limit of 255 bytes."""
    theirs = pytest.importorskip("gmssl_pyx")
    ours = sm2_provider.Sm2PrivateKey.from_scalar(known.SCALAR)
    plaintext = bytes(range(length))
    ciphertext = ciphertext_from_der(theirs.sm2_encrypt(known.PUBLIC[1:], plaintext))
    assert ours.decrypt(ciphertext) == plaintext
    mine = ciphertext_to_der(ours.public_key().encrypt(plaintext))
    assert theirs.sm2_decrypt(known.SCALAR, mine) == plaintext


@pytest.mark.parametrize("length", [1, 16, 17, 255, 1000])
def test_gmssl_in_c_seals_and_hashes_alike(
    sm4_provider: ModuleType, sm3_provider: ModuleType, length: int
) -> None:
    """gmssl-pyx: SM4-GCM, SM3 and HMAC-SM3 give the same bytes."""
    theirs = pytest.importorskip("gmssl_pyx")
    data, key, nonce = bytes(i & 0xFF for i in range(length)), sm3(b"key")[:16], sm3(b"n")[:12]
    ciphertext, tag = theirs.sm4_gcm_encrypt(key, nonce, b"aad", data)
    assert sm4_provider.Sm4Gcm(key).seal(nonce, data, b"aad") == ciphertext + tag
    assert sm3_provider.sm3(data) == theirs.sm3_hash(data)
    assert sm3_provider.hmac_sm3(key, data) == theirs.sm3_hmac(key, data)


def test_openssl_command_signs_and_verifies(
    sm2_provider: ModuleType, openssl: str, tmp_path: Path
) -> None:
    """Openssl pkeyutl with an identifier, in both directions."""
    public, private, data = tmp_path / "pub", tmp_path / "key", tmp_path / "data"
    data.write_bytes(MESSAGE)
    subprocess.run([openssl, "genpkey", "-algorithm", "SM2", "-out", private], check=True)
    named = keyfiles.read_signing_key(private.read_bytes(), None)
    public.write_bytes(keyfiles.public_part(named).pem())
    options = ["-rawin", "-digest", "sm3", "-pkeyopt", f"distid:{UID.decode()}", "-in", data]
    made = subprocess.run(
        [openssl, "pkeyutl", "-sign", "-inkey", private, *options], capture_output=True, check=True
    )
    key = sm2_provider.Sm2PublicKey.from_bytes(named.public_bytes)
    key.verify(signature_from_der(made.stdout), MESSAGE)
    signature = tmp_path / "sig"
    signature.write_bytes(signature_to_der(named.sign(MESSAGE)))
    checked = subprocess.run(
        [
            openssl,
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            public,
            "-sigfile",
            signature,
            *options,
        ],
        capture_output=True,
        check=False,
    )
    assert b"Verified Successfully" in checked.stdout


def test_openssl_command_decrypts(sm2_provider: ModuleType, openssl: str, tmp_path: Path) -> None:
    """Openssl pkeyutl -decrypt reads our SM2Cipher."""
    private, data = tmp_path / "key", tmp_path / "data"
    subprocess.run([openssl, "genpkey", "-algorithm", "SM2", "-out", private], check=True)
    named = keyfiles.read_signing_key(private.read_bytes(), None)
    key = sm2_provider.Sm2PublicKey.from_bytes(named.public_bytes)
    data.write_bytes(ciphertext_to_der(key.encrypt(MESSAGE)))
    opened = subprocess.run(
        [openssl, "pkeyutl", "-decrypt", "-inkey", private, "-in", data],
        capture_output=True,
        check=True,
    )
    assert opened.stdout == MESSAGE


def test_facade_is_one_of_the_providers() -> None:
    """The names the rest of the program uses come from a provider these tests covered."""
    assert Sm2PrivateKey.__module__ in {
        "mifeng.crypto.sm2_portable",
        "mifeng.crypto.sm2_libcrypto",
        "mifeng.crypto._native._core",
    }
