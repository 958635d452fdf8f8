"""Key files: what is written is read back, by OpenSSL too; everything else is refused."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from OpenSSL import crypto

from mifeng.crypto import CryptoError, DecryptionError, KeyFormatError, der, keyfiles, pbes2, sm3
from mifeng.crypto import sm2_known_answers as known
from mifeng.crypto.keyfiles import KEY_ALGS, KeyAlg, PublicKey
from mifeng.crypto.signatures import SigningKey

PASSPHRASE = "密封 passphrase".encode()
each_alg = pytest.mark.parametrize("alg", KEY_ALGS)


@pytest.fixture(autouse=True)
def _fewer_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write with 1000 PBKDF2 rounds here: these tests are about formats."""
    monkeypatch.setattr(pbes2, "ITERATIONS", 1000)


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    """Run the openssl command and return what it writes, or skip without it."""
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("no openssl command")
    return subprocess.run(
        [command, *arguments], input=stdin, capture_output=True, check=True
    ).stdout


def sm2_public() -> PublicKey:
    """Return the public key of the standard's examples."""
    return PublicKey(alg="sm2", raw=known.PUBLIC)


@each_alg
def test_a_new_key_comes_back(alg: KeyAlg) -> None:
    """Private file, public file and their fingerprints describe one key."""
    pem, public = keyfiles.generate(alg, PASSPHRASE)
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    key = keyfiles.read_private(pem, PASSPHRASE)
    assert keyfiles.public_part(key) == public == keyfiles.read_public(public.pem())
    assert public.fingerprint() == sm3(public.spki())
    assert isinstance(key, X25519PrivateKey if alg == "x25519" else SigningKey)


@each_alg
def test_openssl_reads_the_public_file(alg: KeyAlg) -> None:
    """`openssl pkey -pubin` prints the very file back."""
    _, public = keyfiles.generate(alg, PASSPHRASE)
    assert openssl("pkey", "-pubin", "-pubout", stdin=public.pem()) == public.pem()


@each_alg
def test_a_newer_openssl_reads_the_private_file(alg: KeyAlg) -> None:
    """The OpenSSL inside `cryptography` decrypts all three, HMAC-SM3 and SM4 included."""
    pem, _ = keyfiles.generate(alg, PASSPHRASE)
    assert crypto.load_privatekey(crypto.FILETYPE_PEM, pem, PASSPHRASE) is not None
    with pytest.raises(crypto.Error):
        crypto.load_privatekey(crypto.FILETYPE_PEM, pem, b"wrong")


@pytest.mark.parametrize("cipher", ["-aes-256-cbc", "-sm4-cbc", None])
def test_files_of_openssl_are_read(cipher: str | None) -> None:
    """SM2 keys as the openssl command writes them, encrypted or not."""
    options = [] if cipher is None else [cipher, "-pass", "pass:word"]
    pem = openssl("genpkey", "-algorithm", "SM2", *options)
    key = keyfiles.read_signing_key(pem, None if cipher is None else b"word")
    public = openssl("pkey", "-pubout", "-passin", "pass:word", stdin=pem)
    assert keyfiles.read_public(public) == keyfiles.public_part(key)
    key.verify_key().verify(key.sign(b"data"), b"data")


@each_alg
def test_another_passphrase_is_refused(alg: KeyAlg) -> None:
    """One error for a wrong passphrase, whatever the garbage it decrypts to."""
    pem, _ = keyfiles.generate(alg, PASSPHRASE)
    for wrong in (b"", b"wrong", PASSPHRASE + b"\n"):
        with pytest.raises((DecryptionError, KeyFormatError)):
            keyfiles.read_private(pem, wrong)


@each_alg
def test_an_empty_passphrase_writes_nothing(alg: KeyAlg) -> None:
    """A private key is not written in clear by accident."""
    with pytest.raises(ValueError, match="passphrase"):
        keyfiles.generate(alg, b"")


def test_encrypted_and_plain_files_are_not_confused() -> None:
    """A passphrase demands an encrypted file, and None demands a plain one."""
    encrypted, _ = keyfiles.generate("p256", PASSPHRASE)
    plain = openssl("genpkey", "-algorithm", "SM2")
    with pytest.raises(KeyFormatError):
        keyfiles.read_private(encrypted, None)
    with pytest.raises(KeyFormatError):
        keyfiles.read_private(plain, b"word")


def test_an_x25519_key_does_not_sign() -> None:
    """`read_signing_key` refuses a key-agreement key."""
    pem, _ = keyfiles.generate("x25519", PASSPHRASE)
    with pytest.raises(KeyFormatError):
        keyfiles.read_signing_key(pem, PASSPHRASE)


def test_any_bent_byte_of_a_private_file_is_refused_or_harmless() -> None:
    """Spoiling the DER never yields another key, and never an error that is not ours."""
    pem, public = keyfiles.generate("sm2", PASSPHRASE)
    encrypted = keyfiles._unarmour(pem, "ENCRYPTED PRIVATE KEY")
    for i in range(len(encrypted)):
        bent = bytearray(encrypted)
        bent[i] ^= 1
        armoured = keyfiles._armour("ENCRYPTED PRIVATE KEY", bytes(bent))
        try:
            key = keyfiles.read_private(armoured, PASSPHRASE)
        except CryptoError:
            continue
        assert keyfiles.public_part(key) == public


def test_any_bent_byte_of_a_public_file_is_refused() -> None:
    """An SM2 point has no neighbours one bit away."""
    spki = sm2_public().spki()
    for i in range(len(spki)):
        bent = bytearray(spki)
        bent[i] ^= 1
        with pytest.raises(KeyFormatError):
            keyfiles.read_public(keyfiles._armour("PUBLIC KEY", bytes(bent)))


def test_a_scalar_beside_another_point_is_refused() -> None:
    """CBC has no integrity: the public point catches a spoilt scalar."""
    other = bytes((known.SCALAR[0] ^ 1,)) + known.SCALAR[1:]
    info = keyfiles._sm2_key_info(other, known.PUBLIC)
    with pytest.raises(KeyFormatError):
        keyfiles.read_private(keyfiles._armour("PRIVATE KEY", info), None)
    honest = keyfiles._sm2_key_info(known.SCALAR, known.PUBLIC)
    key = keyfiles.read_signing_key(keyfiles._armour("PRIVATE KEY", honest), None)
    assert key.public_bytes == known.PUBLIC


def test_other_versions_of_the_structures_are_refused() -> None:
    """PrivateKeyInfo is version 0, ECPrivateKey version 1, and points have no unused bits."""
    honest = keyfiles._sm2_key_info(known.SCALAR, known.PUBLIC)
    for old, new in (
        (b"\x02\x01\x00\x30", b"\x02\x01\x01\x30"),
        (b"\x02\x01\x01\x04\x20", b"\x02\x01\x02\x04\x20"),
        (b"\x03\x42\x00\x04", b"\x03\x42\x01\x04"),
    ):
        assert honest.count(old) == 1
        with pytest.raises(KeyFormatError):
            keyfiles.read_private(keyfiles._armour("PRIVATE KEY", honest.replace(old, new)), None)


@pytest.mark.parametrize("iterations", [0, 10_000_001, 1 << 70])
def test_unreasonable_iteration_counts_are_refused(iterations: int) -> None:
    """A key file cannot keep its reader busy for hours."""
    spoilt = _relength(pbes2.encrypt(b"\x30\x00", PASSPHRASE, "sm"), iterations)
    with pytest.raises(KeyFormatError):
        pbes2.decrypt(spoilt, PASSPHRASE)


def _relength(info: bytes, iterations: int) -> bytes:
    """Return EncryptedPrivateKeyInfo with another iteration count, all lengths put right."""
    outer = der.Reader(info).sequence()
    algorithm, data = outer.sequence(), outer.take(der.OCTET_STRING)
    scheme = algorithm.take(der.OBJECT_IDENTIFIER)
    parameters = algorithm.sequence()
    kdf, cipher = parameters.sequence(), parameters.take(der.SEQUENCE)
    name, values = kdf.take(der.OBJECT_IDENTIFIER), kdf.sequence()
    salt, _, prf = values.take(der.OCTET_STRING), values.integer(), values.take(der.SEQUENCE)
    new = der.sequence(
        der.element(der.OBJECT_IDENTIFIER, name),
        der.sequence(der.octets(salt), der.integer(iterations), der.element(der.SEQUENCE, prf)),
    )
    return der.sequence(
        der.sequence(
            der.element(der.OBJECT_IDENTIFIER, scheme),
            der.sequence(new, der.element(der.SEQUENCE, cipher)),
        ),
        der.octets(data),
    )


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"\n\n\n",
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        sm2_public().pem() * 2,
        b"text before\n" + sm2_public().pem(),
        sm2_public().pem().replace(b"PUBLIC", b"PRIVATE"),
    ],
)
def test_files_that_are_not_one_public_key_are_refused(pem: bytes) -> None:
    """Empty, spoilt, doubled, prefaced and mislabelled files."""
    with pytest.raises(KeyFormatError):
        keyfiles.read_public(pem)


def test_plain_files_that_hold_no_key_are_refused() -> None:
    """DER that is no PrivateKeyInfo, and ciphertext that is not whole blocks with an IV."""
    for contents in (b"", b"\x30\x00", der.sequence(der.integer(0), der.octets(b""))):
        with pytest.raises(KeyFormatError):
            keyfiles.read_private(keyfiles._armour("PRIVATE KEY", contents), None)
    good = pbes2.encrypt(b"\x30\x00", PASSPHRASE, "intl")
    outer = der.Reader(good).sequence()
    algorithm, data = outer.take(der.SEQUENCE), outer.take(der.OCTET_STRING)
    for spoilt in (b"", data[:-1], data + b"\0"):
        with pytest.raises(KeyFormatError):
            pbes2.decrypt(
                der.sequence(der.element(der.SEQUENCE, algorithm), der.octets(spoilt)), PASSPHRASE
            )
    assert pbes2.decrypt(good, PASSPHRASE) == b"\x30\x00"


def test_other_algorithms_are_refused() -> None:
    """A key file of an algorithm this project does not use is no key here."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyFormatError):
        keyfiles.read_private(private, None)
    with pytest.raises(KeyFormatError):
        keyfiles.read_public(public)


def test_algorithm_names_are_closed() -> None:
    """`parse_alg` accepts the three names and nothing else."""
    assert [keyfiles.parse_alg(alg) for alg in KEY_ALGS] == list(KEY_ALGS)
    with pytest.raises(CryptoError):
        keyfiles.parse_alg("rsa")
