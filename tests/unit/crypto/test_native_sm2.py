"""The native core's SM2 as Python sees it: keys, refusals, batches, secrets."""

from __future__ import annotations

import copy
import gc
import importlib
import pickle
import random
import sys
import threading
from typing import Any

import pytest

from mifeng.crypto import sm2_libcrypto, sm2_portable
from mifeng.crypto.errors import DecryptionError, KeyFormatError, SignatureError
from tests.native.sm2_differential import ORACLES, compare
from tests.native.sm2_program import compile_program, run
from tests.native.sm2_reference import N, P, hex32, lift

core = pytest.importorskip("mifeng.crypto._native._core", reason="the native core is not built")
if not hasattr(core, "Sm2PrivateKey"):
    pytest.skip("the native core was built without SM2", allow_module_level=True)
core.install_errors(decryption=DecryptionError, signature=SignatureError, key=KeyFormatError)

RANDOM = random.Random(32918)
UID = b"1234567812345678"


@pytest.fixture(scope="module")
def key() -> Any:
    """A private key."""
    return core.Sm2PrivateKey.from_scalar(bytes(range(32)))


@pytest.mark.skipif(not sm2_libcrypto.available(), reason="no libcrypto with SM2")
def test_agrees_with_libcrypto() -> None:
    """2000 cases of every operation, one by one and in batches, both ways."""
    compare(2000, sm2_libcrypto)


@pytest.mark.parametrize(("oracle", "cases"), [("botan", 120), ("gmssl", 38)])
def test_agrees_with_implementations_of_their_own(oracle: str, cases: int) -> None:
    """Botan and GmSSL share no code with OpenSSL; where they are installed they agree too."""
    try:
        module = importlib.import_module(ORACLES[oracle])
    except (ImportError, OSError) as exc:
        pytest.skip(f"{oracle} is not installed: {exc}")
    compare(cases, module, start=1 << 21)


def test_agrees_with_pure_python() -> None:
    """The same against the portable provider, which makes every check of the standard."""
    compare(60, sm2_portable, start=1 << 20)


def test_nonces_are_those_of_rfc_6979_with_fresh_randomness() -> None:
    """K and V from d, e mod n and 32 fresh bytes: the generator of the portable provider.

    The test program draws the first of them in lanes too and compares.
    """
    program = compile_program()
    if program is None:
        pytest.skip("no C compiler")
    commands, expected = [], []
    for e in [0, 1, N - 1, N, N + 1, 2**256 - 1, *(RANDOM.randrange(N) for _ in range(9))]:
        d, fresh = RANDOM.randrange(1, N - 1), RANDOM.randbytes(32)
        commands.append(f"nonce {hex32(d)} {hex32(e)} {fresh.hex()}")
        nonces = sm2_portable._nonces(d, e, fresh)
        expected.append(hex32(next(nonces)) + hex32(next(nonces)))
    assert run(program, "portable", commands) == expected


def test_signatures_of_one_digest_differ(key: Any) -> None:
    """Fresh randomness enters every nonce, so nothing repeats."""
    signatures = {key.sign_digest(bytes(32)) for _ in range(50)}
    signatures |= set(core.sm2_sign_batch(key, [bytes(32)] * 50))
    assert len(signatures) == 100
    assert len({signature[:32] for signature in signatures}) == 100


def test_sign_and_verify_with_identifiers(key: Any) -> None:
    """The default identifier is the standard's; another makes another signature."""
    public = key.public_key()
    public.verify(key.sign(b"data"), b"data", uid=UID)
    public.verify(key.sign(b"data", uid=b"\xff" * 8191), bytearray(b"data"), uid=b"\xff" * 8191)
    public.verify(key.sign(b"", uid=b""), b"", uid=b"")
    with pytest.raises(SignatureError):
        public.verify(key.sign(b"data", uid=b"someone"), b"data")
    with pytest.raises(ValueError, match="8191"):
        key.sign(b"data", uid=bytes(8192))
    with pytest.raises(ValueError, match="8191"):
        public.verify(bytes(64), b"data", uid=bytes(8192))
    with pytest.raises(ValueError, match="8191"):
        public.za(bytes(8192))


def test_za_is_the_standards() -> None:
    """GB/T 32918.5, A.2: the identity digest of the example key."""
    d = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
    za = core.Sm2PrivateKey.from_scalar(d).public_key().za(UID)
    assert za.hex() == "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3"


def test_every_bent_byte_of_a_signature_is_refused(key: Any) -> None:
    """All 64 bytes count, and so does the length."""
    public, digest = key.public_key(), RANDOM.randbytes(32)
    signature = key.sign_digest(digest)
    public.verify_digest(signature, digest)
    for i in range(64):
        bent = bytearray(signature)
        bent[i] ^= 1 << RANDOM.randrange(8)
        with pytest.raises(SignatureError):
            public.verify_digest(bent, digest)
    for size in (0, 1, 63, 65, 128):
        with pytest.raises(SignatureError):
            public.verify_digest((signature * 2)[:size], digest)
        with pytest.raises(SignatureError):
            public.verify((signature * 2)[:size], b"data")


@pytest.mark.parametrize("size", [1, 31, 32, 33, 64, 65, 200])
def test_every_bent_byte_of_a_ciphertext_is_refused(key: Any, size: int) -> None:
    """C1, C3 and C2 all count, and so does every truncation and extension."""
    text = RANDOM.randbytes(size)
    ciphertext = key.public_key().encrypt(text)
    assert len(ciphertext) == size + 97
    assert key.decrypt(memoryview(ciphertext)) == text
    for i in range(len(ciphertext)):
        bent = bytearray(ciphertext)
        bent[i] ^= 1 << RANDOM.randrange(8)
        with pytest.raises(DecryptionError):
            key.decrypt(bent)
    for cut in (*range(0, len(ciphertext), 7), len(ciphertext) - 1):
        with pytest.raises(DecryptionError):
            key.decrypt(ciphertext[:cut])
    with pytest.raises(DecryptionError):
        key.decrypt(ciphertext + b"\0")


def test_the_older_order_is_refused(key: Any) -> None:
    """C1 || C2 || C3 of the standard's first edition does not decrypt."""
    ciphertext = key.public_key().encrypt(bytes(40))
    older = ciphertext[:65] + ciphertext[97:] + ciphertext[65:97]
    with pytest.raises(DecryptionError):
        key.decrypt(older)


def test_an_all_zero_key_stream_is_refused() -> None:
    """One byte of plaintext whose KDF output is 0: C3 is right, and still it is no ciphertext."""
    from mifeng.crypto import sm2_curve, sm2_pke

    d = 0x1234567
    key = core.Sm2PrivateKey.from_scalar(d.to_bytes(32, "big"))
    for k in range(1, 5000):
        shared = sm2_curve.to_affine(sm2_curve.add_base_multiple(k * d % N))
        c1 = sm2_curve.to_affine(sm2_curve.add_base_multiple(k))
        assert shared is not None
        assert c1 is not None
        x2, y2 = (v.to_bytes(32, "big") for v in shared)
        if sm2_pke.kdf(x2 + y2, 1) == b"\0":
            break
    else:
        pytest.fail("no such key stream found")
    ciphertext = sm2_curve.encode_point(c1) + sm2_pke.tag(x2, y2, b"A") + b"A"
    with pytest.raises(DecryptionError):
        key.decrypt(ciphertext)
    assert core.sm2_decrypt_batch(key, [ciphertext] * 9) == [None] * 9


def test_private_scalars() -> None:
    """1 to n - 2, 32 bytes; the scalar comes back for key files only."""
    for d in (1, 2, N - 2):
        raw = d.to_bytes(32, "big")
        assert core.Sm2PrivateKey.from_scalar(raw).to_scalar() == raw
    for d in (0, N - 1, N, N + 1, 2**256 - 1):
        with pytest.raises(KeyFormatError):
            core.Sm2PrivateKey.from_scalar(d.to_bytes(32, "big"))
    for size in (0, 31, 33):
        with pytest.raises(KeyFormatError):
            core.Sm2PrivateKey.from_scalar(b"\1" * size)
    with pytest.raises(TypeError):
        core.Sm2PrivateKey.from_scalar("1" * 32)


def test_public_points(key: Any) -> None:
    """65 bytes, on the curve, reduced; compressed and hybrid forms and infinity are refused."""
    raw = key.public_key().to_bytes()
    assert core.Sm2PublicKey.from_bytes(raw) == key.public_key()
    zero = lift(0)
    assert zero is not None
    at_zero = bytes([4]) + bytes.fromhex(hex32(0) + hex32(zero[1]))
    assert core.Sm2PublicKey.from_bytes(at_zero).to_bytes() == at_zero
    x, y = raw[1:33], raw[33:]
    bad = [b"", b"\0", raw[:64], raw + b"\0", b"\2" + raw[1:], b"\6" + raw[1:], bytes(65)]
    bad += [bytes([2 + (y[31] & 1)]) + x, b"\4" + bytes(64), b"\4" + y + x, b"\4" + b"\xff" * 64]
    bad += [b"\4" + bytes.fromhex(hex32(P) + hex32(zero[1]))]
    for candidate in bad:
        with pytest.raises(KeyFormatError):
            core.Sm2PublicKey.from_bytes(candidate)


def test_public_keys_are_values(key: Any) -> None:
    """Equal by value, hashable, printable."""
    public, other = key.public_key(), core.Sm2PrivateKey.generate().public_key()
    assert public == key.public_key()
    assert public != other
    assert public != public.to_bytes()
    assert len({public, key.public_key(), other}) == 2
    assert public.to_bytes().hex() in repr(public)


def test_secrets_stay_in_the_object(key: Any) -> None:
    """No printing, pickling, copying, comparing by value, subclassing or naked construction."""
    scalar = key.to_scalar()
    assert repr(key) == str(key) == "<Sm2PrivateKey: secret>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(key, protocol)
    with pytest.raises(TypeError):
        copy.copy(key)
    with pytest.raises(TypeError):
        copy.deepcopy(key)
    assert key != core.Sm2PrivateKey.from_scalar(scalar)
    for kind in (core.Sm2PrivateKey, core.Sm2PublicKey):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            type("Sub", (kind,), {})
        with pytest.raises(TypeError):
            kind.__new__(kind)
        with pytest.raises(TypeError):
            kind.sign = None
    assert not hasattr(key, "__dict__")


def test_empty_plaintext_and_short_digests_are_the_callers_error(key: Any) -> None:
    """Lengths that only a caller of ours can get wrong raise ValueError."""
    public = key.public_key()
    with pytest.raises(ValueError, match="at least one"):
        public.encrypt(b"")
    with pytest.raises(ValueError, match="at least one"):
        core.sm2_encrypt_batch([(public, b"a"), (public, b"")])
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            key.sign_digest(bytes(size))
        with pytest.raises(ValueError, match="32 bytes"):
            public.verify_digest(bytes(64), bytes(size))
        with pytest.raises(ValueError, match="32 bytes"):
            core.sm2_sign_batch(key, [bytes(32), bytes(size)])
        with pytest.raises(ValueError, match="32 bytes"):
            core.sm2_verify_batch([(public, bytes(64), bytes(size))])


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 16, 17])
def test_batches_of_every_filling(key: Any, count: int) -> None:
    """Batches give what single calls give, in order, with the wrong ones where they are."""
    public = key.public_key()
    keys = [core.Sm2PrivateKey.generate() for _ in range(count)]
    digests = [RANDOM.randbytes(32) for _ in range(count)]
    texts = [RANDOM.randbytes(RANDOM.randrange(1, 100)) for _ in range(count)]
    for digest, signature in zip(digests, core.sm2_sign_batch(key, digests), strict=True):
        public.verify_digest(signature, digest)
    mixed = [
        (k.public_key(), k.sign_digest(digest), digest)
        for k, digest in zip(keys, digests, strict=True)
    ]
    assert core.sm2_verify_batch(mixed) == [True] * count
    for i in range(count):
        bent = [*mixed]
        bent[i] = (bent[i][0], bent[i][1][:40], bent[i][2]) if i % 2 else (public, *bent[i][1:])
        assert core.sm2_verify_batch(bent) == [j != i for j in range(count)]
    sent = core.sm2_encrypt_batch(
        [(k.public_key(), text) for k, text in zip(keys, texts, strict=True)]
    )
    assert [k.decrypt(c) for k, c in zip(keys, sent, strict=True)] == texts
    received = [public.encrypt(text) for text in texts]
    assert core.sm2_decrypt_batch(key, received) == texts
    for i in range(count):
        bent_texts = [*received]
        bent_texts[i] = b"" if i % 3 == 0 else received[i][:-1] if i % 3 == 1 else bytes(120)
        expected = [None if j == i else text for j, text in enumerate(texts)]
        assert core.sm2_decrypt_batch(key, bent_texts) == expected


def test_batches_refuse_other_types(key: Any) -> None:
    """Entries are checked before any is worked on."""
    public = key.public_key()
    for entry in [(public,), (public, b"", b"", b""), [public, b"", b""], (key, b"", b""), None]:
        with pytest.raises(TypeError):
            core.sm2_verify_batch([entry])
    for text in [(public, "text"), (b"key", b"text"), (public,)]:
        with pytest.raises(TypeError):
            core.sm2_encrypt_batch([text])
    with pytest.raises(TypeError):
        core.sm2_sign_batch(public, [])
    with pytest.raises(TypeError):
        core.sm2_decrypt_batch(key, 5)
    with pytest.raises(TypeError):
        core.sm2_decrypt_batch(key, [None])
    with pytest.raises(TypeError):
        key.ecdh(public.to_bytes())


def test_ecdh_is_symmetric() -> None:
    """Both sides find the same x."""
    a, b = core.Sm2PrivateKey.generate(), core.Sm2PrivateKey.generate()
    shared = a.ecdh(b.public_key())
    assert len(shared) == 32
    assert shared == b.ecdh(a.public_key())


def test_threads_share_a_key(key: Any) -> None:
    """One key serves many threads at once; the interpreter is released meanwhile."""
    public, results = key.public_key(), []

    def work() -> None:
        for i in range(40):
            text = bytes([i]) * 40
            public.verify(key.sign(text), text)
            results.append(key.decrypt(public.encrypt(text)) == text)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 160


def test_no_reference_is_lost(key: Any) -> None:
    """Types, keys and buffers are counted right, on success and on failure."""
    public = key.public_key()
    data = bytes(range(200))
    digest = bytes(32)

    def everything() -> None:
        other = core.Sm2PrivateKey.generate()
        public.encrypt(data)
        core.sm2_verify_batch([(other.public_key(), bytes(64), digest)] * 3)
        core.sm2_decrypt_batch(key, [data, b""])
        core.sm2_sign_batch(other, [digest])
        for call in (lambda: key.decrypt(data), lambda: public.verify(data, data, uid=data)):
            with pytest.raises((DecryptionError, SignatureError)):
                call()

    counted = [core.Sm2PrivateKey, core.Sm2PublicKey, data, digest, key]
    everything()
    gc.collect()
    before = [sys.getrefcount(thing) for thing in counted]
    for _ in range(20):
        everything()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in counted] == before


def test_path_is_named() -> None:
    """The path in use is one of those the documentation explains."""
    assert core.sm2_path() in {"portable", "adx", "portable+ifma", "adx+ifma"}
