"""Known answers for whatever providers are active in this process.

A node runs this before it serves, `mifeng doctor` when asked. It shows that the code answers as the
standards say on this machine; it cannot show that it does so in constant time.

Source: GB/T 32905-2016 A.1, GM/T 0042-2015 D.3, RFC 8998 A.1, GB/T 32918.5-2017 A and C,
RFC 9180 A.1.1; docs/spec/crypto.md §10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mifeng.crypto import (
    Sm2PrivateKey,
    Sm2PublicKey,
    Sm3,
    Sm4Gcm,
    hkdf_sm3,
    hmac_sm3,
    sm2_known_answers,
    sm3,
    sm3_many,
    sm3_portable,
    sm4_portable,
)
from mifeng.crypto.errors import CryptoError, DecryptionError
from mifeng.crypto.signatures import SIGN_ALGS, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Outcome", "require", "run"]

_LONG: Final = bytes(range(256)) * 80 + b"tail"  # crosses every vector width, ends off a block
_NONCE: Final = bytes.fromhex("00001234567800000000abcd")
_GCM_KEY: Final = bytes.fromhex("0123456789abcdeffedcba9876543210")
_GCM_AAD: Final = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
_GCM_PLAINTEXT: Final = bytes.fromhex(
    "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
    "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
)
_GCM_SEALED: Final = bytes.fromhex(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One check and whether it held."""

    name: str
    ok: bool
    detail: str
    """What was compared; after a failure, the error's code."""


def run() -> tuple[Outcome, ...]:
    """Run every check; never raises for a failing one."""
    return tuple(_outcome(name, detail, check) for name, detail, check in _CHECKS)


def require() -> None:
    """Return if every check holds.

    Raises:
        CryptoError: code `crypto.self_test`; the message names the checks that failed.
    """
    failed = [outcome.name for outcome in run() if not outcome.ok]
    if failed:
        raise CryptoError(f"self-test failed: {', '.join(failed)}", code="crypto.self_test")


def _outcome(name: str, detail: str, check: Callable[[], bool]) -> Outcome:
    try:
        ok = check()
    except (CryptoError, ValueError) as exc:
        return Outcome(name=name, ok=False, detail=getattr(exc, "code", type(exc).__name__))
    return Outcome(name=name, ok=ok, detail=detail)


def _sm3() -> bool:
    expected = bytes.fromhex("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0")
    running = Sm3()
    running.update(b"a")
    running.update(b"bc")
    reference = sm3_portable.sm3(_LONG)
    return (
        sm3(b"abc") == running.digest() == expected
        and sm3(_LONG) == reference
        and sm3_many([_LONG, b"abc"] * 17) == [reference, expected] * 17
    )


def _hmac_and_hkdf() -> bool:
    text = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq" * 2
    expected = bytes.fromhex("ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a")
    okm = hkdf_sm3(b"ikm", salt=b"salt", info=b"info", length=100)
    reference = sm3_portable.hkdf_sm3(b"ikm", salt=b"salt", info=b"info", length=100)
    return hmac_sm3(bytes(range(1, 33)), text) == expected and okm == reference


def _sm4_gcm() -> bool:
    aead = Sm4Gcm(_GCM_KEY)
    long = aead.seal(_NONCE, _LONG, b"")
    if (
        aead.seal(_NONCE, _GCM_PLAINTEXT, _GCM_AAD) != _GCM_SEALED
        or aead.open(_NONCE, _GCM_SEALED, _GCM_AAD) != _GCM_PLAINTEXT
        or long != sm4_portable.Sm4Gcm(_GCM_KEY).seal(_NONCE, _LONG, b"")
        or aead.open(_NONCE, long, b"") != _LONG
    ):
        return False
    try:
        aead.open(_NONCE, _GCM_SEALED[:-1] + b"\0", _GCM_AAD)
    except DecryptionError:
        return True
    return False


def _sm2() -> bool:
    sm2_known_answers.check(Sm2PrivateKey, Sm2PublicKey)
    return True


def _sign() -> bool:
    for alg in SIGN_ALGS:
        key = SigningKey.generate(alg)
        key.verify_key().verify(key.sign(b"data"), b"data")
    return True


_CHECKS: Final[tuple[tuple[str, str, Callable[[], bool]], ...]] = (
    ("SM3", "GB/T 32905 A.1; running, many and long messages against the library", _sm3),
    ("HMAC-SM3, HKDF-SM3", "GM/T 0042 D.3; HKDF against the library", _hmac_and_hkdf),
    ("SM4-GCM", "RFC 8998 A.1; 20 KiB against the library; a spoilt tag", _sm4_gcm),
    ("SM2", "GB/T 32918.5 A and C; a wrong identifier; a spoilt C3", _sm2),
    ("SM2 and P-256 signatures", "a new key of each signs and verifies", _sign),
)
