"""Feed a million inputs to the readers every verifier shares; print what came out.

    nice -n 10 python -m tests.fuzz.core [INPUTS_PER_TARGET] [SEED]

docs/attestation.md records the last run.
"""

import json
import sys
from base64 import b64encode

from cryptography.hazmat.primitives.serialization import Encoding

from attestation import Bundle, Collateral, Evidence, EvidenceKind, der, json_strict
from attestation.containers import normalise, text_to_bytes
from attestation.simulated import SimulatedVerifier, published_root
from attestation.x509 import load_certificates, load_crl
from tests.fuzz.drive import Target, main
from tests.harness.tee.intel import CA, LEAF, crl_der, qe_identity, sgx_extension
from tests.harness.tee.simulated import EIGHT, NOW

_NODE = EIGHT.but(devices=2).bundle()
_VERIFIER = SimulatedVerifier((published_root(),))
_GPU = {"evidence": b64encode(bytes(99)).decode(), "certificate": b64encode(b"x").decode()}
_QUOTE = {"quote": b64encode(bytes(99)).decode(), "event_log": "[]", "cc_eventlog": None}


def _container(kind: EvidenceKind) -> Target:
    """Return a target that unwraps files of one kind."""
    shape: object = [_GPU, _GPU] if kind is EvidenceKind.NVIDIA_GPU else _QUOTE
    return Target(
        run=lambda data: normalise(Evidence(kind, data), Collateral()),
        valid=json.dumps(shape).encode(),
    )


TARGETS = {
    "bundle": Target(run=Bundle.decode, valid=_NODE.encode()),
    "json": Target(
        run=lambda data: json_strict.members(data, what="fuzz", code="fuzz"),
        valid=json.dumps(qe_identity()).encode(),
    ),
    "der": Target(
        run=lambda data: list(der.elements(data, what="fuzz", code="fuzz")), valid=sgx_extension()
    ),
    "text": Target(
        run=lambda data: text_to_bytes(data, what="fuzz", code="fuzz"),
        valid=bytes(99).hex().encode(),
    ),
    "container-tdx": _container(EvidenceKind.INTEL_TDX),
    "container-gpu": _container(EvidenceKind.NVIDIA_GPU),
    "certificate": Target(
        run=lambda data: load_certificates(data, what="fuzz", code="fuzz"),
        valid=LEAF.make().public_bytes(Encoding.DER) + CA.make().public_bytes(Encoding.DER),
    ),
    "pem": Target(
        run=lambda data: load_certificates(data, what="fuzz", code="fuzz"),
        valid=LEAF.pem() + CA.pem(),
    ),
    "crl": Target(
        run=lambda data: load_crl(data, what="fuzz", code="fuzz"),
        valid=crl_der(issuer="Intel", signer="ca", revoked=[1, 2]),
    ),
    "simulated": Target(
        run=lambda data: _VERIFIER.verify(data, Collateral(), now=NOW), valid=_NODE.cpu.raw
    ),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
