"""One provider's figures, in a process of its own. Started by `benchmarks.crypto`.

`MIFENG_NATIVE` and `MIFENG_NATIVE_SM2` choose the code path when `mifeng.crypto` is imported, so
each path needs its own interpreter. Every path brings the reference with it, measured turn by turn
in the same interpreter: `cryptography` for SM4 and SM3, AES-128-GCM and P-256 of the same library.

    python -m benchmarks.crypto_worker ROUNDS GROUP...      groups: symmetric, sm2
"""

import json
import secrets
import sys
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mifeng import crypto
from mifeng.crypto import sm2_libcrypto, sm2_portable, sm3_portable, sm4_portable
from mifeng.crypto.providers import implementation, providers

from .machine import CHAIN_LENGTH, clock_chain
from .timing import Contestant, contest

SIZES: Final = {"1 KiB": 1024, "16 KiB": 16 * 1024, "1 MiB": 1024 * 1024}
LEAVES: Final = 16
LEAF_BYTES: Final = 4096
SM2_BATCH: Final = 8
UID: Final = crypto.DEFAULT_UID


def symmetric() -> dict[str, Contestant]:
    """SM4-GCM and SM3 of this path, and what they are compared with."""
    key, nonce, aad = secrets.token_bytes(16), secrets.token_bytes(12), b"head"
    sealers: dict[str, Any] = {
        "sm4-gcm": crypto.Sm4Gcm(key),
        "cryptography sm4-gcm": sm4_portable.Sm4Gcm(key),
    }
    made = {}
    for name, cipher in sealers.items():
        for label, size in SIZES.items():
            data = secrets.token_bytes(size)
            names = {
                "seal": cipher.seal_into,
                "open": cipher.open_into,
                "nonce": nonce,
                "aad": aad,
                "data": data,
                "sealed": cipher.seal(nonce, data, aad),
                "out": bytearray(size + 16),
            }
            made[f"{name} seal {label}"] = Contestant("seal(nonce, data, aad, out)", names)
            made[f"{name} open {label}"] = Contestant("open(nonce, sealed, aad, out)", names)
    names = {
        "seal": sealers["sm4-gcm"].seal_into,
        "nonce": nonce,
        "out": bytearray(16),
        "make": crypto.Sm4Gcm,
        "key": key,
    }
    made["sm4-gcm seal 0 B"] = Contestant("seal(nonce, b'', b'', out)", names)
    made["sm4-gcm new key"] = Contestant("make(key)", names)
    aes = AESGCM(key)
    for label, size in SIZES.items():
        names = {
            "seal": aes.encrypt_into,
            "nonce": nonce,
            "data": secrets.token_bytes(size),
            "aad": aad,
            "out": bytearray(size + 16),
        }
        made[f"aes-128-gcm seal {label}"] = Contestant("seal(nonce, data, aad, out)", names)
    return made | hashing()


def hashing() -> dict[str, Contestant]:
    """SM3 in one stream and in many."""
    made = {}
    for name, digest in (("sm3", crypto.sm3), ("cryptography sm3", sm3_portable.sm3)):
        for label, size in (("64 B", 64), ("1 MiB", SIZES["1 MiB"])):
            data = secrets.token_bytes(size)
            made[f"{name} {label}"] = Contestant("sm3(data)", {"sm3": digest, "data": data})
    leaves = [secrets.token_bytes(LEAF_BYTES) for _ in range(LEAVES)]
    for name, many in (
        ("sm3 leaves", crypto.sm3_many),
        ("cryptography sm3 leaves", sm3_portable.sm3_many),
    ):
        made[name] = Contestant("many(leaves)", {"many": many, "leaves": leaves})
    expand = {"expand": crypto.hkdf_expand_sm3, "prk": bytes(32), "info": bytes(80)}
    made["hkdf-sm3 expand 60"] = Contestant("expand(prk, info, 60)", expand)
    return made


def _sm2(prefix: str, private: Any, digest: bytes, message: bytes) -> dict[str, Contestant]:  # noqa: ANN401 - any provider's class
    public = private.public_key()
    names = {
        "sign": private.sign_digest,
        "verify": public.verify_digest,
        "encrypt": public.encrypt,
        "decrypt": private.decrypt,
        "generate": type(private).generate,
        "e": digest,
        "m": message,
        "signature": private.sign_digest(digest),
        "ciphertext": public.encrypt(message),
    }
    return {
        f"{prefix} sign": Contestant("sign(e)", names),
        f"{prefix} verify": Contestant("verify(signature, e)", names),
        f"{prefix} encrypt": Contestant("encrypt(m)", names),
        f"{prefix} decrypt": Contestant("decrypt(ciphertext)", names),
        f"{prefix} generate": Contestant("generate()", names),
    }


def sm2() -> dict[str, Contestant]:
    """SM2 of this path, one by one and in batches, and P-256 of `cryptography`."""
    digest, message = secrets.token_bytes(32), secrets.token_bytes(32)
    private = crypto.Sm2PrivateKey.generate()
    made = _sm2("sm2", private, digest, message)
    core = implementation("sm2")
    if hasattr(core, "sm2_sign_batch"):
        public = private.public_key()
        signature, ciphertext = private.sign_digest(digest), public.encrypt(message)
        names: dict[str, Any] = {
            "core": core,
            "key": private,
            "es": [digest] * SM2_BATCH,
            "signed": [(public, signature, digest)] * SM2_BATCH,
            "plain": [(public, message)] * SM2_BATCH,
            "sealed": [ciphertext] * SM2_BATCH,
        }
        made |= {
            "sm2 batch sign": Contestant("core.sm2_sign_batch(key, es)", names),
            "sm2 batch verify": Contestant("core.sm2_verify_batch(signed)", names),
            "sm2 batch encrypt": Contestant("core.sm2_encrypt_batch(plain)", names),
            "sm2 batch decrypt": Contestant("core.sm2_decrypt_batch(key, sealed)", names),
        }
    else:
        made |= _sm2("portable sm2", sm2_portable.Sm2PrivateKey.generate(), digest, message)
        if sm2_libcrypto.available():
            key = sm2_libcrypto.Sm2PrivateKey.generate()
            made |= _sm2("libcrypto sm2", key, digest, message)
    return made | _p256(message)


def _p256(message: bytes) -> dict[str, Contestant]:
    private, peer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ecdsa = ec.ECDSA(hashes.SHA256())
    names = {
        "sign": private.sign,
        "verify": private.public_key().verify,
        "exchange": private.exchange,
        "dh": ec.ECDH(),
        "peer": peer.public_key(),
        "m": message,
        "ecdsa": ecdsa,
        "signature": private.sign(message, ecdsa),
    }
    return {
        "p-256 sign": Contestant("sign(m, ecdsa)", names),
        "p-256 verify": Contestant("verify(signature, m, ecdsa)", names),
        "p-256 ecdh": Contestant("exchange(dh, peer)", names),
    }


GROUPS: Final[dict[str, Callable[[], dict[str, Contestant]]]] = {
    "symmetric": symmetric,
    "sm2": sm2,
}


def main(rounds: int, groups: list[str]) -> None:
    """Measure and print one JSON object: seconds per call, by name."""
    contestants: dict[str, Contestant] = {}
    for group in groups:
        contestants |= GROUPS[group]()
    if (chain := clock_chain()) is not None:
        contestants["clock"] = Contestant("chain()", {"chain": chain})
    seconds = contest(contestants, rounds=rounds)
    clock = seconds.pop("clock", None)
    active = providers()
    core = implementation("sm4")
    document = {
        "providers": {name: getattr(active, name).name for name in ("sm4", "sm3", "sm2")},
        "paths": core.paths() if hasattr(core, "paths") else {},
        "sm2_path": getattr(implementation("sm2"), "sm2_path", str)(),
        "clock_ghz": round(CHAIN_LENGTH / clock / 1e9, 3) if clock else None,
        "seconds": seconds,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
