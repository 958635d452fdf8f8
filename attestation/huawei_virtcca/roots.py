"""The root that device certificates must lead to; `attestation.registry` passes it."""

from typing import Final

from attestation.huawei.roots import HUAWEI

ROOTS: Final = HUAWEI
