"""Every provider of a primitive, under one fixture: the contract tests run against each."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mifeng.crypto import providers, sm2_libcrypto, sm2_portable, sm3_portable, sm4_portable
from mifeng.crypto.errors import DecryptionError, KeyFormatError, SignatureError

if TYPE_CHECKING:
    from types import ModuleType


def native(attribute: str) -> ModuleType:
    """Return the native core if it was built with `attribute`; skip the test otherwise."""
    if os.environ.get("MIFENG_NATIVE") == "off":
        pytest.skip("MIFENG_NATIVE=off")
    try:
        core = importlib.import_module(providers._NATIVE_MODULE)
    except ImportError as exc:
        pytest.skip(f"the native core was not built: {exc}")
    if not hasattr(core, attribute):
        pytest.skip(f"the native core was built without {attribute}")
    core.install_errors(decryption=DecryptionError, signature=SignatureError, key=KeyFormatError)
    return core


@pytest.fixture(params=["portable", "native"])
def sm3_provider(request: pytest.FixtureRequest) -> ModuleType:
    """Return each module that offers SM3, HMAC-SM3 and HKDF-SM3."""
    return sm3_portable if request.param == "portable" else native("sm3_many")


@pytest.fixture(params=["portable", "native"])
def sm4_provider(request: pytest.FixtureRequest) -> ModuleType:
    """Return each module that offers SM4-GCM."""
    return sm4_portable if request.param == "portable" else native("Sm4Gcm")


@pytest.fixture(params=["portable", "libcrypto", "native"])
def sm2_provider(request: pytest.FixtureRequest) -> ModuleType:
    """Return each module that offers SM2."""
    if request.param == "native":
        return native("Sm2PrivateKey")
    if request.param == "libcrypto":
        if not sm2_libcrypto.available():
            pytest.skip("the system has no libcrypto with SM2")
        return sm2_libcrypto
    return sm2_portable


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """Return the directory of third-party vectors, or skip."""
    directory = os.environ.get("MIFENG_VECTORS_DIR")
    if not directory:
        pytest.skip("MIFENG_VECTORS_DIR is not set")
    return Path(directory)
