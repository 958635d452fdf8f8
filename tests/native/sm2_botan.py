"""Botan's SM2 through its C interface, shaped like our classes: an oracle for differential runs.

    apt-get install libbotan-2-19

Its curve, signature and encryption code are its own. It is given random test keys only.

Source: Botan 2.19 handbook, "FFI (C Binding)"; the padding of SM2 is `identifier,hash`.
"""

from __future__ import annotations

import ctypes
import string
from typing import Any, Final

from mifeng.crypto.errors import DecryptionError, SignatureError
from mifeng.crypto.sm2_codec import ciphertext_from_der, ciphertext_to_der
from mifeng.crypto.sm2_curve import DEFAULT_UID

IDENTIFIERS: Final = (string.ascii_letters + string.digits + " @._-").encode()
"""Bytes of an identifier: it is passed as text, and a comma ends it."""
_CURVE: Final = b"sm2p256v1"
_RAW: Final = b",Raw"
_lib: Final = ctypes.CDLL("libbotan-2.so.19")


class _Handle:
    """An object of the library, destroyed with this one."""

    def __init__(self, kind: str, make: str, *arguments: Any) -> None:
        self.pointer = ctypes.c_void_p()
        self._destroy = getattr(_lib, f"botan_{kind}_destroy")
        status = getattr(_lib, f"botan_{make}")(ctypes.byref(self.pointer), *arguments)
        if status:
            raise ValueError(f"botan_{make}: {status}")

    def __del__(self) -> None:
        self._destroy(self.pointer)


_RNG: Final = _Handle("rng", "rng_init", b"user")


def _number(raw: bytes) -> _Handle:
    made = _Handle("mp", "mp_init")
    _lib.botan_mp_from_bin(made.pointer, raw, ctypes.c_size_t(len(raw)))
    return made


def _bytes(number: _Handle) -> bytes:
    size, out = ctypes.c_size_t(), ctypes.create_string_buffer(32)
    _lib.botan_mp_num_bytes(number.pointer, ctypes.byref(size))
    _lib.botan_mp_to_bin(number.pointer, out)
    return out.raw[: size.value].rjust(32, b"\0")


def _padding(uid: bytes) -> bytes:
    return bytes(uid) + b",SM3"


class Sm2PublicKey:
    """See `mifeng.crypto.Sm2PublicKey`."""

    def __init__(self, key: _Handle) -> None:
        self._key = key

    @classmethod
    def from_bytes(cls, raw: bytes) -> Sm2PublicKey:
        """Take 04 ‖ X ‖ Y."""
        x, y = _number(raw[1:33]), _number(raw[33:])
        return cls(_Handle("pubkey", "pubkey_load_sm2", x.pointer, y.pointer, _CURVE))

    def to_bytes(self) -> bytes:
        """Return 04 ‖ X ‖ Y."""
        parts = []
        for name in (b"public_x", b"public_y"):
            number = _Handle("mp", "mp_init")
            _lib.botan_pubkey_get_field(number.pointer, self._key.pointer, name)
            parts.append(_bytes(number))
        return b"\4" + b"".join(parts)

    def _verify(self, padding: bytes, signature: bytes, data: bytes) -> None:
        op = _Handle("pk_op_verify", "pk_op_verify_create", self._key.pointer, padding, 0)
        _lib.botan_pk_op_verify_update(op.pointer, data, ctypes.c_size_t(len(data)))
        size = ctypes.c_size_t(len(signature))
        if _lib.botan_pk_op_verify_finish(op.pointer, bytes(signature), size):
            raise SignatureError

    def verify(self, signature: bytes, data: bytes, *, uid: bytes = DEFAULT_UID) -> None:
        """Return if it verifies, else raise `SignatureError`."""
        self._verify(_padding(uid), signature, data)

    def verify_digest(self, signature: bytes, digest: bytes) -> None:
        """Do the same for a digest."""
        self._verify(_RAW, signature, digest)

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return C1 ‖ C3 ‖ C2."""
        op = _Handle("pk_op_encrypt", "pk_op_encrypt_create", self._key.pointer, b"SM3", 0)
        return ciphertext_from_der(_output("encrypt", op, plaintext, _RNG.pointer))


class Sm2PrivateKey:
    """See `mifeng.crypto.Sm2PrivateKey`."""

    def __init__(self, key: _Handle) -> None:
        self._key = key

    @classmethod
    def from_scalar(cls, scalar: bytes) -> Sm2PrivateKey:
        """Take d, 32 bytes."""
        number = _number(scalar)
        return cls(_Handle("privkey", "privkey_load_sm2", number.pointer, _CURVE))

    def public_key(self) -> Sm2PublicKey:
        """Return the public half."""
        return Sm2PublicKey(_Handle("pubkey", "privkey_export_pubkey", self._key.pointer))

    def _sign(self, padding: bytes, data: bytes) -> bytes:
        op = _Handle("pk_op_sign", "pk_op_sign_create", self._key.pointer, padding, 0)
        _lib.botan_pk_op_sign_update(op.pointer, data, ctypes.c_size_t(len(data)))
        out, size = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
        if _lib.botan_pk_op_sign_finish(op.pointer, _RNG.pointer, out, ctypes.byref(size)):
            raise ValueError("botan_pk_op_sign_finish")
        return out.raw[: size.value]

    def sign(self, data: bytes, *, uid: bytes = DEFAULT_UID) -> bytes:
        """Return r ‖ s."""
        return self._sign(_padding(uid), data)

    def sign_digest(self, digest: bytes) -> bytes:
        """Return r ‖ s over a digest."""
        return self._sign(_RAW, digest)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the plaintext of C1 ‖ C3 ‖ C2, or raise `DecryptionError`."""
        op = _Handle("pk_op_decrypt", "pk_op_decrypt_create", self._key.pointer, b"SM3", 0)
        try:
            return _output("decrypt", op, ciphertext_to_der(bytes(ciphertext)))
        except ValueError:
            raise DecryptionError from None


def _output(operation: str, op: _Handle, data: bytes, *rng: ctypes.c_void_p) -> bytes:
    room = len(data) + 256
    out, size = ctypes.create_string_buffer(room), ctypes.c_size_t(room)
    call = getattr(_lib, f"botan_pk_op_{operation}")
    arguments = (*rng, out, ctypes.byref(size), bytes(data), ctypes.c_size_t(len(data)))
    if status := call(op.pointer, *arguments):
        raise ValueError(f"botan_pk_op_{operation}: {status}")
    return out.raw[: size.value]
