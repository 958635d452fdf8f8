"""Which implementation answers for SM3, SM4 and SM2, and whether it is constant-time.

The native core comes first; without it SM3 and SM4 come from the `cryptography` library and SM2
from this package's own Python. The choice is made once, at import. `MIFENG_NATIVE=off` in the
environment leaves the native core out; its other values choose a code path inside the core.

Source: docs/spec/crypto.md §1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from mifeng.crypto.errors import CryptoError

__all__ = ["Provider", "Providers", "providers", "require_constant_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One implementation in use."""

    name: str
    """`native`, `libcrypto`, `cryptography` or `portable`; a code path may follow a colon."""
    constant_time: bool
    """Whether its running time and memory accesses are free of secrets."""
    why: str
    """One honest sentence behind `constant_time` and the choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """The implementation in use for each primitive."""

    sm3: Provider
    sm4: Provider
    sm2: Provider


_PORTABLE: Final = Providers(
    sm3=Provider(
        name="cryptography",
        constant_time=True,
        why="OpenSSL's SM3 has no tables and no branches on data.",
    ),
    sm4=Provider(
        name="cryptography",
        constant_time=False,
        why="OpenSSL's portable SM4 indexes tables with secret bytes.",
    ),
    sm2=Provider(
        name="portable",
        constant_time=False,
        why="Python integers and the comb and wNAF multiplications take secret-dependent time.",
    ),
)


def providers() -> Providers:
    """Return what is active in this process."""
    return _PORTABLE


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


def native_switched_off() -> bool:
    """Whether the environment asks to leave the native core out."""
    return os.environ.get("MIFENG_NATIVE", "") == "off"
