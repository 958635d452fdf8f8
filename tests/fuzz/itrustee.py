"""Feed a million inputs to every iTrustee parser and print what came out.

    nice -n 10 python -m tests.fuzz.itrustee [INPUTS_PER_TARGET] [SEED]

docs/attestation/huawei-itrustee.md records the last run.
"""

import sys

from attestation.evidence import Collateral, Role
from attestation.huawei.roots import pin
from attestation.huawei_itrustee import legacy
from attestation.huawei_itrustee.report import parse
from attestation.huawei_itrustee.verifier import HuaweiItrusteeVerifier
from tests.fuzz.drive import Target, main
from tests.harness.tee.itrustee import Trustzone
from tests.harness.tee.virtcca import NOW, product, root

_VERIFIER = HuaweiItrusteeVerifier((pin(root()),))
_CHAIN = Collateral(((Role.CERT_CHAIN, product()),))
_REPORT = Trustzone().report()
_BINARY = b"\1\0\0\0" + bytes(92) + b"\1\0\0\0" + b"\1\0\0\x20\4\0\0\0\x70\0\0\0" + b"hash"

TARGETS = {
    "report": Target(run=parse, valid=_REPORT),
    "ak-certificate": Target(run=parse, valid=Trustzone().ak_raw()),
    "legacy": Target(run=legacy.parse, valid=_BINARY),
    "verify": Target(
        run=lambda data: _VERIFIER.verify(data, _CHAIN, now=NOW), valid=_REPORT, cost=20
    ),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
