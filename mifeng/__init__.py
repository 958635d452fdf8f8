"""Sealed inference: ask a model something without showing it to whoever runs the model.

    with mifeng.Client("client.yaml") as client:
        answer = client.infer("risk", {"features": rows})

Names load on first use, so that a node or gateway that imports `mifeng.protocol` does not load
the client (tests/packaging/test_boundaries.py).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mifeng.version import VERSION

if TYPE_CHECKING:
    from mifeng.client import Answer, AsyncClient, Client, ClientConfig
    from mifeng.errors import MifengError

__version__ = VERSION
__all__ = ["Answer", "AsyncClient", "Client", "ClientConfig", "MifengError", "__version__"]

_HOMES = {
    "Answer": "mifeng.client",
    "AsyncClient": "mifeng.client",
    "Client": "mifeng.client",
    "ClientConfig": "mifeng.client",
    "MifengError": "mifeng.errors",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module 'mifeng' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
