"""What we require of machines, as reviewed YAML: `load` makes an `attestation.Policy` of it."""

from .load import SHIPPED, PolicyError, load, parse, shipped, shipped_bytes
from .suites import choose

__all__ = ["SHIPPED", "PolicyError", "choose", "load", "parse", "shipped", "shipped_bytes"]
