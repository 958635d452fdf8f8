"""What we require of machines, as reviewed YAML: `load` makes an `attestation.Policy` of it."""

from .load import SHIPPED, PolicyError, load, parse, shipped

__all__ = ["SHIPPED", "PolicyError", "load", "parse", "shipped"]
