"""The byte formats once more, written from docs/spec over `cryptography` and `hashlib` alone.

Shares no line with `mifeng`: where the two agree, both read the specification alike.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC

Digest = Callable[[bytes], bytes]
KEY_BYTES: Final = {"0001": 16, "0002": 16, "0101": 32}


def sm3(data: bytes) -> bytes:
    """Return the SM3 digest."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 digest."""
    return hashlib.sha256(data).digest()


def _hmac(suite: str, key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, hashes.SHA256() if suite == "0101" else hashes.SM3())
    mac.update(data)
    return mac.finalize()


def expand(suite: str, prk: bytes, info: bytes, size: int) -> bytes:
    """Return HKDF-Expand (RFC 5869 §2.3) with the suite's hash."""
    out, block = b"", b""
    for counter in range(1, 10):
        block = _hmac(suite, prk, block + info + bytes([counter]))
        out += block
    return out[:size]


def header(fields: dict[str, Any]) -> bytes:
    """Encode a request header (docs/spec/envelope.md §2)."""
    out = struct.pack(">BHH", 1, fields["suite"], fields["flags"])
    out += bytes.fromhex(fields["keyset_digest"] + fields["request_id"])
    out += struct.pack(">QQ", fields["created"], fields["deadline"])
    out += bytes.fromhex(fields["model_digest"] + fields["client_policy"])
    for name in ("tenant", "model", "operation"):
        out += bytes([len(fields[name])]) + fields[name].encode("ascii")
    ct = bytes.fromhex(fields["ct"])
    return out + struct.pack(">I", len(ct)) + ct


def keys(suite: str, public: bytes, ss: bytes, info: bytes) -> dict[str, str]:
    """Return key, base nonce and commitment of one direction (§3, §4)."""
    digest = sha256 if suite == "0101" else sm3
    salt = digest(b"mifeng/v1/extract\0" + bytes.fromhex(suite) + digest(public))
    size = KEY_BYTES[suite]
    out = expand(suite, _hmac(suite, salt, ss), info, size + 44).hex()
    parts = (out[: 2 * size], out[2 * size : 2 * size + 24], out[2 * size + 24 :])
    return dict(zip(("key", "base_nonce", "commitment"), parts, strict=True))


def frame(
    suite: str, key: bytes, base: bytes, counter: int, *, kind: int, data: bytes, final: bool
) -> bytes:
    """Seal one frame (§5)."""
    size = next(n for n in (2**p for p in range(8, 17)) if n >= len(data) + 4)
    inner = (struct.pack(">I", len(data)) + data).ljust(size, b"\0")
    head = struct.pack(">I", final << 31 | kind << 24 | (size + 16))
    nonce = bytes(a ^ b for a, b in zip(base, counter.to_bytes(12, "big"), strict=True))
    if suite == "0101":
        return head + AESGCM(key).encrypt(nonce, inner, head)
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(head)
    return head + encryptor.update(inner) + encryptor.finalize() + encryptor.tag


def body_digest(data: bytes) -> bytes:
    """Return a body digest (docs/spec/receipt.md §3)."""
    leaves = [sm3(data[at : at + 4096]) for at in range(0, len(data), 4096)]
    return sm3(b"mifeng/v1/body\0" + struct.pack(">Q", len(data)) + b"".join(leaves))


def tree(digest: Digest, entries: Sequence[bytes]) -> bytes:
    """Return MTH by its recursive definition (RFC 9162 §2.1.1)."""
    if not entries:
        return digest(b"")
    if len(entries) == 1:
        return digest(b"\0" + entries[0])
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return digest(b"\1" + tree(digest, entries[:k]) + tree(digest, entries[k:]))


def path(digest: Digest, index: int, entries: Sequence[bytes]) -> list[bytes]:
    """Return PATH by its recursive definition (RFC 9162 §2.1.3.1)."""
    if len(entries) == 1:
        return []
    k = 1
    while k * 2 < len(entries):
        k *= 2
    if index < k:
        return [*path(digest, index, entries[:k]), tree(digest, entries[k:])]
    return [*path(digest, index - k, entries[k:]), tree(digest, entries[:k])]


def proof(digest: Digest, old: int, entries: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """Return PROOF by its recursive definition (RFC 9162 §2.1.4.1)."""
    if old == len(entries):
        return [] if whole else [tree(digest, entries)]
    k = 1
    while k * 2 < len(entries):
        k *= 2
    if old <= k:
        return [*proof(digest, old, entries[:k], whole=whole), tree(digest, entries[k:])]
    return [*proof(digest, old - k, entries[k:], whole=False), tree(digest, entries[:k])]
