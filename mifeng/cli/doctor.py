"""`mifeng doctor`: what the cryptography of this installation is, and whether it works here.

Exit status 0 if every check held, 1 if one failed. Warnings (a path that is not constant-time,
telemetry that is not switched off) do not change the status: a client may live with them, a node
that must not says so in its configuration and then refuses to start.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import shutil
import ssl
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import click
from cryptography.hazmat.backends.openssl import backend
from rich.console import Console
from rich.table import Table

from mifeng.crypto import (
    CryptoError,
    Sm2PrivateKey,
    ciphertext_from_der,
    ciphertext_to_der,
    selftest,
    signature_from_der,
    signature_to_der,
    sm2_known_answers,
    sm2_libcrypto,
    sm3,
)
from mifeng.crypto.providers import providers
from mifeng.crypto.selftest import Outcome
from mifeng.crypto.suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Callable

TELEMETRY_VARIABLE: Final = "ORT_DISABLE_TELEMETRY"
_MESSAGE: Final = "mifeng doctor 密封".encode()


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--interop", is_flag=True, help="Also cross-check with other SM2 implementations.")
@click.pass_context
def command(context: click.Context, as_json: bool, interop: bool) -> None:
    """Say which cryptography is active, whether it is constant-time, and test it."""
    report = examine(interop=interop)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        _print(report)
    context.exit(0 if report["ok"] else 1)


def examine(*, interop: bool) -> dict[str, Any]:
    """Return the whole report, as `--json` prints it."""
    active = asdict(providers())
    checks = selftest.run()
    crossed = tuple(cross() for cross in _INTEROP) if interop else ()
    telemetry = _telemetry()
    warnings = [
        f"{name.upper()} ({one['name']}) is not constant-time: {one['why']}"
        for name, one in active.items()
        if not one["constant_time"]
    ]
    if telemetry["state"] == "on":
        warnings.append(str(telemetry["detail"]))
    return {
        "ok": all(outcome.ok for outcome in (*checks, *crossed)),
        "versions": _versions(),
        "providers": active,
        "self_test": [asdict(outcome) for outcome in checks],
        "interop": [asdict(outcome) for outcome in crossed],
        "suites": [
            {"name": one.name, "id": f"{one.id:#06x}", "experimental": one.experimental}
            for one in SUITES.values()
        ],
        "telemetry": telemetry,
        "warnings": warnings,
    }


def _versions() -> dict[str, str]:
    found = {
        "mifeng": _installed("mifeng"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "cryptography": _installed("cryptography"),
        "openssl_of_cryptography": backend.openssl_version_text(),
        "openssl_of_python": ssl.OPENSSL_VERSION,
    }
    if system := sm2_libcrypto.version():
        found["openssl_of_system"] = system
    return found


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "from a checkout"


def _telemetry() -> dict[str, str]:
    if importlib.util.find_spec("onnxruntime") is None:
        state, detail = "absent", "onnxruntime is not installed here."
    elif os.environ.get(TELEMETRY_VARIABLE) == "1":
        state, detail = "off", f"{TELEMETRY_VARIABLE}=1 is set."
    else:
        state = "on"
        detail = (
            f"onnxruntime reports to its vendor in programs started from this environment; set"
            f" {TELEMETRY_VARIABLE}=1. The node sets it for itself before loading onnxruntime."
        )
    return {"variable": TELEMETRY_VARIABLE, "state": state, "detail": detail}


def _cross(name: str, check: Callable[[], str]) -> Outcome:
    try:
        return Outcome(name=name, ok=True, detail=check())
    except ImportError:
        return Outcome(name=name, ok=True, detail="not installed, not checked")
    except (CryptoError, ArithmeticError, ValueError, subprocess.SubprocessError) as exc:
        return Outcome(name=name, ok=False, detail=f"disagrees: {type(exc).__name__}")


def _same(*facts: bool) -> None:
    if not all(facts):
        raise CryptoError("the other implementation disagrees")


def _gmssl_python() -> str:
    """Cross signatures, ciphertexts and digests with PyPI gmssl, on the standard's public key."""
    sm2, theirs3 = importlib.import_module("gmssl.sm2"), importlib.import_module("gmssl.sm3")
    scalar, point = sm2_known_answers.SCALAR, sm2_known_answers.PUBLIC[1:]
    theirs = sm2.CryptSM2(private_key=scalar.hex(), public_key=point.hex(), mode=1)
    ours = Sm2PrivateKey.from_scalar(scalar)
    ours.public_key().verify(bytes.fromhex(theirs.sign_with_sm3(_MESSAGE)), _MESSAGE)
    _same(
        bool(theirs.verify_with_sm3(ours.sign(_MESSAGE).hex(), _MESSAGE)),
        ours.decrypt(b"\x04" + theirs.encrypt(_MESSAGE)) == _MESSAGE,
        theirs.decrypt(ours.public_key().encrypt(_MESSAGE)[1:]) == _MESSAGE,
        theirs3.sm3_hash(list(_MESSAGE)) == sm3(_MESSAGE).hex(),
    )
    return f"{version('gmssl')}: signatures, ciphertexts and digests cross (test keys only)"


def _gmssl_c() -> str:
    """Cross signatures, ciphertexts and digests with gmssl-pyx, on the standard's public key."""
    theirs = importlib.import_module("gmssl_pyx")
    scalar, point = sm2_known_answers.SCALAR, sm2_known_answers.PUBLIC[1:]
    ours = Sm2PrivateKey.from_scalar(scalar)
    made = signature_from_der(theirs.sm2_sign(scalar, point, _MESSAGE))
    ours.public_key().verify(made, _MESSAGE)
    ciphertext = ciphertext_from_der(theirs.sm2_encrypt(point, _MESSAGE))
    mine = ciphertext_to_der(ours.public_key().encrypt(_MESSAGE))
    _same(
        theirs.sm2_verify(point, _MESSAGE, signature_to_der(ours.sign(_MESSAGE))),
        ours.decrypt(ciphertext) == _MESSAGE,
        theirs.sm2_decrypt(scalar, mine) == _MESSAGE,
        theirs.sm3_hash(_MESSAGE) == sm3(_MESSAGE),
    )
    return f"{version('gmssl_pyx')}: signatures, ciphertexts and digests cross (test keys only)"


def _openssl_command() -> str:
    """Compare SM3 with the openssl command, which also tells its version."""
    path = shutil.which("openssl")
    if path is None:
        raise ImportError("no openssl command")
    shown = subprocess.run([path, "version"], capture_output=True, check=True)  # noqa: S603
    hashed = subprocess.run(  # noqa: S603 - the path comes from which(), the rest is fixed
        [path, "dgst", "-sm3", "-binary"], input=_MESSAGE, capture_output=True, check=True
    )
    _same(hashed.stdout == sm3(_MESSAGE))
    return f"{shown.stdout.decode('utf-8', 'replace').strip()}: digests agree"


def _system_libcrypto() -> str:
    """Cross signatures and ciphertexts with the system's libcrypto."""
    if not sm2_libcrypto.available():
        raise ImportError("no libcrypto with SM2")
    ours, theirs = Sm2PrivateKey.generate(), sm2_libcrypto.Sm2PrivateKey.generate()
    our_public = sm2_libcrypto.Sm2PublicKey.from_bytes(ours.public_key().to_bytes())
    their_public = type(ours.public_key()).from_bytes(theirs.public_key().to_bytes())
    our_public.verify(ours.sign(_MESSAGE), _MESSAGE)
    their_public.verify(theirs.sign(_MESSAGE), _MESSAGE)
    _same(
        ours.decrypt(our_public.encrypt(_MESSAGE)) == _MESSAGE,
        theirs.decrypt(their_public.encrypt(_MESSAGE)) == _MESSAGE,
    )
    return f"{sm2_libcrypto.version()}: signatures and ciphertexts cross"


_INTEROP: Final[tuple[Callable[[], Outcome], ...]] = (
    lambda: _cross("system libcrypto", _system_libcrypto),
    lambda: _cross("openssl command", _openssl_command),
    lambda: _cross("gmssl-pyx", _gmssl_c),
    lambda: _cross("gmssl", _gmssl_python),
)


def _print(report: dict[str, Any]) -> None:
    console = Console()
    chosen = Table("primitive", "provider", "constant-time", "why", title="Cryptography in use")
    for name, one in report["providers"].items():
        verdict = "[green]yes[/]" if one["constant_time"] else "[yellow]no[/]"
        chosen.add_row(name.upper(), one["name"], verdict, one["why"])
    console.print(chosen)
    checked = Table("check", "result", "what was compared", title="Known answers")
    for outcome in (*report["self_test"], *report["interop"]):
        checked.add_row(
            outcome["name"],
            "[green]holds[/]" if outcome["ok"] else "[red]FAILS[/]",
            outcome["detail"],
        )
    console.print(checked)
    experimental = " [yellow](experimental: its construction may change)[/]"
    suites = (one["name"] + experimental * one["experimental"] for one in report["suites"])
    console.print(f"Crypto suites: {', '.join(suites)}")
    about = Table("component", "version", title="Versions")
    for name, text in report["versions"].items():
        about.add_row(name.replace("_", " "), text)
    console.print(about)
    telemetry = report["telemetry"]
    console.print(f"Telemetry of onnxruntime: {telemetry['state']}. {telemetry['detail']}")
    for warning in report["warnings"]:
        console.print(f"[yellow]warning:[/] {warning}")
    console.print("[green]All checks hold.[/]" if report["ok"] else "[red]A check failed.[/]")
