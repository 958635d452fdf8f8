"""The root that device chains must end in; `attestation.registry` passes it to the verifier."""

from typing import Final

from attestation.nvidia.roots import DEVICE_ROOT

ROOTS: Final = (DEVICE_ROOT,)
