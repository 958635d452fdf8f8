"""The virtCCA part of the evidence collection: Huawei's certificates (no token is in it)."""

from pathlib import Path

from attestation.huawei.roots import HUAWEI, INTERMEDIATES
from attestation.x509 import load_certificates
from tests.vendor.runner import DIRECTORY, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".")


def test_the_published_certificates_are_the_pinned_ones() -> None:
    """Root and intermediate, in both collections that publish them."""
    for path, expected in (
        ("huawei-virtcca/roots/Huawei_Equipment_Root_CA.pem", HUAWEI),
        ("huawei-virtcca/roots/Huawei_IT_Product_CA.pem", INTERMEDIATES),
        ("huawei-itrustee/Huawei_IT_Product_CA.pem", INTERMEDIATES),
    ):
        (found,) = load_certificates((HOME / path).read_bytes(), what="root", code="t")
        assert (found.der,) == tuple(each.der for each in expected)
