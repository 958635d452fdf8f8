"""Load one backend, by name, from an allow-list. Importing this module loads none."""

from collections.abc import Collection
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from .base import Backend
from .errors import UnavailableError

__all__ = ["GROUP", "SHIPPED", "load"]

GROUP: Final = "mifeng.accel_backends"
"""Entry-point group for backends that live outside this repository."""

SHIPPED: Final = {"onnxruntime": "accel_backends.ort:OrtBackend"}


def load(name: str, *, allowed: Collection[str]) -> Backend:
    """Return the one backend called `name`.

    The node's measured configuration supplies `allowed`. Nothing is guessed from the
    hardware present, and a backend that does not import is an error, not a skip.

    Raises:
        UnavailableError: not allowed, not installed, provided twice, or fails to import.
        TelemetryError: the backend's library would report to its vendor.
    """
    if name not in allowed:
        raise UnavailableError(f"backend {name!r} is not allowed on this node")
    targets = {ep.value for ep in entry_points(group=GROUP, name=name)}
    targets |= {SHIPPED[name]} if name in SHIPPED else set()
    if len(targets) != 1:
        raise UnavailableError(f"backend {name!r}: need 1 provider, found {sorted(targets)}")
    module, _, attribute = targets.pop().partition(":")
    try:
        factory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        raise UnavailableError(f"backend {name!r} does not import: {exc}") from exc
    return cast("Backend", factory())
