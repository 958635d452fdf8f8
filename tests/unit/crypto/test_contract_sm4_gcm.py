"""What every provider of SM4-GCM must do."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mifeng.crypto import DecryptionError, KeyFormatError, sm4_portable

if TYPE_CHECKING:
    from types import ModuleType

KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
# RFC 8998, appendix A.1.
NONCE = bytes.fromhex("00001234567800000000abcd")
AAD = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
PLAINTEXT = bytes.fromhex(
    "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
    "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
)
SEALED = bytes.fromhex(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec"
)
LENGTHS = (
    *range(70),
    127,
    128,
    129,
    255,
    256,
    257,
    511,
    1023,
    1024,
    1025,
    2047,
    2049,
    4097,
    20_000,
)


def pattern(length: int) -> bytes:
    """Return `length` bytes without a short period."""
    return bytes((i * 131 + (i >> 8) * 17) & 0xFF for i in range(length))


def test_seal_gives_the_example_of_rfc_8998(sm4_provider: ModuleType) -> None:
    """RFC 8998 A.1, both directions, both ways of returning."""
    aead = sm4_provider.Sm4Gcm(KEY)
    assert aead.seal(NONCE, PLAINTEXT, AAD) == SEALED
    assert aead.open(NONCE, SEALED, AAD) == PLAINTEXT


def test_the_block_cipher_gives_the_examples_of_the_standard() -> None:
    """GB/T 32907-2016 A.1 and A.2: one block, and one million encryptions of it.

    CBC over zeros encrypts the previous ciphertext block again and again.
    """
    encryptor = Cipher(algorithms.SM4(KEY), modes.CBC(KEY)).encryptor()
    chain = encryptor.update(bytes(16 * 1_000_000))
    assert chain[:16].hex() == "681edf34d206965e86b3e94f536e4246"
    assert chain[-16:].hex() == "595298c7c6fd271f0402f804c33d3f66"


@pytest.mark.parametrize("length", LENGTHS)
def test_providers_agree_at_every_length(sm4_provider: ModuleType, length: int) -> None:
    """Lengths around block and vector widths give the reference's bytes and come back."""
    data, aad = pattern(length), pattern(length % 50)
    sealed = sm4_provider.Sm4Gcm(KEY).seal(NONCE, data, aad)
    assert sealed == sm4_portable.Sm4Gcm(KEY).seal(NONCE, data, aad)
    assert sm4_provider.Sm4Gcm(KEY).open(NONCE, sealed, aad) == data


def test_any_bent_byte_is_refused(sm4_provider: ModuleType) -> None:
    """Each byte of ciphertext, tag, additional data, nonce and key counts."""
    aead = sm4_provider.Sm4Gcm(KEY)
    for i in range(len(SEALED)):
        bent = bytearray(SEALED)
        bent[i] ^= 1 << (i % 8)
        with pytest.raises(DecryptionError):
            aead.open(NONCE, bent, AAD)
    for i in range(len(AAD)):
        bent = bytearray(AAD)
        bent[i] ^= 0x80
        with pytest.raises(DecryptionError):
            aead.open(NONCE, SEALED, bent)
    for i in range(12):
        bent = bytearray(NONCE)
        bent[i] ^= 1
        with pytest.raises(DecryptionError):
            aead.open(bent, SEALED, AAD)
    for i in range(16):
        bent = bytearray(KEY)
        bent[i] ^= 1
        with pytest.raises(DecryptionError):
            sm4_provider.Sm4Gcm(bent).open(NONCE, SEALED, AAD)


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_truncation_is_refused(sm4_provider: ModuleType, length: int) -> None:
    """No prefix opens: not one shorter than a tag, not one with a truncated tag."""
    with pytest.raises(DecryptionError):
        sm4_provider.Sm4Gcm(KEY).open(NONCE, SEALED[:length], AAD)


def test_a_refused_message_leaves_no_plaintext(sm4_provider: ModuleType) -> None:
    """After a failure the output buffer holds none of the plaintext."""
    bent = bytearray(SEALED)
    bent[-1] ^= 1
    out = bytearray(len(PLAINTEXT))
    with pytest.raises(DecryptionError):
        sm4_provider.Sm4Gcm(KEY).open_into(NONCE, bent, AAD, out)
    assert not any(out[i : i + 4] == PLAINTEXT[i : i + 4] for i in range(len(PLAINTEXT) - 4))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_buffer_type_is_accepted(sm4_provider: ModuleType, kind: type[bytes]) -> None:
    """Key, nonce, data and additional data may be of any byte type."""
    aead = sm4_provider.Sm4Gcm(kind(KEY))
    assert aead.seal(kind(NONCE), kind(PLAINTEXT), kind(AAD)) == SEALED
    assert aead.open(kind(NONCE), kind(SEALED), kind(AAD)) == PLAINTEXT


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 64, 1000, 70_000])
@pytest.mark.parametrize("spare", [0, 5])
def test_into_writes_what_the_other_way_returns(
    sm4_provider: ModuleType, length: int, spare: int
) -> None:
    """`seal_into` and `open_into` fill the start of the buffer and leave the rest alone."""
    data = pattern(length)
    aead = sm4_provider.Sm4Gcm(KEY)
    out = bytearray(b"\xa5" * (length + 16 + spare))
    assert aead.seal_into(NONCE, data, AAD, out) == length + 16
    assert out == aead.seal(NONCE, data, AAD) + b"\xa5" * spare
    back = bytearray(b"\xa5" * (length + spare))
    sealed = memoryview(out)[: length + 16]
    assert aead.open_into(NONCE, sealed, AAD, memoryview(back)) == length
    assert back == data + b"\xa5" * spare


@pytest.mark.parametrize("length", [1, 64, 4096, 5000])
def test_into_works_in_place(sm4_provider: ModuleType, length: int) -> None:
    """Input and output may be the same memory."""
    aead = sm4_provider.Sm4Gcm(KEY)
    buffer = bytearray(pattern(length) + bytes(16))
    expected = aead.seal(NONCE, pattern(length), AAD)
    view = memoryview(buffer)
    aead.seal_into(NONCE, view[:length], AAD, view)
    assert buffer == expected
    assert aead.open_into(NONCE, view, AAD, view) == length
    assert buffer[:length] == pattern(length)


def test_a_small_or_readonly_output_is_the_callers_error(sm4_provider: ModuleType) -> None:
    """The output must be writable and large enough; nothing is sealed otherwise."""
    aead = sm4_provider.Sm4Gcm(KEY)
    with pytest.raises(ValueError, match="buffer"):
        aead.seal_into(NONCE, PLAINTEXT, AAD, bytearray(len(PLAINTEXT) + 15))
    with pytest.raises(ValueError, match="buffer"):
        aead.open_into(NONCE, SEALED, AAD, bytearray(len(PLAINTEXT) - 1))
    with pytest.raises((ValueError, TypeError, BufferError)):
        aead.seal_into(NONCE, PLAINTEXT, AAD, bytes(len(PLAINTEXT) + 16))


@pytest.mark.parametrize("length", [0, 11, 13, 16])
def test_another_nonce_length_is_the_callers_error(sm4_provider: ModuleType, length: int) -> None:
    """Only 96-bit nonces exist here."""
    aead = sm4_provider.Sm4Gcm(KEY)
    with pytest.raises(ValueError, match="nonce"):
        aead.seal(bytes(length), b"", b"")
    with pytest.raises(ValueError, match="nonce"):
        aead.open(bytes(length), SEALED, b"")


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_another_key_length_is_no_key(sm4_provider: ModuleType, length: int) -> None:
    """SM4 keys are 16 bytes."""
    with pytest.raises(KeyFormatError):
        sm4_provider.Sm4Gcm(bytes(length))


def test_the_key_object_keeps_its_secret(sm4_provider: ModuleType) -> None:
    """It neither prints, nor pickles, nor copies its key."""
    aead = sm4_provider.Sm4Gcm(KEY)
    for text in (repr(aead), str(aead), f"{aead}"):
        assert KEY.hex() not in text
        assert repr(KEY) not in text
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(aead)
    assert not hasattr(aead, "__dict__")


def test_two_tags_alike_are_no_proof_of_one_plaintext(sm4_provider: ModuleType) -> None:
    """THREATS 40: whoever holds the key can give two plaintexts one tag, so a tag is no digest.

    With additional data chosen freely, GHASH is linear: change a ciphertext block and repair the
    tag by changing the additional-data block before it.
    """
    reference = Cipher(algorithms.SM4(KEY), modes.ECB()).encryptor()
    h = int.from_bytes(reference.update(bytes(16)), "big")
    delta = 0x0123456789ABCDEF0123456789ABCDEF
    # Blocks in order: aad, ciphertext, lengths: tag ∋ aad·H³ + c·H², so Δaad = Δc·H⁻¹.
    aad_delta = _gf_mul(delta, _gf_inverse(h))
    aead = sm4_provider.Sm4Gcm(KEY)
    sealed = aead.seal(NONCE, bytes(16), bytes(16))
    forged = (int.from_bytes(sealed[:16], "big") ^ delta).to_bytes(16, "big") + sealed[16:]
    other = aead.open(NONCE, forged, aad_delta.to_bytes(16, "big"))
    assert other != bytes(16)
    assert aead.seal(NONCE, other, aad_delta.to_bytes(16, "big"))[16:] == sealed[16:]


def test_one_ciphertext_opens_under_two_keys(sm4_provider: ModuleType) -> None:
    """THREATS 21: SM4-GCM commits to no key, which is why envelopes carry a commitment.

    For any first block, a second block makes the tags of two keys meet: one linear equation,
    c0·(H₁³+H₂³) + c1·(H₁²+H₂²) + L·(H₁+H₂) + E₁(J₀) + E₂(J₀) = 0.
    """
    keys = (KEY, bytes(range(16)))
    first, lengths = 0x5EA1ED << 64, 256  # 0 bytes of additional data, 256 bits of ciphertext
    cubes = squares = ones = masks = 0
    for key in keys:
        encryptor = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()
        h = int.from_bytes(encryptor.update(bytes(16)), "big")
        cubes ^= _gf_mul(h, _gf_mul(h, h))
        squares ^= _gf_mul(h, h)
        ones ^= h
        masks ^= int.from_bytes(encryptor.update(NONCE + b"\0\0\0\1"), "big")
    wanted = _gf_mul(first, cubes) ^ _gf_mul(lengths, ones) ^ masks
    second = _gf_mul(wanted, _gf_inverse(squares))
    ciphertext = first.to_bytes(16, "big") + second.to_bytes(16, "big")
    tags = [_tag(key, ciphertext) for key in keys]
    assert tags[0] == tags[1]
    one, two = (sm4_provider.Sm4Gcm(key).open(NONCE, ciphertext + tags[0], b"") for key in keys)
    assert one != two


def _tag(key: bytes, ciphertext: bytes) -> bytes:
    """Return the tag that makes `ciphertext` valid: seal what it decrypts to."""
    keystream = sm4_portable.Sm4Gcm(key).seal(NONCE, bytes(len(ciphertext)), b"")
    plaintext = bytes(a ^ b for a, b in zip(ciphertext, keystream, strict=False))
    sealed = sm4_portable.Sm4Gcm(key).seal(NONCE, plaintext, b"")
    assert sealed[: len(ciphertext)] == ciphertext
    return sealed[len(ciphertext) :]


def _gf_mul(x: int, y: int) -> int:
    """Multiply in GCM's field, bits reflected (SP 800-38D §6.3)."""
    z = 0
    for i in range(127, -1, -1):
        if x >> i & 1:
            z ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return z


def _gf_inverse(x: int) -> int:
    """Invert by Fermat: x^(2¹²⁸-2)."""
    result, square = 1 << 127, x
    for _ in range(127):
        square = _gf_mul(square, square)
        result = _gf_mul(result, square)
    return result
