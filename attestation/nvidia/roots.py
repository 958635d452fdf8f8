"""The two NVIDIA keys everything rests on, pinned.

A pin is a public key and the name it signs under. Root certificates that arrive with evidence
or inside a RIM are compared with the pin and then dropped.

Provenance: `verifier_device_root.pem` and `verifier_RIM_root.pem` of the wheel
nv-local-gpu-verifier 2.7.3 (PyPI). How they were checked: the device root is byte for byte the
one confidential-containers/trustee pins (deps/verifier/src/nvidia/nvidia_device_root.pem), and
every public Hopper, Blackwell and LS10 chain ends in it; the RIM root is the one every public
RIM of NVIDIA/attestation-sdk and of that wheel carries and chains to.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A trusted public key."""

    name: bytes
    """DER of the subject name the key signs under; issuers are compared with it."""

    point: bytes
    """P-384 public key, 97 bytes: 04 ‖ X ‖ Y."""

    spki_sha256: str
    """SHA-256 of the DER SubjectPublicKeyInfo, for people and for tests."""


DEVICE_ROOT: Final = Root(
    # CN=NVIDIA Device Identity CA, O=NVIDIA
    name=bytes.fromhex(
        "30353122302006035504030c194e564944494120446576696365204964656e74697479204341310f300d0603"
        "55040a0c064e5649444941"
    ),
    point=bytes.fromhex(
        "040e4c14a33bf8a5626658db4129607e4cbf4519c4412716f4d0d917c4978005bdeabeaefd57bc66082d718a"
        "4f8b6052e1516ee8a7c422b84de857071bb58fd395bea0cfa1c63ee7c80d6bd63901d91cbbd187d3857dc16b"
        "5cceaf238ff8c27dbd"
    ),
    spki_sha256="a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4",
)
"""Certificate SHA-256 102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48."""

RIM_ROOT: Final = Root(
    # C=US, O=NVIDIA, CN=NVIDIA CoRIM signing Root CA
    name=bytes.fromhex(
        "3045310b3009060355040613025553310f300d060355040a0c064e56494449413125302306035504030c1c4e"
        "564944494120436f52494d207369676e696e6720526f6f74204341"
    ),
    point=bytes.fromhex(
        "04b840b28bdbcd33e230da57d4cf2065747030682d4717b4c2829d7641c1325139b74da831c2be3c779e7e2b"
        "65489566080e4ecd94021075c57f15fedeb862c8f906ae8fddc7b12238597dbdf0fa56e78453833f6d0be43a"
        "f3871a47f057584799"
    ),
    spki_sha256="dec1dc316477aa851eebdf51327ae9f864bc8d89254657ed1e7eb9168af1e1a3",
)
"""Certificate SHA-256 12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1."""

RIM_ROOTS: Final = (RIM_ROOT,)

OCSP_ROOTS: Final[tuple[Root, ...]] = ()
"""Responders trusted for any CA (RFC 6960 §4.2.2.2 rule 1). None: NVIDIA's responders must be
the CA itself, or be delegated by it."""
