"""Plug-in providers: nothing is loaded that was not measured."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from accel_backends.errors import UnavailableError
from accel_backends.ort import OrtBackend
from accel_backends.ort_plugin import PluginLibrary, measure


@pytest.fixture
def folder(tmp_path: Path) -> PluginLibrary:
    """Return a plug-in folder of two files that are no libraries, correctly measured."""
    path = tmp_path / "libplugin.so"
    path.write_bytes(b"not a library")
    (tmp_path / "libneighbour.so.2").write_bytes(b"neighbour")
    return PluginLibrary(ep="TestExecutionProvider", path=path, sha256=measure(path))


def test_bent_library_is_refused_before_it_is_loaded(
    backend: OrtBackend, folder: PluginLibrary
) -> None:
    """One bit changed in the plug-in itself: refused by digest, the loader never sees it."""
    folder.path.write_bytes(b"not a librarz")
    with pytest.raises(UnavailableError, match="is not the measured file"):
        backend.register_plugin(folder)


def test_bent_neighbour_is_refused(backend: OrtBackend, folder: PluginLibrary) -> None:
    """A neighbour that the plug-in would pull in counts as the plug-in."""
    (folder.path.parent / "libneighbour.so.2").write_bytes(b"neighbous")
    with pytest.raises(UnavailableError, match=r"libneighbour\.so\.2 is not the measured file"):
        backend.register_plugin(folder)


def test_added_and_removed_libraries_are_refused(
    backend: OrtBackend, folder: PluginLibrary
) -> None:
    """A library too many or too few is a different folder."""
    extra = folder.path.parent / "libextra.so"
    extra.write_bytes(b"")
    with pytest.raises(UnavailableError, match=r"differ in \['libextra\.so'\]"):
        backend.register_plugin(folder)
    extra.unlink()
    (folder.path.parent / "libneighbour.so.2").unlink()
    with pytest.raises(UnavailableError, match=r"differ in \['libneighbour\.so\.2'\]"):
        backend.register_plugin(folder)


def test_unlisted_plugin_is_refused(backend: OrtBackend, folder: PluginLibrary) -> None:
    """The plug-in itself must have a digest."""
    digests = {k: v for k, v in folder.sha256.items() if k != folder.path.name}
    with pytest.raises(UnavailableError, match="itself has no digest"):
        backend.register_plugin(replace(folder, sha256=digests))


def test_measured_junk_does_not_load(backend: OrtBackend, folder: PluginLibrary) -> None:
    """With right digests the loader is reached, and its failure is ours to report."""
    with pytest.raises(UnavailableError, match="does not load"):
        backend.register_plugin(folder)


def test_real_plugin_loads_once(
    backend: OrtBackend, openvino: PluginLibrary, tmp_path: Path
) -> None:
    """Registering the same plug-in again does nothing; a copy under its name is refused."""
    backend.register_plugin(openvino)
    copy = tmp_path / openvino.path.name
    shutil.copyfile(openvino.path, copy)
    with pytest.raises(UnavailableError, match="loaded from another file"):
        backend.register_plugin(PluginLibrary(ep=openvino.ep, path=copy, sha256=measure(copy)))


def test_virtual_devices_are_not_offered(backend: OrtBackend, openvino: PluginLibrary) -> None:
    """Compilation targets that are not in this machine cannot be asked for."""
    assert all(device.properties.get("is_virtual") != "1" for device in backend.devices())
