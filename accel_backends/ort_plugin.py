"""Load a plug-in execution provider, after every library beside it matched its digest.

A plug-in is a shared object that pulls in its neighbours through its run path, so the digest of
one file proves nothing: the whole folder's libraries must be listed and must match. The list has
the form that `sha256sum *.so*` prints and belongs into the node's measured configuration.

What this does not prove: that the files stay as they are between check and load. Inside an
enclave the image is read-only and measured; elsewhere the folder must not be writable.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from threading import Lock
from typing import Final

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _binding

from .errors import UnavailableError

__all__ = ["PluginLibrary", "measure", "register"]

_LOCK: Final = Lock()
_REGISTERED: dict[str, Path] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginLibrary:
    """One plug-in provider and what its folder must contain."""

    ep: str
    """Name under which it registers, which is the provider's own: `OpenVINOExecutionProvider`."""
    path: Path
    sha256: Mapping[str, str]
    """File name to lower-case hex digest, for every `*.so*` in the plug-in's folder."""


def measure(path: Path) -> dict[str, str]:
    """Return the digests of every library beside `path`, for a `PluginLibrary`.

    An operator runs this on a trusted copy; a node never does, it compares.
    """
    result = {}
    for library in sorted(path.parent.glob("*.so*")):
        with library.open("rb") as file:
            result[library.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return result


def register(plugin: PluginLibrary) -> None:
    """Check and load. Loading the same file under the same name again does nothing.

    Raises:
        UnavailableError: a library is missing, not listed or different, or does not load.
    """
    path = plugin.path.resolve()
    if path.name not in plugin.sha256:
        raise UnavailableError(f"plug-in {plugin.ep}: {path.name} itself has no digest")
    found = measure(path)
    if missing := found.keys() ^ plugin.sha256.keys():
        raise UnavailableError(
            f"plug-in {plugin.ep}: folder and digests differ in {sorted(missing)}"
        )
    for name, digest in found.items():
        if not compare_digest(digest, plugin.sha256[name]):
            raise UnavailableError(f"plug-in {plugin.ep}: {name} is not the measured file")
    with _LOCK:
        if plugin.ep in _REGISTERED:
            if _REGISTERED[plugin.ep] != path:
                raise UnavailableError(f"plug-in {plugin.ep} is loaded from another file")
            return
        try:
            onnxruntime.register_execution_provider_library(plugin.ep, str(path))
        except (_binding.Fail, RuntimeError, ValueError) as exc:
            raise UnavailableError(f"plug-in {plugin.ep} does not load: {exc}") from exc
        _REGISTERED[plugin.ep] = path
