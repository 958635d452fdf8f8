"""Commitments to persons and their private fields: opened by the key, by nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto import hmac_sm3
from mifeng.errors import MalformedError, MifengError, PeerError, UsageError
from mifeng.protocol.subject import PrivateFields, commitment, reference, seal, unseal

SECRET = bytes(range(32))
FIELDS = PrivateFields(tenant="bank-a", reference="ab" * 32, salt=bytes(range(32)))
KEY = bytes(range(16))


def test_a_reference_says_nothing_without_the_secret() -> None:
    """It is HMAC-SM3 as specified; another secret gives another one; short secrets are refused."""
    made = reference(SECRET, "张三 110101199003070000")
    expected = b"mifeng/v1/subject-reference\0" + "张三 110101199003070000".encode()
    assert made == hmac_sm3(SECRET, expected)
    assert made != reference(SECRET[::-1], "张三 110101199003070000")
    with pytest.raises(UsageError):
        reference(b"short", "x")


def test_private_fields_open_with_key_and_place() -> None:
    """The fields come back, and open the commitment."""
    sealed = seal(KEY, FIELDS, origin="o", intent=7)
    assert unseal(KEY, sealed, origin="o", intent=7, subject=FIELDS.commitment) == FIELDS
    assert seal(KEY, FIELDS, origin="o", intent=7) != sealed
    assert "ab" * 8 not in sealed


@pytest.mark.parametrize(
    ("key", "origin", "intent", "subject"),
    [
        (bytes(16), "o", 7, FIELDS.commitment),
        (KEY, "p", 7, FIELDS.commitment),
        (KEY, "o", 8, FIELDS.commitment),
        (KEY, "o", 7, bytes(32)),
    ],
)
def test_fields_of_another_entry_do_not_open(
    key: bytes, origin: str, intent: int, subject: bytes
) -> None:
    """Another key, log, entry or person: refused."""
    sealed = seal(KEY, FIELDS, origin="o", intent=7)
    with pytest.raises(PeerError):
        unseal(key, sealed, origin=origin, intent=intent, subject=subject)


def test_every_bent_byte_is_refused() -> None:
    """Not one byte of the sealed fields can change."""
    raw = bytes.fromhex(seal(KEY, FIELDS, origin="o", intent=7))
    for place in range(len(raw)):
        bent = bytearray(raw)
        bent[place] ^= 1
        with pytest.raises(PeerError):
            unseal(KEY, bent.hex(), origin="o", intent=7, subject=FIELDS.commitment)


@given(st.text(max_size=80))
def test_hostile_sealed_fields_raise_our_error(sealed: str) -> None:
    """Any text: malformed or not opened, nothing else."""
    with pytest.raises(MifengError):
        unseal(KEY, sealed, origin="o", intent=7, subject=FIELDS.commitment)


@pytest.mark.parametrize("sealed", ["", "zz", "00" * 28, "AB" * 40, "00 " * 40, "00" * 600])
def test_what_is_no_ciphertext_is_malformed(sealed: str) -> None:
    """Hex in one form only, with room for nonce and tag."""
    with pytest.raises(MalformedError):
        unseal(KEY, sealed, origin="o", intent=7, subject=FIELDS.commitment)


def test_commitments_keep_parts_apart() -> None:
    """Moving a letter from tenant to reference gives another commitment."""
    assert commitment(bytes(32), "ab", "c") != commitment(bytes(32), "a", "bc")
