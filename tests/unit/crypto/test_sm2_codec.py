"""DER forms of signatures and ciphertexts: one encoding each, everything else refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto import (
    DecryptionError,
    SignatureError,
    ciphertext_from_der,
    ciphertext_to_der,
    der,
    signature_from_der,
    signature_to_der,
)
from mifeng.crypto import sm2_known_answers as known
from mifeng.crypto.sm2_curve import N, P

# GB/T 32918.5-2017 A and C in the structures of GM/T 0009.
SIGNATURE_DER = bytes.fromhex(
    "3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
CIPHERTEXT_DER = bytes.fromhex(
    "307c022004ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73"
    "022100e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
    "042059983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"
    "041321886ca989ca9c7d58087307ca93092d651efa"
)
X, Y = known.CIPHERTEXT[1:33], known.CIPHERTEXT[33:65]
C3, C2 = known.CIPHERTEXT[65:97], known.CIPHERTEXT[97:]


def cipher(x: bytes, y: bytes, c3: bytes = der.octets(C3), c2: bytes = der.octets(C2)) -> bytes:
    """Return an SM2Cipher with these encoded members."""
    return der.sequence(x, y, c3, c2)


def test_the_standards_examples_convert_both_ways() -> None:
    """Raw and DER forms of the published signature and ciphertext."""
    assert signature_to_der(known.SIGNATURE) == SIGNATURE_DER
    assert signature_from_der(SIGNATURE_DER) == known.SIGNATURE
    assert ciphertext_to_der(known.CIPHERTEXT) == CIPHERTEXT_DER
    assert ciphertext_from_der(CIPHERTEXT_DER) == known.CIPHERTEXT


@given(r=st.integers(1, N - 1), s=st.integers(1, N - 1))
def test_every_signature_round_trips(r: int, s: int) -> None:
    """All ranges, short integers included."""
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert signature_from_der(signature_to_der(raw)) == raw


@given(data=st.binary(max_size=150))
def test_decoders_are_total_and_canonical(data: bytes) -> None:
    """Any bytes either raise our error or are the one encoding of what they decode to."""
    with contextlib.suppress(SignatureError):
        assert signature_to_der(signature_from_der(data)) == data
    with contextlib.suppress(DecryptionError):
        assert ciphertext_to_der(ciphertext_from_der(data)) == data


@given(index=st.integers(0, 125), value=st.integers(0, 255))
def test_any_bent_byte_changes_or_breaks_the_meaning(index: int, value: int) -> None:
    """No byte of an encoding is free: whatever still parses parses to something else."""
    for original, decode, encode, error in (
        (SIGNATURE_DER, signature_from_der, signature_to_der, SignatureError),
        (CIPHERTEXT_DER, ciphertext_from_der, ciphertext_to_der, DecryptionError),
    ):
        bent = bytearray(original)
        bent[index % len(bent)] = value
        try:
            decoded = decode(bent)
        except error:
            continue
        assert encode(decoded) == bent


SMALL = b"\x02\x01\x01"


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x30",
        b"\x30\x80" + SMALL + SMALL + b"\0\0",
        b"\x30\x81\x06" + SMALL * 2,
        b"\x30\x82\x00\x06" + SMALL * 2,
        b"\x30\x85\x00\x00\x00\x00\x06" + SMALL * 2,
        b"\x30\x07" + SMALL * 2,
        b"\x30\x07" + SMALL * 2 + b"\0",
        b"\x30\x06" + SMALL * 2 + b"\0",
        b"\x31\x06" + SMALL * 2,
        b"\x30\x03" + SMALL,
        b"\x30\x09" + SMALL * 3,
        b"\x30\x07\x02\x02\x00\x01" + SMALL,
        b"\x30\x06\x02\x01\x00" + SMALL,
        b"\x30\x06\x02\x01\x80" + SMALL,
        b"\x30\x05\x02\x00" + SMALL,
        b"\x30\x06\x04\x01\x01" + SMALL,
        der.sequence(der.integer(N), der.integer(1)),
        der.sequence(der.integer(1), der.integer(N)),
        der.sequence(der.integer(1), der.integer(1 << 600)),
    ],
)
def test_signatures_that_are_not_der_are_refused(encoded: bytes) -> None:
    """Indefinite and long lengths, padding, negatives, leftovers, other tags, ranges."""
    with pytest.raises(SignatureError):
        signature_from_der(encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        cipher(b"\x02\x21\x00" + X, der.integer(int.from_bytes(Y, "big"))),
        cipher(der.integer(int.from_bytes(X, "big")), b"\x02\x20" + Y),
        cipher(der.integer(int.from_bytes(X, "big") + P), der.integer(int.from_bytes(Y, "big"))),
        cipher(der.integer(1 << 300), der.integer(int.from_bytes(Y, "big"))),
        cipher(der.integer(int.from_bytes(X, "big")), der.integer(int.from_bytes(Y, "big") ^ 1)),
        cipher(*(der.integer(int.from_bytes(v, "big")) for v in (X, Y)), der.octets(C3[1:])),
        cipher(
            *(der.integer(int.from_bytes(v, "big")) for v in (X, Y)), der.octets(C2), der.octets(C3)
        ),
        cipher(
            *(der.integer(int.from_bytes(v, "big")) for v in (X, Y)),
            der.octets(C3),
            der.octets(b""),
        ),
        CIPHERTEXT_DER + b"\0",
        CIPHERTEXT_DER[:-1],
    ],
    ids=[
        "long x",
        "negative y",
        "x+p",
        "huge x",
        "off curve",
        "short C3",
        "swapped",
        "no C2",
        "more",
        "less",
    ],
)
def test_ciphertexts_that_are_not_canonical_are_refused(encoded: bytes) -> None:
    """Coordinates out of range or padded, parts of wrong length or order, leftovers."""
    with pytest.raises(DecryptionError):
        ciphertext_from_der(encoded)


def test_raw_forms_out_of_range_have_no_der() -> None:
    """The encoders check what they are given, too."""
    for raw in (bytes(64), known.SIGNATURE[:63], known.SIGNATURE[:32] + N.to_bytes(32, "big")):
        with pytest.raises(SignatureError):
            signature_to_der(raw)
    for raw in (b"", known.CIPHERTEXT[:97], b"\2" + known.CIPHERTEXT[1:]):
        with pytest.raises(DecryptionError):
            ciphertext_to_der(raw)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_lengths_round_trip(length: int) -> None:
    """Short and long form lengths at their borders."""
    reader = der.Reader(der.octets(bytes(length)))
    assert reader.take(der.OCTET_STRING) == bytes(length)
    reader.end()


@pytest.mark.parametrize(
    "encoded", [b"\x04\x82\x00\x80" + bytes(128), b"\x04\x83\x00\x01\x00" + bytes(256)]
)
def test_lengths_with_leading_zeros_are_refused(encoded: bytes) -> None:
    """The long form too has one spelling."""
    with pytest.raises(der.DerError):
        der.Reader(encoded).take(der.OCTET_STRING)


def test_object_identifiers_are_encoded_as_published() -> None:
    """The curve's identifier in the bytes every SM2 certificate carries."""
    assert der.oid("1.2.156.10197.1.301").hex() == "06082a811ccf5501822d"
