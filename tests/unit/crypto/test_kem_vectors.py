"""Recorded encapsulations decapsulate to the recorded secrets, today and with every provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mifeng.crypto import Sm2PrivateKey, kem, sm3
from mifeng.crypto.suites import SUITES, DecapKey

VECTORS = json.loads((Path(__file__).parent / "vectors" / "kem.json").read_text(encoding="utf-8"))


def private_key(vector: dict[str, Any]) -> DecapKey:
    """Return the decapsulation key of a vector, which no interface of the product can load."""
    if vector["suite"] == 0x0101:
        x25519 = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["x25519"]))
        return kem._X25519DecapKey(0x0101, x25519)
    sm2 = Sm2PrivateKey.from_scalar(bytes.fromhex(vector["sm2_scalar"]))
    if vector["suite"] == 0x0001:
        return kem._Sm2DecapKey(0x0001, sm2)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(vector["mlkem_seed"]))
    return kem._Sm2MlKemDecapKey(0x0002, sm2, mlkem)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: SUITES[vector["suite"]].name)
def test_recorded_encapsulations_decapsulate(vector: dict[str, Any]) -> None:
    """The public key, the sizes and the secret are those of the recording."""
    key = private_key(vector)
    assert sm3(key.public_bytes).hex() == vector["public_digest_sm3"]
    assert SUITES[vector["suite"]].decap(key, bytes.fromhex(vector["ct"])).hex() == vector["ss"]


def test_every_suite_has_a_recording() -> None:
    """A suite without a vector could change its format unnoticed."""
    assert {vector["suite"] for vector in VECTORS} == set(SUITES)
