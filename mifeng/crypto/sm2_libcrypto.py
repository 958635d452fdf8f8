"""SM2 through the system's libcrypto (OpenSSL 3 or later), reached by ctypes.

Only the provider-era EVP interface and EC_POINT_mul are used, no EC_KEY. The private scalar lives
in libcrypto's memory, which clears it when the key object goes. `available` says no
unless the library passes the standard's own examples; builds without SM2 exist.

What libcrypto leaves open is closed here: ranges and encodings are checked before it sees them,
and an all-zero key stream, which some versions accept, is refused. Two things stay open. Nonces
come from libcrypto's random generator and are not hedged; and while scalar multiplication is a
ladder, the big-number arithmetic under it makes no constant-time promise, so this provider does
not count as constant-time.

Source: GB/T 32918.2-2016, GB/T 32918.4-2016; OpenSSL EVP_PKEY-SM2(7); docs/spec/crypto.md §1.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_ulong, c_void_p
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from mifeng.crypto import sm2_curve as curve
from mifeng.crypto import sm2_known_answers as known
from mifeng.crypto import sm2_pke as pke
from mifeng.crypto.buffers import Secret
from mifeng.crypto.errors import (
    CryptoError,
    DecryptionError,
    KeyFormatError,
    SignatureError,
)
from mifeng.crypto.sm2_codec import (
    ciphertext_from_der,
    ciphertext_to_der,
    signature_from_der,
    signature_to_der,
)
from mifeng.crypto.sm2_curve import DEFAULT_UID, N

if TYPE_CHECKING:
    from mifeng.crypto.buffers import Buffer

_DIGEST_BYTES: Final = 32
_MIN_VERSION: Final = 0x30000000
_SONAMES: Final = ("libcrypto.so.4", "libcrypto.so.3", "libcrypto.3.dylib")
_PUBLIC: Final = 0x86  # EVP_PKEY_PUBLIC_KEY
_KEYPAIR: Final = 0x87  # EVP_PKEY_KEYPAIR
_UNSIGNED, _UTF8, _OCTETS = 2, 4, 5  # OSSL_PARAM data types


class _Param(ctypes.Structure):
    """OSSL_PARAM of openssl/core.h."""

    _fields_ = (
        ("key", c_char_p),
        ("data_type", c_uint),
        ("data", c_void_p),
        ("data_size", c_size_t),
        ("return_size", c_size_t),
    )


_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "OpenSSL_version": (c_char_p, (c_int,)),
    "OpenSSL_version_num": (c_ulong, ()),
    "ERR_clear_error": (None, ()),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_new_from_name": (c_void_p, (c_void_p, c_char_p, c_char_p)),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, (c_void_p, c_void_p, c_char_p)),
    "EVP_PKEY_fromdata_init": (c_int, (c_void_p,)),
    "EVP_PKEY_fromdata": (c_int, (c_void_p, POINTER(c_void_p), c_int, POINTER(_Param))),
    "EVP_PKEY_keygen_init": (c_int, (c_void_p,)),
    "EVP_PKEY_generate": (c_int, (c_void_p, POINTER(c_void_p))),
    "EVP_PKEY_get_octet_string_param": (
        c_int,
        (c_void_p, c_char_p, c_char_p, c_size_t, POINTER(c_size_t)),
    ),
    "EVP_PKEY_sign_init": (c_int, (c_void_p,)),
    "EVP_PKEY_sign": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
    "EVP_PKEY_verify_init": (c_int, (c_void_p,)),
    "EVP_PKEY_verify": (c_int, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
    "EVP_PKEY_encrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_encrypt": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
    "EVP_PKEY_decrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_decrypt": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
    "OBJ_txt2nid": (c_int, (c_char_p,)),
    "EC_GROUP_new_by_curve_name": (c_void_p, (c_int,)),
    "EC_POINT_new": (c_void_p, (c_void_p,)),
    "EC_POINT_clear_free": (None, (c_void_p,)),
    "EC_POINT_mul": (c_int, (c_void_p,) * 6),
    "EC_POINT_point2oct": (
        c_size_t,
        (c_void_p, c_void_p, c_int, c_char_p, c_size_t, c_void_p),
    ),
    "BN_bin2bn": (c_void_p, (c_char_p, c_int, c_void_p)),
    "BN_clear_free": (None, (c_void_p,)),
}


@cache
def _library() -> ctypes.CDLL | None:
    for name in _SONAMES:
        try:
            library = ctypes.CDLL(name)
            for function, (result, arguments) in _SIGNATURES.items():
                symbol = getattr(library, function)
                symbol.restype, symbol.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        if library.OpenSSL_version_num() >= _MIN_VERSION:
            return library
    return None


def _lib() -> ctypes.CDLL:
    library = _library()
    if library is None:
        raise CryptoError("no usable libcrypto", code="crypto.provider")
    return library


class _Context:
    """One EVP_PKEY_CTX, freed on exit; failures leave no entry in the thread's error queue."""

    __slots__ = ("handle",)

    def __init__(self, key: c_void_p | None) -> None:
        lib = _lib()
        self.handle = (
            lib.EVP_PKEY_CTX_new_from_name(None, b"SM2", None)
            if key is None
            else lib.EVP_PKEY_CTX_new_from_pkey(None, key, None)
        )
        if not self.handle:
            raise CryptoError("libcrypto has no SM2", code="crypto.provider")

    def __enter__(self) -> c_void_p:
        return c_void_p(self.handle)

    def __exit__(self, *_: object) -> None:
        lib = _lib()
        lib.EVP_PKEY_CTX_free(self.handle)
        lib.ERR_clear_error()


def _transform(operation: str, key: c_void_p, data: bytes, room: int) -> bytes | None:
    """Run EVP_PKEY_<operation> on `data` into `room` bytes; None if libcrypto refuses."""
    lib = _lib()
    out = ctypes.create_string_buffer(room)
    length = c_size_t(room)
    with _Context(key) as context:
        initialise = getattr(lib, f"EVP_PKEY_{operation}_init")
        run = getattr(lib, f"EVP_PKEY_{operation}")
        done = initialise(context) == 1 and (run(context, out, byref(length), data, len(data)) == 1)
    result = out.raw[: length.value] if done else None
    ctypes.memset(out, 0, room)
    return result


def _import_key(public: bytes, scalar: bytes | None) -> c_void_p:
    """Return an EVP_PKEY holding the point and, where given, the scalar."""
    lib = _lib()
    group = ctypes.create_string_buffer(b"SM2")
    point = ctypes.create_string_buffer(public, len(public))
    params = [
        _Param(b"group", _UTF8, ctypes.addressof(group), 3, 0),
        _Param(b"pub", _OCTETS, ctypes.addressof(point), len(public), 0),
    ]
    native = scalar if scalar is None or sys.byteorder == "big" else scalar[::-1]
    secret = ctypes.create_string_buffer(native or b"", _DIGEST_BYTES)
    if scalar is not None:
        params.append(_Param(b"priv", _UNSIGNED, ctypes.addressof(secret), _DIGEST_BYTES, 0))
    params.append(_Param(None, 0, None, 0, 0))
    array = (_Param * len(params))(*params)
    key = c_void_p()
    selection = _PUBLIC if scalar is None else _KEYPAIR
    with _Context(None) as context:
        done = lib.EVP_PKEY_fromdata_init(context) == 1 and (
            lib.EVP_PKEY_fromdata(context, byref(key), selection, array) == 1
        )
    ctypes.memset(secret, 0, _DIGEST_BYTES)
    if not done or key.value is None:
        raise CryptoError("libcrypto refuses the key", code="crypto.provider")
    return key


def _base_multiple(scalar: bytes) -> bytes:
    """Return 04 ‖ X ‖ Y of scalar·G by libcrypto's ladder."""
    lib = _lib()
    group = _group()
    number = c_void_p(lib.BN_bin2bn(scalar, len(scalar), None))
    point = c_void_p(lib.EC_POINT_new(group))
    out = ctypes.create_string_buffer(curve.POINT_BYTES)
    try:
        done = lib.EC_POINT_mul(group, point, number, None, None, None) == 1 and (
            lib.EC_POINT_point2oct(group, point, 4, out, curve.POINT_BYTES, None)
            == curve.POINT_BYTES
        )
    finally:
        lib.EC_POINT_clear_free(point)
        lib.BN_clear_free(number)
    if not done:
        raise CryptoError("libcrypto refuses the key", code="crypto.provider")
    return out.raw


@cache
def _group() -> c_void_p:
    """Return the process-wide EC_GROUP of SM2; never freed."""
    lib = _lib()
    return c_void_p(lib.EC_GROUP_new_by_curve_name(lib.OBJ_txt2nid(b"SM2")))


class Sm2PublicKey:
    """A point of the SM2 curve that verifies signatures and encrypts; equal by value."""

    __slots__ = ("__weakref__", "_key", "_raw")

    def __init__(self, raw: Buffer) -> None:
        """Take 04 ‖ X ‖ Y; see `from_bytes`."""
        curve.decode_point(raw)
        self._raw = bytes(raw)
        self._key = _import_key(self._raw, None)
        weakref.finalize(self, _lib().EVP_PKEY_free, self._key)

    @classmethod
    def from_bytes(cls, raw: Buffer) -> Sm2PublicKey:
        """Return the key of 04 ‖ X ‖ Y, 65 bytes, untrusted.

        Raises:
            KeyFormatError: not that form, a coordinate ≥ p, or not on the curve.
        """
        return cls(raw)

    def to_bytes(self) -> bytes:
        """Return 04 ‖ X ‖ Y, 65 bytes."""
        return self._raw

    def verify(self, signature: Buffer, data: Buffer, *, uid: Buffer = DEFAULT_UID) -> None:
        """Return if `signature` = r ‖ s is this key's over `data` under the identifier `uid`.

        Raises:
            SignatureError: it is not, for whatever reason.
        """
        self.verify_digest(signature, curve.message_digest(self._raw, uid, data))

    def verify_digest(self, signature: Buffer, digest: Buffer) -> None:
        """Return if `signature` is this key's over e = `digest`, 32 bytes.

        Raises:
            SignatureError: r or s outside [1, n-1], r + s ≡ 0, or the equation fails.
            ValueError: the digest is not 32 bytes.
        """
        e = _digest(digest)
        raw = bytes(signature)
        encoded = signature_to_der(raw)
        if int.from_bytes(raw[:32], "big") + int.from_bytes(raw[32:], "big") == N:
            raise SignatureError
        lib = _lib()
        with _Context(self._key) as context:
            done = lib.EVP_PKEY_verify_init(context) == 1 and (
                lib.EVP_PKEY_verify(context, encoded, len(encoded), e, len(e)) == 1
            )
        if not done:
            raise SignatureError

    def encrypt(self, plaintext: Buffer) -> bytes:
        """Return C1 ‖ C3 ‖ C2, `len(plaintext) + 97` bytes.

        Raises:
            ValueError: the plaintext is empty.
        """
        text = bytes(plaintext)
        if not text:
            raise ValueError("SM2 encrypts at least one byte")
        while True:
            encoded = _transform("encrypt", self._key, text, len(text) + 160)
            if encoded is None:
                raise CryptoError("libcrypto failed to encrypt", code="crypto.provider")
            ciphertext = ciphertext_from_der(encoded)
            if ciphertext[pke.OVERHEAD_BYTES :] != text:  # else the key stream was all zero
                return ciphertext

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sm2PublicKey) and self._raw == other._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        return f"Sm2PublicKey({self._raw.hex()})"


class Sm2PrivateKey(Secret):
    """A scalar in libcrypto's memory that signs and decrypts; it does not print or pickle."""

    __slots__ = ("__weakref__", "_key", "_public")

    def __init__(self, key: c_void_p, public: bytes) -> None:
        """Own an EVP_PKEY; use `generate` or `from_scalar`."""
        self._key = key
        weakref.finalize(self, _lib().EVP_PKEY_free, key)
        self._public = Sm2PublicKey(public)

    @classmethod
    def generate(cls) -> Sm2PrivateKey:
        """Return a new key from libcrypto's random generator."""
        lib = _lib()
        key = c_void_p()
        with _Context(None) as context:
            done = lib.EVP_PKEY_keygen_init(context) == 1 and (
                lib.EVP_PKEY_generate(context, byref(key)) == 1
            )
        if not done:
            raise CryptoError("libcrypto failed to make a key", code="crypto.provider")
        out, length = ctypes.create_string_buffer(curve.POINT_BYTES), c_size_t()
        lib.EVP_PKEY_get_octet_string_param(key, b"pub", out, curve.POINT_BYTES, byref(length))
        return cls(key, out.raw[: length.value])

    @classmethod
    def from_scalar(cls, scalar: Buffer) -> Sm2PrivateKey:
        """Return the key with this 32-byte big-endian d.

        Raises:
            KeyFormatError: not 32 bytes, or d outside [1, n-2].
        """
        raw = bytes(scalar)
        if len(raw) != _DIGEST_BYTES or not 1 <= int.from_bytes(raw, "big") <= N - 2:
            raise KeyFormatError("an SM2 private key is 32 bytes, from 1 to n-2")
        public = _base_multiple(raw)
        return cls(_import_key(public, raw), public)

    def public_key(self) -> Sm2PublicKey:
        """Return the point d·G."""
        return self._public

    def sign(self, data: Buffer, *, uid: Buffer = DEFAULT_UID) -> bytes:
        """Return r ‖ s, 64 bytes, over `data` under the identifier `uid`."""
        return self.sign_digest(curve.message_digest(self._public.to_bytes(), uid, data))

    def sign_digest(self, digest: Buffer) -> bytes:
        """Return r ‖ s, 64 bytes, over e = `digest`, 32 bytes.

        Raises:
            ValueError: the digest is not 32 bytes.
        """
        encoded = _transform("sign", self._key, _digest(digest), 80)
        if encoded is None:
            raise CryptoError("libcrypto failed to sign", code="crypto.provider")
        return signature_from_der(encoded)

    def decrypt(self, ciphertext: Buffer) -> bytes:
        """Return the plaintext of C1 ‖ C3 ‖ C2.

        Args:
            ciphertext: untrusted; any bytes. C1 ‖ C2 ‖ C3 and DER are refused.

        Raises:
            DecryptionError: C1 malformed or off the curve, key stream all zero, C3 wrong.
        """
        raw = bytes(ciphertext)
        c2 = raw[pke.OVERHEAD_BYTES :]
        plaintext = _transform("decrypt", self._key, ciphertext_to_der(raw), len(c2))
        if plaintext is None or plaintext == c2 or len(plaintext) != len(c2):
            raise DecryptionError
        return plaintext


def _digest(digest: Buffer) -> bytes:
    if len(digest) != _DIGEST_BYTES:
        raise ValueError("SM2 signs a digest of 32 bytes")
    return bytes(digest)


@cache
def available() -> bool:
    """Whether libcrypto is there and agrees with the examples of GB/T 32918.5-2017, A and C."""
    if _library() is None:
        return False
    try:
        known.check(Sm2PrivateKey, Sm2PublicKey)
    except CryptoError:
        return False
    return True


def version() -> str:
    """Return libcrypto's own version line, or an empty string without it."""
    lib = _library()
    return "" if lib is None else lib.OpenSSL_version(0).decode("ascii", "replace")
