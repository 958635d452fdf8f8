"""Feed a million inputs to every Hygon parser (CSV and DCU) and print what came out.

    nice -n 10 python -m tests.fuzz.hygon [INPUTS_PER_TARGET] [SEED]

docs/attestation/hygon-csv.md and hygon-dcu.md record the last run.
"""

import json
import sys

from attestation import json_strict
from attestation.evidence import Collateral, Role
from attestation.hygon.chain import gather
from attestation.hygon.json_pack import CA, CSV
from attestation.hygon_csv import container as csv_container
from attestation.hygon_csv import report as csv_report
from attestation.hygon_csv.verifier import HygonCsvVerifier
from attestation.hygon_dcu import container as dcu_container
from attestation.hygon_dcu import report as dcu_report
from attestation.hygon_dcu.verifier import HygonDcuVerifier
from tests.fuzz.drive import Target, main
from tests.harness.tee import hygon
from tests.harness.tee.hygon import Psp, as_json, ca, csv, endorsed, pek, roots, wrapped

_CSV = HygonCsvVerifier(roots())
_DCU = HygonDcuVerifier(roots())
_DOCUMENT = wrapped(
    Psp(agent=True).report(),
    cert_chain={
        "hsk_cek": {"hsk": as_json(ca(), CA), "cek": as_json(csv(), CSV)},
        "pek": as_json(pek(), CSV),
    },
)
_DCUS = json.dumps({"attestation_reports": [hygon.dcu_report().hex()]}).encode()


def _certificates(data: bytes) -> object:
    """Read a heap of certificates."""
    collateral = Collateral(((Role.CERT_CHAIN, data),))
    return gather(collateral, roots(), also=frozenset(), code="fuzz")


def _csv_json(data: bytes) -> object:
    """Open an agent's document."""
    value = json_strict.parse(data, what="x", code="fuzz")
    return csv_container.unpack(value, Collateral())


def _dcu_json(data: bytes) -> object:
    """Open an agent's document."""
    value = json_strict.parse(data, what="x", code="fuzz")
    return dcu_container.unpack(value, Collateral())


TARGETS = {
    "csv-v1": Target(run=csv_report.parse, valid=Psp().report()),
    "csv-v2": Target(run=csv_report.parse, valid=Psp(version=2).report()),
    "certificates": Target(run=_certificates, valid=ca() + csv()),
    "csv-json": Target(run=_csv_json, valid=_DOCUMENT, cost=50),
    "dcu": Target(run=dcu_report.parse, valid=hygon.dcu_report()),
    "dcu-json": Target(run=_dcu_json, valid=_DCUS),
    "csv-verify": Target(
        run=lambda data: _CSV.verify(data, endorsed(), now=0), valid=Psp().report()
    ),
    "dcu-verify": Target(
        run=lambda data: _DCU.verify(data, endorsed(), now=0), valid=hygon.dcu_report()
    ),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
