"""What every provider of SM3, HMAC-SM3 and HKDF-SM3 must do."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto import sm3, sm3_portable

if TYPE_CHECKING:
    from types import ModuleType

# GB/T 32905-2016, appendix A.
SM3_EXAMPLES = (
    (b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    (b"abcd" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
)
# GM/T 0042-2015, appendix D.3.
HMAC_EXAMPLES = (
    (
        bytes(range(1, 33)),
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq" * 2,
        "ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a",
    ),
    (
        bytes(range(1, 0x26)),
        b"\xcd" * 50,
        "220bf579ded555393f0159f66c99877822a3ecf610d1552154b41d44b94db3ae",
    ),
    (
        b"\x0b" * 32,
        b"Hi There",
        "c0ba18c68b90c88bc07de794bfc7d2c8d19ec31ed8773bc2b390c9604e0be11e",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "2e87f1d16862e6d964b50a5200bf2b10b764faa9680a296a2405f24bec39f882",
    ),
)
EDGES = (0, 1, 31, 32, 33, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4096, 65_537)


def pattern(length: int) -> bytes:
    """Return `length` bytes without a short period."""
    return bytes((i * 131 + (i >> 8) * 17) & 0xFF for i in range(length))


@pytest.mark.parametrize(("message", "digest"), SM3_EXAMPLES)
def test_sm3_gives_the_examples_of_the_standard(
    sm3_provider: ModuleType, message: bytes, digest: bytes
) -> None:
    """GB/T 32905-2016 A.1 and A.2."""
    assert sm3_provider.sm3(message).hex() == digest


@pytest.mark.parametrize(("key", "message", "mac"), HMAC_EXAMPLES)
def test_hmac_gives_the_examples_of_the_standard(
    sm3_provider: ModuleType, key: bytes, message: bytes, mac: str
) -> None:
    """GM/T 0042-2015 D.3."""
    assert sm3_provider.hmac_sm3(key, message).hex() == mac


@pytest.mark.parametrize("length", EDGES)
def test_sm3_agrees_with_the_interpreters_openssl(sm3_provider: ModuleType, length: int) -> None:
    """Every length around a block or padding border gives what hashlib's library gives."""
    if "sm3" not in hashlib.algorithms_available:
        pytest.skip("the interpreter's OpenSSL has no SM3")
    data = pattern(length)
    assert sm3_provider.sm3(data) == hashlib.new("sm3", data).digest()


def test_running_hash_equals_one_shot_for_every_split(sm3_provider: ModuleType) -> None:
    """Cutting a message anywhere changes nothing; a digest may be read midway."""
    data = pattern(200)
    for cut in range(len(data) + 1):
        running = sm3_provider.Sm3()
        running.update(data[:cut])
        assert running.digest() == sm3_portable.sm3(data[:cut])
        running.update(data[cut:])
        assert running.digest() == running.digest() == sm3_portable.sm3(data)


def test_a_copy_goes_its_own_way(sm3_provider: ModuleType) -> None:
    """What is appended to a copy does not reach the original."""
    one = sm3_provider.Sm3()
    one.update(b"ab")
    two = one.copy()
    two.update(b"c")
    assert one.digest() == sm3(b"ab")
    assert two.digest() == sm3(b"abc")


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 15, 16, 17, 33])
def test_many_equals_one_by_one(sm3_provider: ModuleType, count: int) -> None:
    """Leaves of equal, unequal and empty length each get their own digest, in order."""
    equal = [pattern(4096 + 1)[i : i + 512] for i in range(count)]
    unequal = [pattern(64 * i + i)[: 61 * i] for i in range(count)]
    for leaves in (equal, unequal, [b""] * count):
        assert sm3_provider.sm3_many(leaves) == [sm3_portable.sm3(leaf) for leaf in leaves]


def test_every_buffer_type_is_accepted(sm3_provider: ModuleType) -> None:
    """`bytes`, `bytearray` and `memoryview` of the same bytes hash alike."""
    for kind in (bytes, bytearray, memoryview):
        data = kind(b"abc")
        assert sm3_provider.sm3(data) == sm3_provider.sm3(b"abc")
        assert sm3_provider.sm3_many([data, data]) == [sm3_provider.sm3(b"abc")] * 2
        assert sm3_provider.hmac_sm3(data, data) == sm3_provider.hmac_sm3(b"abc", b"abc")
        running = sm3_provider.Sm3()
        running.update(data)
        assert running.digest() == sm3_provider.sm3(b"abc")


@given(key=st.binary(max_size=200), data=st.binary(max_size=300))
def test_hmac_is_its_definition(key: bytes, data: bytes) -> None:
    """HMAC-SM3 of any key length equals RFC 2104 spelt out over SM3."""
    padded = (sm3(key) if len(key) > 64 else key).ljust(64, b"\0")
    inner = sm3(bytes(b ^ 0x36 for b in padded) + data)
    assert sm3_portable.hmac_sm3(key, data) == sm3(bytes(b ^ 0x5C for b in padded) + inner)


@pytest.mark.parametrize("key_length", [0, 1, 32, 63, 64, 65, 200])
def test_hmac_providers_agree_for_every_kind_of_key(
    sm3_provider: ModuleType, key_length: int
) -> None:
    """Keys that are empty, fill a block, or must be hashed first."""
    key = pattern(key_length)
    assert sm3_provider.hmac_sm3(key, b"data") == sm3_portable.hmac_sm3(key, b"data")


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 60, 64, 8160])
def test_hkdf_is_its_definition(sm3_provider: ModuleType, length: int) -> None:
    """RFC 5869 §2.2 and §2.3 spelt out over HMAC-SM3."""
    prk = sm3_provider.hkdf_extract_sm3(b"salt", b"ikm")
    assert prk == sm3_portable.hmac_sm3(b"salt", b"ikm")
    okm, block = b"", b""
    for i in range(1, 256):
        block = sm3_portable.hmac_sm3(prk, block + b"info" + bytes((i,)))
        okm += block
    assert sm3_provider.hkdf_expand_sm3(prk, b"info", length) == okm[:length]
    whole = sm3_provider.hkdf_sm3(b"ikm", salt=b"salt", info=b"info", length=length)
    assert whole == okm[:length]


def test_an_empty_salt_is_zeros(sm3_provider: ModuleType) -> None:
    """RFC 5869 §2.2: no salt means as many zero bytes as the hash has."""
    assert sm3_provider.hkdf_extract_sm3(b"", b"x") == sm3_provider.hkdf_extract_sm3(
        bytes(32), b"x"
    )


@pytest.mark.parametrize("length", [-1, 8161, 1 << 40])
def test_hkdf_refuses_lengths_it_cannot_give(sm3_provider: ModuleType, length: int) -> None:
    """More than 255 blocks, or fewer than none, is the caller's error."""
    with pytest.raises(ValueError, match="HKDF"):
        sm3_provider.hkdf_expand_sm3(bytes(32), b"", length)


def test_a_running_hash_takes_no_part_in_copy_module_tricks(sm3_provider: ModuleType) -> None:
    """`copy` is the method; the module function either agrees with it or refuses."""
    running = sm3_provider.Sm3()
    running.update(b"abc")
    try:
        twin = copy.copy(running)
    except TypeError:
        return
    assert twin.digest() == sm3(b"abc")
