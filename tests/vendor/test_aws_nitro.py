"""The Nitro documents that the manifest of the evidence collection judges, with their verdicts."""

import os
from pathlib import Path

import pytest

from attestation.aws_nitro.document import parse
from attestation.aws_nitro.roots import ROOTS
from attestation.aws_nitro.verifier import AwsNitroVerifier
from attestation.claims import Claims
from attestation.containers import normalise
from attestation.errors import AttestationError, EvidenceUntrustedError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role

_DIR = os.environ.get("MIFENG_EVIDENCE_DIR")
pytestmark = [
    pytest.mark.vendor,
    pytest.mark.skipif(_DIR is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]
HOME = Path(_DIR or ".") / "aws-nitro"

# Window of the leaf certificate, and the first bytes of user data, PCR 0 and PCR 4.
CASES = {
    "nitro_attestation.bin": (1_766_678_656, 1_766_689_459, "e3b0c442", "eb7d0dab", "7b3574"),
    "nsm_nitro_attestation.bin": (1_766_668_534, 1_766_679_337, "00000000", "5cb702", "7b3574"),
}


def verify(name: str, now: int, *chain: str) -> Claims:
    """Verify one sample with the pinned root."""
    items = tuple((Role.CERT_CHAIN, (HOME / each).read_bytes()) for each in chain)
    evidence = Evidence(EvidenceKind.AWS_NITRO, (HOME / name).read_bytes())
    (unit,) = normalise(evidence, Collateral(items))
    return AwsNitroVerifier(ROOTS).verify(unit.evidence.raw, unit.collateral, now=now)


@pytest.mark.parametrize("name", CASES)
def test_real_documents_verify_in_their_window(name: str) -> None:
    """A real document verifies from the first to the last second of its certificate."""
    first, last, user_data, pcr0, pcr4 = CASES[name]
    for now in (first, first + 5000, last):
        claims = verify(name, now, "AWS_NitroEnclaves_Root-G1.pem")
        assert (claims.refused, claims.unchecked, claims.debug) == ((), (), False)
        assert claims.report_data.hex().startswith(user_data)
        assert claims.measurements["pcr0"].hex().startswith(pcr0)
        assert claims.measurements["pcr4"].hex().startswith(pcr4)
        assert claims.valid_until == last


@pytest.mark.parametrize("name", CASES)
def test_real_documents_do_not_verify_outside(name: str) -> None:
    """One second before and after, the same document is untrusted."""
    first, last, *_ = CASES[name]
    for now in (first - 1, last + 1):
        with pytest.raises(EvidenceUntrustedError) as caught:
            verify(name, now)
        assert caught.value.findings[0].code == "aws-nitro.cert.validity"


def test_every_byte_of_a_real_document_counts() -> None:
    """A flipped byte inside the envelope's document is refused, sampled by three."""
    name = "nitro_attestation.bin"
    raw = (HOME / name).read_bytes()
    end = 4 + (int.from_bytes(raw[2:4], "little") >> 2)
    assert parse(raw).module_id.startswith("i-")
    for at in range(4, end, 3):
        bent = bytearray(raw)
        bent[at] ^= 0x04
        with pytest.raises(AttestationError):
            AwsNitroVerifier(ROOTS).verify(bytes(bent), Collateral(), now=CASES[name][0] + 60)
