"""Record encapsulations of every suite: `python tests/unit/crypto/vectors/record.py > kem.json`.

Encapsulation draws randomness that no interface takes, so these are recorded once and replayed in
the decapsulating direction. The private keys are fixed and public; never use them.
"""

from __future__ import annotations

import json
import sys

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mifeng.crypto import sm3
from mifeng.crypto.sm2_portable import Sm2PrivateKey
from mifeng.crypto.suites import SUITES


def main() -> None:
    """Write one vector per suite to standard output."""
    scalar, x25519 = sm3(b"mifeng kem vector sm2"), sm3(b"mifeng kem vector x25519")
    seed = sm3(b"mifeng kem vector d") + sm3(b"mifeng kem vector z")
    sm2 = Sm2PrivateKey.from_scalar(scalar).public_key().to_bytes()
    mlkem = MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
    other = X25519PrivateKey.from_private_bytes(x25519).public_key().public_bytes_raw()
    vectors = []
    for suite_id, private, public in (
        (0x0001, {"sm2_scalar": scalar.hex()}, sm2),
        (0x0002, {"sm2_scalar": scalar.hex(), "mlkem_seed": seed.hex()}, sm2 + mlkem),
        (0x0101, {"x25519": x25519.hex()}, other),
    ):
        ct, ss = SUITES[suite_id].encap(public)
        vectors.append(
            {
                "suite": suite_id,
                **private,
                "public_digest_sm3": sm3(public).hex(),
                "ct": ct.hex(),
                "ss": ss.hex(),
            }
        )
    json.dump(vectors, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
