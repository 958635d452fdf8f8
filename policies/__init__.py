"""What we require of machines, as reviewed YAML: `load` makes an `attestation.Policy` of it."""

from .load import PolicyError, load, parse, shipped

__all__ = ["PolicyError", "load", "parse", "shipped"]
