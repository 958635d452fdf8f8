"""Feed a million inputs to every parser of DCAP quotes and collateral; print what came out.

    nice -n 10 python -m tests.fuzz.intel [INPUTS_PER_TARGET] [SEED]

docs/attestation/intel.md records the last run.
"""

import sys

from cryptography.hazmat.primitives.serialization import Encoding

from attestation.dcap.collateral import sort
from attestation.dcap.pck import SGX_EXTENSIONS, read_pck
from attestation.dcap.quote import SGX, TDX, parse
from attestation.dcap.tcb import parse_qe_identity, parse_tcb_info
from attestation.evidence import Collateral, Role
from attestation.intel_tdx.verifier import IntelTdxVerifier
from attestation.x509 import Certificate, load_certificate
from tests.fuzz.drive import Target, main
from tests.harness.tee.intel import ENCLAVE, LEAF, NOW, TD, sgx_extension

_KIND = "intel-tdx"
_COLLATERAL = TD.collateral()
_VERIFIER = IntelTdxVerifier(TD.anchors())


class _Leaf:
    """A PCK certificate with any extension, without signing one for every input."""

    def __init__(self, extension: bytes) -> None:
        """Keep the extension."""
        self._extension = extension

    def private(self, oid: str) -> bytes | None:
        """Return the extension."""
        return self._extension if oid == SGX_EXTENSIONS else None


def _extension(data: bytes) -> object:
    """Read a platform out of this extension."""
    leaf = _Leaf(data)
    return read_pck(leaf, kind=_KIND)  # type: ignore[arg-type]


def _dcap(data: bytes) -> object:
    """Sort this document."""
    return sort(Collateral(((Role.DCAP, data),)), kind=_KIND)


def _evidence(data: bytes) -> object:
    """Verify this quote with honest collateral."""
    return _VERIFIER.verify(data, _COLLATERAL, now=NOW)


def _leaf() -> Certificate:
    """Return an honest PCK certificate."""
    der = LEAF.make().public_bytes(Encoding.DER)
    return load_certificate(der, what="leaf", code="fuzz")


assert read_pck(_leaf(), kind=_KIND).pce_svn == 13

TARGETS = {
    "quote": Target(run=lambda data: parse(data, tee_type=TDX, kind=_KIND), valid=TD.quote()),
    "quote-v5": Target(
        run=lambda data: parse(data, tee_type=TDX, kind=_KIND),
        valid=TD.but(version=5, td15=True).quote(),
    ),
    "quote-sgx": Target(
        run=lambda data: parse(data, tee_type=SGX, kind="intel-sgx"), valid=ENCLAVE.quote()
    ),
    "pck-extension": Target(run=_extension, valid=sgx_extension()),
    "tcb-info": Target(run=lambda data: parse_tcb_info(data, kind=_KIND), valid=TD.tcb_info_json()),
    "qe-identity": Target(
        run=lambda data: parse_qe_identity(data, kind=_KIND), valid=TD.qe_identity_json()
    ),
    "dcap": Target(run=_dcap, valid=TD.dcap()),
    "evidence": Target(run=_evidence, valid=TD.quote(), cost=20),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
