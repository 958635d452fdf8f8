"""Intel SGX enclaves.

Proves: an enclave with these measurements, on a genuine platform of this patch level, had this
report data signed. Does not prove: anything about the software outside the enclave.

Source: Intel SDM vol. 3D §38.15 (REPORT), §38.7.1 (ATTRIBUTES); `attestation.dcap`.
"""

from collections.abc import Sequence
from typing import Final

from attestation.claims import Claims, Tier
from attestation.dcap.quote import SGX
from attestation.dcap.verify import verify
from attestation.errors import Finding
from attestation.evidence import Collateral, EvidenceKind
from attestation.layout import le
from attestation.x509 import Certificate

_KIND: Final = EvidenceKind.INTEL_SGX
_INIT: Final = 1 << 0
_DEBUG: Final = 1 << 1
_PROVISION_KEY: Final = 1 << 4
_EINITTOKEN_KEY: Final = 1 << 5


class IntelSgxVerifier:
    """Verifies quotes of SGX enclaves."""

    def __init__(self, roots: Sequence[Certificate]) -> None:
        self._roots = tuple(roots)

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`; collateral as `attestation.dcap.collateral` lists it."""
        found = verify(
            raw, collateral, tee_type=SGX, kind=_KIND.value, anchors=self._roots, now=now
        )
        body = found.quote.body
        flags = le(body["attributes"][:8])
        return Claims(
            kind=_KIND,
            report_data=body["report_data"],
            hardware_id=found.pck.hardware_id,
            measurements={"mrenclave": body["mr_enclave"], "mrsigner": body["mr_signer"]},
            debug=bool(flags & _DEBUG),
            tier=Tier.TEE,
            valid_until=found.valid_until,
            status=found.status,
            details={
                **found.details(),
                "attributes": body["attributes"],
                "misc_select": body["misc_select"],
                "cpu_svn": body["cpu_svn"],
                "isv_prod_id": le(body["isv_prod_id"]),
                "isv_svn": le(body["isv_svn"]),
                "provision_key": bool(flags & _PROVISION_KEY),
                "einittoken_key": bool(flags & _EINITTOKEN_KEY),
            },
            ratchets=found.ratchets,
            refused=(*_refusals(flags), *found.refused),
            unchecked=found.unchecked,
        )


def _refusals(flags: int) -> list[Finding]:
    """Return what no policy can accept about an enclave."""
    checks = (
        (not flags & _DEBUG, "debug", "ATTRIBUTES.DEBUG", "0", "1"),
        (bool(flags & _INIT), "not-initialised", "ATTRIBUTES.INIT", "1", "0"),
    )
    return [
        Finding(f"{_KIND.value}.{code}", claim, required, found)
        for passed, code, claim, required, found in checks
        if not passed
    ]
