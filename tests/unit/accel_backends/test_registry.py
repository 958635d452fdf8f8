"""Loading a backend by name."""

from importlib.metadata import EntryPoint

import pytest

from accel_backends import load, registry
from accel_backends.errors import UnavailableError


def test_allowed_backend_loads() -> None:
    """The shipped backend loads when the node's configuration allows it."""
    backend = load("onnxruntime", allowed={"onnxruntime", "other"})
    assert backend.name == "onnxruntime"
    assert backend.version


@pytest.mark.parametrize("allowed", [set(), {"other"}, {"onnxruntime "}])
def test_backend_that_is_not_allowed_is_refused(allowed: set[str]) -> None:
    """A backend that is installed but not listed does not exist."""
    with pytest.raises(UnavailableError, match="not allowed"):
        load("onnxruntime", allowed=allowed)


def test_unknown_backend_is_refused() -> None:
    """A listed backend that nothing provides is an error, not a skip."""
    with pytest.raises(UnavailableError, match="need 1 provider, found"):
        load("nothing", allowed={"nothing"})


def test_backend_provided_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that offers a second backend of a shipped name cannot take its place."""
    intruder = EntryPoint("onnxruntime", "intruder:Backend", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [intruder])
    with pytest.raises(UnavailableError, match="need 1 provider, found"):
        load("onnxruntime", allowed={"onnxruntime"})


@pytest.mark.parametrize("target", ["no_such_module:Backend", "accel_backends:NoSuchName"])
def test_backend_that_does_not_import_is_an_error(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """A broken backend is reported, never left out."""
    point = EntryPoint("broken", target, registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [point])
    with pytest.raises(UnavailableError, match="does not import"):
        load("broken", allowed={"broken"})
