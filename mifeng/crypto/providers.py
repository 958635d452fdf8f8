"""Which implementation answers for SM3, SM4 and SM2, and whether it is constant-time.

The native core comes first. Without it SM3 and SM4 come from the `cryptography` library, and SM2
from the system's libcrypto or, where that has none, from this package's own Python. The choice is
made once, at import. `MIFENG_NATIVE` in the environment: `off` leaves the native core out; another
value names a code path inside it, and then failing to provide that path is an ImportError.

Source: docs/spec/crypto.md §1.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from mifeng.crypto import sm2_libcrypto, sm2_portable, sm3_portable, sm4_portable
from mifeng.crypto.errors import CryptoError, DecryptionError, KeyFormatError, SignatureError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Provider", "Providers", "implementation", "providers", "require_constant_time"]

Primitive: TypeAlias = Literal["sm3", "sm4", "sm2"]

_NATIVE_MODULE: Final = "mifeng.crypto._native._core"
_CHOICE: Final = "MIFENG_NATIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One implementation in use."""

    name: str
    """`native`, `cryptography`, `libcrypto` or `portable`."""
    constant_time: bool
    """Whether its running time and memory accesses are free of secrets, lengths apart."""
    why: str
    """Why `constant_time` is what it is, and why this provider and code path are in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """The implementation in use for each primitive."""

    sm3: Provider
    sm4: Provider
    sm2: Provider


_CRYPTOGRAPHY_SM3: Final = Provider(
    name="cryptography",
    constant_time=True,
    why="OpenSSL's SM3 has no tables and no branches on data.",
)
_CRYPTOGRAPHY_SM4: Final = Provider(
    name="cryptography",
    constant_time=False,
    why="OpenSSL's portable SM4 looks tables up with secret bytes.",
)
_LIBCRYPTO_SM2: Final = Provider(
    name="libcrypto",
    constant_time=False,
    why="libcrypto multiplies by a ladder, but its big numbers promise no constant time.",
)
_PORTABLE_SM2: Final = Provider(
    name="portable",
    constant_time=False,
    why="Python's integers, the comb and the NAF take time that depends on the secret.",
)


def _native() -> ModuleType | None:
    """Return the native core with our error classes in it, or None where it was not built."""
    wanted = os.environ.get(_CHOICE, "")
    if wanted == "off":
        return None
    try:
        core = importlib.import_module(_NATIVE_MODULE)
    except ImportError:
        if wanted:
            raise
        return None
    core.install_errors(decryption=DecryptionError, signature=SignatureError, key=KeyFormatError)
    return core


def _choose() -> tuple[dict[Primitive, ModuleType], Providers]:
    core = _native()
    paths: dict[str, str] = {} if core is None else core.paths()
    modules: dict[Primitive, ModuleType] = {"sm3": sm3_portable, "sm4": sm4_portable}
    sm3, sm4 = _instead(_CRYPTOGRAPHY_SM3), _instead(_CRYPTOGRAPHY_SM4)
    if core is not None and hasattr(core, "sm3_many"):
        modules["sm3"], sm3 = core, _native_provider(paths.get("sm3", ""))
    if core is not None and hasattr(core, "Sm4Gcm"):
        modules["sm4"], sm4 = core, _native_provider(paths.get("sm4", ""))
    if core is not None and hasattr(core, "Sm2PrivateKey"):
        modules["sm2"], sm2 = core, _native_provider(paths.get("sm2", ""))
    elif sm2_libcrypto.available():
        modules["sm2"], sm2 = sm2_libcrypto, _instead(_LIBCRYPTO_SM2)
    else:
        modules["sm2"], sm2 = sm2_portable, _instead(_PORTABLE_SM2)
    return modules, Providers(sm3=sm3, sm4=sm4, sm2=sm2)


def _native_provider(path: str) -> Provider:
    named = os.environ.get(_CHOICE, "")
    chosen = f"as {_CHOICE} says" if named else "the best this processor has"
    route = f" Code path {path}, {chosen}." if path else ""
    return Provider(
        name="native",
        constant_time=True,
        why=f"No branch and no address depends on a secret.{route}",
    )


def _instead(other: Provider) -> Provider:
    """Return another provider with why the native core does not answer."""
    off = os.environ.get(_CHOICE, "") == "off"
    reason = f"{_CHOICE}=off." if off else "The native core is not built here."
    return replace(other, why=f"{other.why} {reason}")


_MODULES, _PROVIDERS = _choose()


def implementation(primitive: Primitive) -> ModuleType:
    """Return the module whose names the façade exposes for this primitive."""
    return _MODULES[primitive]


def providers() -> Providers:
    """Return what is active in this process."""
    return _PROVIDERS


def require_constant_time() -> Providers:
    """Return what is active if all of it is constant-time.

    Raises:
        CryptoError: code `crypto.not_constant_time`; the message names each leaking primitive.
    """
    active = providers()
    leaking = [
        f"{primitive} ({provider.name}: {provider.why})"
        for primitive, provider in (("SM3", active.sm3), ("SM4", active.sm4), ("SM2", active.sm2))
        if not provider.constant_time
    ]
    if leaking:
        raise CryptoError(
            "not constant-time: " + "; ".join(leaking), code="crypto.not_constant_time"
        )
    return active
