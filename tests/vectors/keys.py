"""The private keys of the recorded vectors: fixed, public, and loadable by no product interface."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mifeng.crypto import Sm2PrivateKey, kem, sm3
from mifeng.crypto.suites import DecapKey

SM2_SCALAR: Final = sm3(b"mifeng vector sm2")
MLKEM_SEED: Final = sm3(b"mifeng vector ml-kem d") + sm3(b"mifeng vector ml-kem z")
X25519: Final = sm3(b"mifeng vector x25519")


def material(suite: int) -> dict[str, str]:
    """Return a suite's private key in the standards' own forms, as hex."""
    sm2 = {"sm2_scalar": SM2_SCALAR.hex()}
    match suite:
        case 0x0001:
            return sm2
        case 0x0002:
            return sm2 | {"mlkem_seed": MLKEM_SEED.hex()}
        case _:
            return {"x25519": X25519.hex()}


def private_key(suite: int) -> DecapKey:
    """Return a suite's decapsulation key."""
    sm2 = Sm2PrivateKey.from_scalar(SM2_SCALAR)
    match suite:
        case 0x0001:
            return kem._Sm2DecapKey(suite, sm2)
        case 0x0002:
            mlkem = MLKEM768PrivateKey.from_seed_bytes(MLKEM_SEED)
            return kem._Sm2MlKemDecapKey(suite, sm2, mlkem)
        case _:
            return kem._X25519DecapKey(suite, X25519PrivateKey.from_private_bytes(X25519))
