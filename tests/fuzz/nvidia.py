"""Feed a million inputs to every NVIDIA parser and print what came out.

    nice -n 10 python -m tests.fuzz.nvidia [INPUTS_PER_TARGET] [SEED]

Inputs are mutations of valid SIMULATED objects: deterministic for a seed. A target fails if
anything but `AttestationError` escapes. docs/attestation/nvidia-gpu.md §6 records the last run.
"""

import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from attestation.errors import AttestationError
from attestation.evidence import Role
from attestation.nvidia import certificates, fwid, opaque, revocation, rim, spdm, xmldsig
from attestation.nvidia_gpu.verifier import NvidiaGpuVerifier
from attestation.nvidia_nvswitch.verifier import NvidiaNvswitchVerifier
from tests.harness.tee import nvidia as sim


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser and a valid input for it."""

    run: Callable[[bytes], object]
    valid: bytes
    cost: int = 1
    """Divide the number of inputs by this: whole verifications are slow."""


_GPU = sim.gpu()
_SWITCH = sim.switch()
_WHOLE_GPU = sim.gpu_collateral(_GPU)
_WHOLE_SWITCH = sim.switch_collateral(_SWITCH)
_RIM_ROOTS = (sim.rim_root(),)
_CHAIN = sim.pem(_GPU.certs)
_PATH = certificates.verify_path(
    certificates.split(_CHAIN, code="fuzz"), (sim.device_root(),), length=5, code="fuzz"
)
_ASKED = revocation.questions(_PATH, first=1)
_SMALL_RIM = sim.driver_rim(entries=9).xml()
_INFO = sim.dice_tcb_info()


def _paths(data: bytes) -> object:
    chain = certificates.split(data, code="fuzz")
    return certificates.verify_path(chain, (sim.device_root(),), length=5, code="fuzz")


def _fwid(data: bytes) -> object:
    class Leaf:
        """A leaf certificate as far as `fwid` looks at one."""

        def private(self, oid: str) -> bytes | None:
            """Return the fuzzed extension value."""
            return data[1:] if (oid == fwid.DICE_TCB_INFO) == bool(data[:1] > b"\x7f") else None

    leaf: Any = Leaf()
    return fwid.read(leaf)


def _ocsp(data: bytes) -> object:
    return revocation.check(_ASKED, [data], roots=(), now=sim.NOW)


def _gpu(data: bytes) -> object:
    verifier = NvidiaGpuVerifier((sim.device_root(),), _RIM_ROOTS)
    return verifier.verify(data, _WHOLE_GPU, now=sim.NOW)


def _gpu_rim(data: bytes) -> object:
    given = sim.replaced(_WHOLE_GPU, Role.DRIVER_RIM, data)
    return NvidiaGpuVerifier((sim.device_root(),), _RIM_ROOTS).verify(
        _GPU.report(), given, now=sim.NOW
    )


def _switch(data: bytes) -> object:
    verifier = NvidiaNvswitchVerifier((sim.device_root(),), _RIM_ROOTS)
    return verifier.verify(data, _WHOLE_SWITCH, now=sim.NOW)


TARGETS = {
    "report": Target(run=spdm.decode, valid=_SWITCH.report()),
    "opaque": Target(run=lambda data: opaque.describe(opaque.decode(data)), valid=_GPU.opaque()),
    "fwid": Target(run=_fwid, valid=b"\xff" + _INFO),
    "fwid-composite": Target(run=_fwid, valid=b"\0" + sim.composite_device_id()),
    "chain": Target(run=_paths, valid=_CHAIN),
    "xml": Target(run=xmldsig.decode, valid=_SMALL_RIM),
    "rim": Target(run=lambda data: rim.authenticate(data, _RIM_ROOTS), valid=_SMALL_RIM),
    "ocsp": Target(run=_ocsp, valid=b"".join(_WHOLE_GPU.all(Role.OCSP)[:3])),
    "gpu": Target(run=_gpu, valid=_GPU.report(), cost=20),
    "switch": Target(run=_switch, valid=_SWITCH.report(), cost=20),
    "gpu-with-rim": Target(run=_gpu_rim, valid=_SMALL_RIM, cost=40),
}

_TOKENS = (b"<!--x-->", b"<!DOCTYPE x>", b"&a;", b"\xff", b"\0", b"\x30\x80", b"\x7f" * 4, b"-----")


def mutate(valid: bytes, seed: int) -> bytes:
    """Return `valid` with one to four random edits; the same for the same seed."""
    chance = random.Random(seed)
    data = bytearray(valid)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        size = chance.choice((1, 1, 2, 4, 55, 300))
        match chance.randrange(7):
            case 0 | 1 | 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = data[at : at + size]
            case 5:
                data[at:at] = chance.choice(_TOKENS)
            case _:
                del data[at:]
    return bytes(data)


def main() -> int:
    """Run every target and return how many failed."""
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    warnings.simplefilter("error")
    failed = 0
    for name, target in TARGETS.items():
        outcomes: Counter[str] = Counter()
        begin = perf_counter()
        for number in range(inputs // target.cost):
            data = mutate(target.valid, (seed << 32) + number)
            try:
                target.run(data)
                outcomes["parsed"] += 1
            except AttestationError as exc:
                outcomes[exc.code.removeprefix("attestation.")] += 1
            except Exception as exc:  # noqa: BLE001 - this is what the run looks for
                outcomes[f"ESCAPED {type(exc).__name__}"] += 1
                print(name, number, repr(exc)[:200])
                failed += 1
        counts = ", ".join(f"{word} {count}" for word, count in sorted(outcomes.items()))
        total = sum(outcomes.values())
        print(f"{name}: {total} inputs in {perf_counter() - begin:.0f} s: {counts}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
