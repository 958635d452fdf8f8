"""Feed a million inputs to every TPM parser and print what came out.

    nice -n 10 python -m tests.fuzz.tpm2 [INPUTS_PER_TARGET] [SEED]

docs/attestation/tpm2.md records the last run.
"""

import sys

from attestation.evidence import Collateral, Role
from attestation.tpm2 import ak
from attestation.tpm2.quote import SignedQuote, parse, verify
from attestation.tpm2.roots import pin
from attestation.tpm2.verifier import Tpm2Verifier
from tests.fuzz.drive import Target, main
from tests.harness.tee.tpm2 import NOW, Tpm, ak_certificate, intermediate, root, rsa_key, spki

_TPM = Tpm()
_KEY = rsa_key("ak").public_key()
_SPKI = spki(rsa_key("ak"))
_ROOTS = (pin(root()),)
_VOUCHED = Collateral(((Role.CPAK, _SPKI),))


def _signature(data: bytes) -> object:
    """Verify an honest quote with this signature."""
    parts = SignedQuote(message=_TPM.message(), signature=data, pcrs=_TPM.pcrs)
    return verify(parts, _KEY, code="fuzz")


def _evidence(data: bytes) -> object:
    """Verify a whole document."""
    return Tpm2Verifier(_ROOTS).verify(data, _VOUCHED, now=NOW)


def _certificate(data: bytes) -> object:
    """Verify the path from this AK certificate."""
    return ak.verify(_SPKI, [data, intermediate()], _ROOTS, now=NOW, code="fuzz")


TARGETS = {
    "attest": Target(run=lambda data: parse(data, code="fuzz"), valid=_TPM.message()),
    "signature": Target(run=_signature, valid=_TPM.signature()),
    "evidence": Target(run=_evidence, valid=_TPM.evidence()),
    "ak-certificate": Target(run=_certificate, valid=ak_certificate(), cost=20),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
