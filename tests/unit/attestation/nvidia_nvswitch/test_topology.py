"""The protected-PCIe board as a whole: eight GPUs behind four locked switches, or nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from attestation.claims import Claims
from attestation.nvidia_gpu.verifier import NvidiaGpuVerifier
from attestation.nvidia_nvswitch.topology import RESOLVES, findings
from attestation.nvidia_nvswitch.verifier import NvidiaNvswitchVerifier
from tests.harness.tee import nvidia as sim

PDIS = [b"SWITCH-%d" % number for number in range(4)]
GPU_VERIFIER = NvidiaGpuVerifier((sim.device_root(),), (sim.rim_root(),))
SWITCH_VERIFIER = NvidiaNvswitchVerifier((sim.device_root(),), (sim.rim_root(),))


@cache
def board() -> tuple[Claims, ...]:
    """Return the claims of a complete SIMULATED board, GPUs first."""
    gpus = [sim.gpu(1000 + 10 * at, protected=True, switches=PDIS) for at in range(8)]
    switches = [sim.switch(3000 + 10 * at, pdi=pdi) for at, pdi in enumerate(PDIS)]
    return (
        *(
            GPU_VERIFIER.verify(each.report(), sim.collateral(sim.pem(each.certs)), now=sim.NOW)
            for each in gpus
        ),
        *(
            SWITCH_VERIFIER.verify(each.report(), sim.collateral(sim.pem(each.certs)), now=sim.NOW)
            for each in switches
        ),
    )


def codes(claims: Sequence[Claims]) -> set[str]:
    """Return the last words of all findings' codes."""
    return {each.code.removeprefix("nvidia-nvswitch.topology.") for each in findings(claims)}


def _bend(claims: Claims, **details: Any) -> Claims:
    return replace(claims, details={**claims.details, **details})


def _at(position: int, **details: Any) -> Callable[[], tuple[Claims, ...]]:
    def make() -> tuple[Claims, ...]:
        whole = list(board())
        whole[position] = _bend(whole[position], **details)
        return tuple(whole)

    return make


def _everywhere(**details: Any) -> Callable[[], tuple[Claims, ...]]:
    return lambda: board()[:8] + tuple(_bend(each, **details) for each in board()[8:])


ZERO = "00" * 8
NINE = [f"{number:016x}" for number in range(1, 10)]

CASES: dict[str, tuple[Callable[[], tuple[Claims, ...]], set[str]]] = {
    "seven GPUs": (lambda: board()[1:], {"gpus"}),
    "one of eight dropped, another sent twice": (lambda: (board()[1], *board()[1:]), {"gpus"}),
    "eight copies of one GPU": (lambda: (board()[0],) * 8 + board()[8:], {"gpus"}),
    "three switches": (lambda: board()[:-1], {"switches", "gpu-links"}),
    "four copies of one switch": (
        lambda: board()[:8] + (board()[8],) * 4,
        {"switches", "switch-pdi", "gpu-links"},
    ),
    "eight copies of a GPU and four of a switch": (
        lambda: (board()[0],) * 8 + (board()[8],) * 4,
        {"gpus", "switches", "switch-pdi", "gpu-links"},
    ),
    "nine GPUs": (lambda: (*board(), replace(board()[0], hardware_id="9")), {"gpus"}),
    "no switches": (lambda: board()[:8], {"switches", "gpu-links"}),
    "no GPUs": (lambda: board()[8:], {"gpus"}),
    "a GPU asked with another nonce": (
        lambda: (replace(board()[0], report_data=bytes(32)), *board()[1:]),
        {"nonce"},
    ),
    "a switch asked with another nonce": (
        lambda: (*board()[:-1], replace(board()[-1], report_data=bytes(32))),
        {"nonce"},
    ),
    "a GPU in another mode": (_at(0, feature_flag=0), {"mode"}),
    "a GPU whose status is off": (_at(0, protected_pcie_status=0x55), {"mode"}),
    "a GPU that sends no mode": (_at(0, feature_flag=None), {"mode"}),
    "an unlocked switch": (_at(8, lock_switch_status=0), {"lock"}),
    "a switch without lock status": (_at(8, lock_switch_status=None), {"lock"}),
    "a GPU behind another switch": (_at(3, switch_pdis=["aa" * 8] * 18), {"gpu-links"}),
    "a GPU behind three switches": (
        _at(3, switch_pdis=[each.hex() for each in PDIS[:3]]),
        {"gpu-links"},
    ),
    "a GPU without links": (_at(3, switch_pdis=[ZERO] * 18), {"gpu-links"}),
    "a GPU that names no switch": (_at(3, switch_pdis=None), {"gpu-links"}),
    "a switch of another board": (_at(8, device_pdi="aa" * 8), {"gpu-links"}),
    "a switch without identifier": (_at(8, device_pdi=ZERO), {"switch-pdi", "gpu-links"}),
    "switches that see different GPUs": (_at(8, gpu_pdis=NINE[:8]), {"switch-links"}),
    "a switch that sees seven GPUs": (_at(8, gpu_pdis=NINE[:7]), {"switch-links"}),
    "switches that all see seven GPUs": (_everywhere(gpu_pdis=NINE[:7]), {"switch-links"}),
    "switches that all see nine GPUs": (_everywhere(gpu_pdis=NINE), {"switch-links"}),
    "switches that all see one GPU twice": (
        _everywhere(gpu_pdis=[*NINE[:7], NINE[0]]),
        {"switch-links"},
    ),
    "switches that all see an unused link": (
        _everywhere(gpu_pdis=[*NINE[:7], ZERO]),
        {"switch-links"},
    ),
    "a switch that sees an unused link": (_at(8, gpu_pdis=[*NINE[:7], ZERO]), {"switch-links"}),
}


def test_a_complete_board_is_whole() -> None:
    """Eight GPUs, four switches, one nonce, and both sides name each other."""
    assert findings(board()) == []
    assert {each.code for gpu in board()[:8] for each in gpu.unchecked} >= RESOLVES


@pytest.mark.parametrize("case", CASES)
def test_anything_else_is_refused_by_name(case: str) -> None:
    """Each way to be less than the board has its own code, and nothing else is blamed."""
    make, expected = CASES[case]
    assert codes(make()) == expected


def test_ordinary_gpus_need_no_switches() -> None:
    """Outside protected-PCIe mode only the mode must be the same everywhere."""
    plain = [
        GPU_VERIFIER.verify(each.report(), sim.collateral(sim.pem(each.certs)), now=sim.NOW)
        for each in (sim.gpu(1), sim.gpu(11))
    ]
    assert findings(plain) == []
    mixed = [plain[0], _bend(plain[1], feature_flag=1)]
    assert codes(mixed) == {"feature-flag"}


def test_one_ordinary_gpu_among_protected_ones_is_refused() -> None:
    """Modes are never mixed."""
    assert codes((*board()[1:], _bend(board()[0], feature_flag=0, hardware_id="x"))) == {"mode"}
