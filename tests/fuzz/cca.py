"""Feed a million inputs to every parser of CCA-like tokens and print what came out.

    nice -n 10 python -m tests.fuzz.cca [INPUTS_PER_TARGET] [SEED]

docs/attestation/arm-cca.md and huawei-virtcca.md record the last run.
"""

import sys

from attestation.arm_cca import endorsement, token
from attestation.arm_cca.verifier import ArmCcaVerifier
from attestation.cose import keys, sign1
from attestation.evidence import Collateral, Role
from attestation.huawei.roots import pin
from attestation.huawei_virtcca import evidence as virtcca
from attestation.huawei_virtcca.verifier import HuaweiVirtccaVerifier
from tests.fuzz.drive import Target, main
from tests.harness.tee.cca import CcaMachine, pem, point, realm_claims
from tests.harness.tee.virtcca import NOW, VirtccaMachine, device, product, root

_TOKEN = CcaMachine().token()
_PLATFORM = CcaMachine().parts()[0]
_VIRTCCA = VirtccaMachine().token()
_CCA = ArmCcaVerifier(())
_HUAWEI = HuaweiVirtccaVerifier((pin(root()),))
_CPAK = Collateral(((Role.CPAK, pem("cpak")),))
_DEVICE = Collateral(((Role.DEV_CERT, device()), (Role.CERT_CHAIN, product())))

TARGETS = {
    "cca": Target(run=token.parse, valid=_TOKEN),
    "sign1": Target(run=lambda data: sign1.parse(data, what="x", code="fuzz"), valid=_PLATFORM),
    "realm-claims": Target(
        run=lambda data: token.parse_realm(data, code="fuzz"),
        valid=realm_claims(point("rak"), {}),
    ),
    "cpak": Target(run=endorsement.load, valid=pem("cpak")),
    "realm-key": Target(
        run=lambda data: keys.token_key(data, what="x", code="fuzz"), valid=point("rak")
    ),
    "virtcca": Target(run=virtcca.parse, valid=_VIRTCCA),
    "cca-verify": Target(run=lambda data: _CCA.verify(data, _CPAK, now=0), valid=_TOKEN, cost=20),
    "virtcca-verify": Target(
        run=lambda data: _HUAWEI.verify(data, _DEVICE, now=NOW), valid=_VIRTCCA, cost=20
    ),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
