"""What every provider of SM2 must do, and everything it must refuse (THREATS 22)."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from mifeng.crypto import (
    DecryptionError,
    KeyFormatError,
    SignatureError,
    Sm2PrivateKey,
    Sm2PublicKey,
    sm3,
    sm3_portable,
)
from mifeng.crypto import sm2_curve as curve
from mifeng.crypto import sm2_known_answers as known
from mifeng.crypto import sm2_pke as pke
from mifeng.crypto.sm2_curve import N, P

if TYPE_CHECKING:
    from types import ModuleType

D = int.from_bytes(known.SCALAR, "big")


def b32(value: int) -> bytes:
    """Return 32 big-endian bytes."""
    return value.to_bytes(32, "big")


@pytest.fixture
def private(sm2_provider: ModuleType) -> Sm2PrivateKey:
    """Return the private key of the standard's examples."""
    return sm2_provider.Sm2PrivateKey.from_scalar(known.SCALAR)


@pytest.fixture
def public(sm2_provider: ModuleType) -> Sm2PublicKey:
    """Return the public key of the standard's examples."""
    return sm2_provider.Sm2PublicKey.from_bytes(known.PUBLIC)


def craft(plaintext: bytes, *, zero_stream: bool) -> bytes:
    """Return a ciphertext to the known key whose key stream is zero, or is not; C3 is right."""
    k = 0x1234567
    while True:
        k += 1
        c1 = curve.to_affine(curve.add_base_multiple(k))
        shared = curve.to_affine(
            curve.multiply(k, curve.odd_multiples(curve.decode_point(known.PUBLIC)))
        )
        x2, y2 = b32(shared[0]), b32(shared[1])
        stream = pke.kdf(x2 + y2, len(plaintext))
        if (not any(stream)) == zero_stream:
            c2 = bytes(a ^ b for a, b in zip(plaintext, stream, strict=True))
            return curve.encode_point(c1) + sm3(x2 + plaintext + y2) + c2


def test_the_standards_examples_hold(
    sm2_provider: ModuleType, private: Sm2PrivateKey, public: Sm2PublicKey
) -> None:
    """GB/T 32918.5-2017 A (signature) and C (encryption)."""
    known.check(sm2_provider.Sm2PrivateKey, sm2_provider.Sm2PublicKey)
    public.verify(known.SIGNATURE, known.MESSAGE)
    public.verify_digest(known.SIGNATURE, known.DIGEST)
    assert private.decrypt(known.CIPHERTEXT) == known.PLAINTEXT
    assert private.public_key().to_bytes() == known.PUBLIC


def test_za_is_that_of_the_standard() -> None:
    """GB/T 32918.5-2017 A.2: Z_A and e."""
    za = curve.identity_digest(known.PUBLIC, curve.DEFAULT_UID)
    assert za.hex() == "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3"
    assert curve.message_digest(known.PUBLIC, curve.DEFAULT_UID, known.MESSAGE) == known.DIGEST


def test_signatures_verify_and_never_repeat(sm2_provider: ModuleType) -> None:
    """Fresh keys sign; two signatures over one message differ, so the nonce did."""
    for _ in range(5):
        key = sm2_provider.Sm2PrivateKey.generate()
        one, two = key.sign(b"data"), key.sign(b"data")
        assert one != two
        assert len(one) == len(two) == 64
        for signature in (one, two):
            key.public_key().verify(signature, b"data")
            with pytest.raises(SignatureError):
                key.public_key().verify(signature, b"Data")


@pytest.mark.parametrize("uid", [b"", b"a", b"ALICE123@YAHOO.COM", b"\0" * 8191])
def test_the_identifier_is_signed(private: Sm2PrivateKey, public: Sm2PublicKey, uid: bytes) -> None:
    """A signature holds under its own identifier and no other."""
    signature = private.sign(b"data", uid=uid)
    public.verify(signature, b"data", uid=uid)
    for other in (uid + b"x" if len(uid) < 8191 else uid[:-1], b"1234567812345678"):
        with pytest.raises(SignatureError):
            public.verify(signature, b"data", uid=other)


def test_an_identifier_beyond_sixteen_bits_is_the_callers_error(
    private: Sm2PrivateKey, public: Sm2PublicKey
) -> None:
    """ENTL counts bits in two bytes, so 8191 bytes is the longest."""
    with pytest.raises(ValueError, match="identifier"):
        private.sign(b"", uid=bytes(8192))
    with pytest.raises(ValueError, match="identifier"):
        public.verify(known.SIGNATURE, b"", uid=bytes(8192))


def test_signing_a_digest_is_the_same_thing(private: Sm2PrivateKey, public: Sm2PublicKey) -> None:
    """`sign` is `sign_digest` of SM3(Z_A ‖ data)."""
    digest = curve.message_digest(known.PUBLIC, b"id", b"data")
    public.verify(private.sign_digest(digest), b"data", uid=b"id")
    public.verify_digest(private.sign(b"data", uid=b"id"), digest)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_another_digest_length_is_the_callers_error(
    private: Sm2PrivateKey, public: Sm2PublicKey, length: int
) -> None:
    """SM2 signs 32 bytes."""
    with pytest.raises(ValueError, match="digest"):
        private.sign_digest(bytes(length))
    with pytest.raises(ValueError, match="digest"):
        public.verify_digest(known.SIGNATURE, bytes(length))


@pytest.mark.parametrize("digest", [bytes(32), b"\xff" * 32, b32(N), b32(N - 1), b32(1)])
def test_every_digest_can_be_signed(
    private: Sm2PrivateKey, public: Sm2PublicKey, digest: bytes
) -> None:
    """E is any 32 bytes, above the order too."""
    public.verify_digest(private.sign_digest(digest), digest)


def test_any_bent_byte_of_a_signature_is_refused(public: Sm2PublicKey) -> None:
    """Each byte of r and s counts, and so does each byte of the message."""
    for i in range(64):
        bent = bytearray(known.SIGNATURE)
        bent[i] ^= 1 << (i % 8)
        with pytest.raises(SignatureError):
            public.verify(bytes(bent), known.MESSAGE)
    for i in range(len(known.MESSAGE)):
        bent = bytearray(known.MESSAGE)
        bent[i] ^= 1
        with pytest.raises(SignatureError):
            public.verify(known.SIGNATURE, bytes(bent))


@pytest.mark.parametrize("length", [0, 1, 63, 65, 70, 128])
def test_another_signature_length_is_refused(public: Sm2PublicKey, length: int) -> None:
    """A signature is 64 bytes, not DER and not padded."""
    with pytest.raises(SignatureError):
        public.verify((known.SIGNATURE * 2)[:length], known.MESSAGE)


R, S = known.SIGNATURE[:32], known.SIGNATURE[32:]


@pytest.mark.parametrize(
    "signature",
    [
        bytes(64),
        bytes(32) + S,
        R + bytes(32),
        b32(N) + S,
        R + b32(N),
        b"\xff" * 32 + S,
        R + b"\xff" * 32,
        S + R,
        R + b32(N - int.from_bytes(S, "big")),
    ],
    ids=["zeros", "r=0", "s=0", "r=n", "s=n", "r>n", "s>n", "swapped", "-s"],
)
def test_signatures_out_of_range_are_refused(public: Sm2PublicKey, signature: bytes) -> None:
    """R and s lie in [1, n-1] (GB/T 32918.2 §7 B1, B2); -s is no second signature."""
    with pytest.raises(SignatureError):
        public.verify(signature, known.MESSAGE)


def test_a_signature_modulo_the_order_is_refused(public: Sm2PublicKey) -> None:
    """R + n and s + n, where they fit, are not other spellings of r and s.

    s is small enough to fit only with luck, so the equation is solved backwards for a small s.
    """
    s, t = 7, 11
    r = (t - s) % N
    point = curve.to_affine(
        curve.add_base_multiple(
            s, curve.multiply(t, curve.odd_multiples(curve.decode_point(known.PUBLIC)))
        )
    )
    digest = b32((r - point[0]) % N)
    public.verify_digest(b32(r) + b32(s), digest)
    for bad in (b32(r + N) + b32(s), b32(r) + b32(s + N)):
        with pytest.raises(SignatureError):
            public.verify_digest(bad, digest)


@pytest.mark.parametrize("r", [0, N], ids=["r=0", "r=n"])
def test_r_congruent_to_zero_is_refused(public: Sm2PublicKey, r: int) -> None:
    """Even where the equation holds for it: e is chosen so that e + x1 is 0 modulo n."""
    s = 0xABCDEF
    table = curve.odd_multiples(curve.decode_point(known.PUBLIC))
    x, _ = curve.to_affine(curve.add_base_multiple(s, curve.multiply(s, table)))
    with pytest.raises(SignatureError):
        public.verify_digest(b32(r) + b32(s), b32(-x % N))


def test_t_equal_to_zero_is_refused(public: Sm2PublicKey) -> None:
    """R + s = n makes the public key drop out (§7 B5): anyone could solve for e."""
    s = 0xABCDEF
    r = N - s
    x, _ = curve.to_affine(curve.add_base_multiple(s))
    with pytest.raises(SignatureError):
        public.verify_digest(b32(r) + b32(s), b32((r - x) % N))


def test_infinity_in_verification_is_refused(public: Sm2PublicKey) -> None:
    """s·G + t·P = O has no x; a verifier that takes 0 for it would accept e = r."""
    t = 0xABCDEF
    s = -t * D % N
    r = (t - s) % N
    with pytest.raises(SignatureError):
        public.verify_digest(b32(r) + b32(s), b32(r))


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 64, 100, 1000])
def test_encryption_comes_back(sm2_provider: ModuleType, length: int) -> None:
    """Every plaintext of at least one byte; 97 bytes longer; never the same twice."""
    key = sm2_provider.Sm2PrivateKey.generate()
    plaintext = bytes(i & 0xFF for i in range(length))
    one, two = (key.public_key().encrypt(plaintext) for _ in range(2))
    assert len(one) == length + 97
    assert one[:97] != two[:97]
    assert key.decrypt(one) == key.decrypt(two) == plaintext


def test_an_empty_plaintext_is_the_callers_error(public: Sm2PublicKey) -> None:
    """With nothing to mask, an all-zero key stream could not be told from any other."""
    with pytest.raises(ValueError, match="byte"):
        public.encrypt(b"")


def test_any_bent_byte_of_a_ciphertext_is_refused(
    private: Sm2PrivateKey, public: Sm2PublicKey
) -> None:
    """Each byte of C1, C3 and C2 counts: 129 bytes of a wrapped 32-byte secret."""
    ciphertext = public.encrypt(bytes(32))
    assert len(ciphertext) == 129
    for i in range(len(ciphertext)):
        bent = bytearray(ciphertext)
        bent[i] ^= 1 << (i % 8)
        with pytest.raises(DecryptionError):
            private.decrypt(bytes(bent))


def test_every_truncation_of_a_ciphertext_is_refused(private: Sm2PrivateKey) -> None:
    """No prefix decrypts, and one more byte does not either."""
    for length in range(len(known.CIPHERTEXT)):
        with pytest.raises(DecryptionError):
            private.decrypt(known.CIPHERTEXT[:length])
    with pytest.raises(DecryptionError):
        private.decrypt(known.CIPHERTEXT + b"\0")


def test_the_older_order_is_refused(private: Sm2PrivateKey) -> None:
    """C1 ‖ C2 ‖ C3, the order before 2012, is not tried."""
    c1, c3, c2 = known.CIPHERTEXT[:65], known.CIPHERTEXT[65:97], known.CIPHERTEXT[97:]
    with pytest.raises(DecryptionError):
        private.decrypt(c1 + c2 + c3)


@pytest.mark.parametrize("tag", [0, 2, 3, 5, 6, 7, 0xFF])
def test_other_point_forms_are_refused(
    sm2_provider: ModuleType, private: Sm2PrivateKey, tag: int
) -> None:
    """Compressed, hybrid and unknown leading bytes are no second spelling of 04."""
    with pytest.raises(DecryptionError):
        private.decrypt(bytes((tag,)) + known.CIPHERTEXT[1:])
    with pytest.raises(DecryptionError):
        private.decrypt(bytes((tag,)) + known.CIPHERTEXT[1:33] + known.CIPHERTEXT[65:])
    with pytest.raises(DecryptionError):
        private.decrypt(known.CIPHERTEXT[1:])
    with pytest.raises(KeyFormatError):
        sm2_provider.Sm2PublicKey.from_bytes(bytes((tag,)) + known.PUBLIC[1:])


X_OF_Y_1 = 0x9C17043EFFE1A805A74A9A5E70B9D659705D3242094A566DC016F49311178D1F
"""The point with this x and y = 1 is on the curve, so y + p fits 32 bytes."""


def bad_points() -> list[tuple[str, bytes]]:
    """Return (name, 65 bytes) of points that are not on the curve or not in canonical form."""
    x, y = curve.decode_point(known.PUBLIC)
    small = next(
        v for v in range(1, 100) if pow(v**3 + curve.A * v + curve.B, (P - 1) // 2, P) == 1
    )
    small_y = pow(small**3 + curve.A * small + curve.B, (P + 1) // 4, P)
    assert curve.decode_point(b"\4" + b32(small) + b32(small_y)) == (small, small_y)
    assert curve.decode_point(b"\4" + b32(X_OF_Y_1) + b32(1)) == (X_OF_Y_1, 1)
    return [
        ("off the curve", b"\4" + b32(x) + b32(y ^ 1)),
        ("on a twist", b"\4" + b32(x ^ 1) + b32(y)),
        ("origin for infinity", b"\4" + bytes(64)),
        ("x = p", b"\4" + b32(P) + b32(y)),
        ("y = p", b"\4" + b32(x) + b32(P)),
        ("x + p for x", b"\4" + b32(small + P) + b32(small_y)),
        ("y + p for y", b"\4" + b32(X_OF_Y_1) + b32(1 + P)),
        ("all ones", b"\4" + b"\xff" * 64),
    ]


@pytest.mark.parametrize("raw", [p for _, p in bad_points()], ids=[n for n, _ in bad_points()])
def test_points_that_are_none_are_refused(
    sm2_provider: ModuleType, private: Sm2PrivateKey, raw: bytes
) -> None:
    """Invalid-curve points would leak the private key; x + p would be a second encoding."""
    with pytest.raises(KeyFormatError):
        sm2_provider.Sm2PublicKey.from_bytes(raw)
    with pytest.raises(DecryptionError):
        private.decrypt(raw + known.CIPHERTEXT[65:])


def test_an_all_zero_key_stream_is_refused(private: Sm2PrivateKey) -> None:
    """C2 = M in clear with a right C3 (GB/T 32918.4 §7 B4); its honest neighbour is accepted."""
    assert private.decrypt(craft(b"m", zero_stream=False)) == b"m"
    with pytest.raises(DecryptionError):
        private.decrypt(craft(b"m", zero_stream=True))


def test_encryption_never_sends_the_plaintext_in_clear(public: Sm2PublicKey) -> None:
    """One-byte plaintexts meet a zero key stream once in 256; it is drawn again (§6 A5)."""
    assert all(public.encrypt(b"m")[97:] != b"m" for _ in range(300))


@pytest.mark.parametrize("scalar", [0, N - 1, N, N + 1, (1 << 256) - 1])
def test_scalars_out_of_range_are_no_key(sm2_provider: ModuleType, scalar: int) -> None:
    """D lies in [1, n-2] (GB/T 32918.1 §6.1): 1 + d must be invertible."""
    with pytest.raises(KeyFormatError):
        sm2_provider.Sm2PrivateKey.from_scalar(b32(scalar))


@pytest.mark.parametrize("scalar", [1, 2, N - 2])
def test_scalars_at_the_border_are_keys(sm2_provider: ModuleType, scalar: int) -> None:
    """The extremes sign, verify and decrypt."""
    key = sm2_provider.Sm2PrivateKey.from_scalar(b32(scalar))
    key.public_key().verify(key.sign(b"data"), b"data")
    assert key.decrypt(key.public_key().encrypt(b"data")) == b"data"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_another_scalar_length_is_no_key(sm2_provider: ModuleType, length: int) -> None:
    """A private key is 32 bytes."""
    with pytest.raises(KeyFormatError):
        sm2_provider.Sm2PrivateKey.from_scalar(b"\1" * length)


@pytest.mark.parametrize("length", [0, 1, 33, 64, 66])
def test_another_point_length_is_no_key(sm2_provider: ModuleType, length: int) -> None:
    """A public key is 65 bytes; the byte 00 of infinity is none."""
    with pytest.raises(KeyFormatError):
        sm2_provider.Sm2PublicKey.from_bytes((known.PUBLIC + b"\0")[:length])
    with pytest.raises(KeyFormatError):
        sm2_provider.Sm2PublicKey.from_bytes(bytes(length))


def test_public_keys_are_values(sm2_provider: ModuleType, public: Sm2PublicKey) -> None:
    """Equal bytes make equal keys with equal hashes."""
    twin = sm2_provider.Sm2PublicKey.from_bytes(bytearray(known.PUBLIC))
    other = sm2_provider.Sm2PrivateKey.generate().public_key()
    assert twin == public
    assert hash(twin) == hash(public)
    assert other != public
    assert public != known.PUBLIC
    assert public.to_bytes() == known.PUBLIC


def test_private_keys_keep_their_secret(private: Sm2PrivateKey) -> None:
    """They neither print, nor pickle, nor copy their scalar."""
    for text in (repr(private), str(private), f"{private}"):
        assert known.SCALAR.hex() not in text.lower()
        assert str(D) not in text
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(private)
    assert not hasattr(private, "__dict__")


def test_every_buffer_type_is_accepted(
    sm2_provider: ModuleType, private: Sm2PrivateKey, public: Sm2PublicKey
) -> None:
    """Keys, messages, signatures and ciphertexts may be of any byte type."""
    for kind in (bytes, bytearray, memoryview):
        sm2_provider.Sm2PrivateKey.from_scalar(kind(known.SCALAR))
        public.verify(kind(known.SIGNATURE), kind(known.MESSAGE))
        public.verify_digest(kind(known.SIGNATURE), kind(known.DIGEST))
        public.verify(private.sign(kind(b"m"), uid=kind(b"u")), b"m", uid=b"u")
        public.verify_digest(private.sign_digest(kind(bytes(32))), bytes(32))
        assert private.decrypt(kind(public.encrypt(kind(b"m")))) == b"m"


def test_providers_understand_each_other(sm2_provider: ModuleType) -> None:
    """What one makes, the pure-Python one accepts, and the other way round."""
    from mifeng.crypto import sm2_portable

    ours = sm2_portable.Sm2PrivateKey.from_scalar(known.SCALAR)
    theirs = sm2_provider.Sm2PrivateKey.from_scalar(known.SCALAR)
    for left, right in ((ours, theirs), (theirs, ours)):
        right.public_key().verify(left.sign(b"data"), b"data")
        assert right.decrypt(left.public_key().encrypt(b"data")) == b"data"
    assert sm3_portable.sm3(ours.public_key().to_bytes()) == sm3(theirs.public_key().to_bytes())
