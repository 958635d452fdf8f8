"""Feed a million inputs to every SNP parser and print what came out.

    nice -n 10 python -m tests.fuzz.amd_snp [INPUTS_PER_TARGET] [SEED]

docs/attestation/amd-snp.md records the last run.
"""

import json
import sys
from base64 import b64encode

from cryptography.hazmat.primitives.serialization import Encoding

from attestation.amd_snp import crl
from attestation.amd_snp.certificates import load_certificates
from attestation.amd_snp.container import unwrap
from attestation.amd_snp.report import parse
from attestation.amd_snp.table import VCEK_GUID, read_table
from attestation.amd_snp.vek import VekIdentity
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.containers import normalise
from attestation.evidence import Collateral, Evidence, EvidenceKind
from attestation.x509 import load_certificate
from tests.fuzz.drive import Target, main
from tests.harness.tee.snp import NOW, SnpPlatform

_MILAN = SnpPlatform()
_TURIN = SnpPlatform.turin()
_ROOTS, _COLLATERAL = _TURIN.roots, _TURIN.collateral()
_JSON = json.dumps(
    {
        "attestation_report": b64encode(_MILAN.report()).decode(),
        "cert_chain": [{"cert_type": "VCEK", "data": b64encode(_MILAN.vek).decode()}],
    }
).encode()
_TABLE = VCEK_GUID + (48).to_bytes(4, "little") + len(_MILAN.vek).to_bytes(4, "little")
_TABLE += bytes(24) + _MILAN.vek
_CACHE = json.dumps(
    {
        name: load_certificate(der, what="x", code="fuzz").cert.public_bytes(Encoding.PEM).decode()
        for name, der in (("vcekCert", _MILAN.vek), ("certificateChain", _MILAN.ask))
    }
).encode()
_ASK = load_certificate(_MILAN.ask, what="x", code="fuzz")
_ARK = load_certificate(_MILAN.ark, what="x", code="fuzz")


def _json(data: bytes) -> object:
    """Unpack JSON and parse the report in it."""
    units = normalise(Evidence(EvidenceKind.AMD_SNP, data), Collateral())
    return [parse(unwrap(unit.evidence.raw).report) for unit in units]


def _verify(data: bytes) -> object:
    """Verify a whole report."""
    return AmdSnpVerifier(_ROOTS).verify(data, _COLLATERAL, now=NOW)


TARGETS = {
    "report": Target(run=lambda data: parse(unwrap(data).report), valid=_TURIN.report()),
    "extended": Target(run=unwrap, valid=_MILAN.report() + _TABLE),
    "table": Target(run=read_table, valid=_TABLE),
    "json": Target(run=_json, valid=_JSON),
    "certificates": Target(
        run=lambda data: [VekIdentity.read(cert) for cert in load_certificates(data)],
        valid=_TURIN.vek,
    ),
    "host-cache": Target(run=load_certificates, valid=_CACHE),
    "crl": Target(run=lambda data: crl.check(_ASK, _ARK, [data], now=NOW), valid=_MILAN.crl(9)),
    "verify": Target(run=_verify, valid=_TURIN.report(), cost=20),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
