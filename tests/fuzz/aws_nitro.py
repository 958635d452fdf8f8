"""Feed a million inputs to every Nitro parser and print what came out.

    nice -n 10 python -m tests.fuzz.aws_nitro [INPUTS_PER_TARGET] [SEED]

docs/attestation/aws-nitro.md records the last run.
"""

import sys

from attestation.aws_nitro import cbor
from attestation.aws_nitro.document import parse
from attestation.aws_nitro.roots import pin
from attestation.aws_nitro.verifier import AwsNitroVerifier
from attestation.evidence import Collateral
from tests.fuzz.drive import Target, main
from tests.harness.tee.nitro import NOW, NitroModule, leaf, root

_MODULE = NitroModule()
_VERIFIER = AwsNitroVerifier((pin(root()),))


def _payload(data: bytes) -> object:
    """Parse a document with this payload."""
    return parse(_MODULE.document(payload=data, signature=bytes(96)))


def _certificate(data: bytes) -> object:
    """Verify a document with this leaf."""
    raw = NitroModule(fields={"certificate": data}).document(signature=bytes(96))
    return _VERIFIER.verify(raw, Collateral(), now=NOW)


def _verify(data: bytes) -> object:
    """Verify a whole document."""
    return _VERIFIER.verify(data, Collateral(), now=NOW)


TARGETS = {
    "cbor": Target(
        run=lambda data: cbor.decode(data, what="x", code="fuzz"), valid=_MODULE.payload()
    ),
    "document": Target(run=parse, valid=_MODULE.document()),
    "payload": Target(run=_payload, valid=_MODULE.payload()),
    "leaf": Target(run=_certificate, valid=leaf(), cost=20),
    "verify": Target(run=_verify, valid=_MODULE.document(), cost=20),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
