"""Is this the protected-PCIe board it claims to be: eight GPUs behind four locked switches?

In protected-PCIe mode GPU traffic crosses NVSwitches in the clear, so the switches are part of
the trusted base, and the set counts, not the members. Copies of one device are one device: every
rule works on distinct identities. A GPU's own identifier (PDI) is not in its report, so which
GPU is which entry of a switch's list is established only by counting.

Source: docs/attestation/nvidia-nvswitch.md §4.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from attestation.claims import Claims
from attestation.errors import Finding
from attestation.evidence import EvidenceKind
from attestation.nvidia_gpu.verifier import (
    PROTECTED_PCIE_FLAG,
    PROTECTED_PCIE_ON,
    TOPOLOGY_CODE,
)

from .verifier import LOCKED

GPUS: Final = 8
SWITCHES: Final = 4
RESOLVES: Final = frozenset({TOPOLOGY_CODE})
"""Unchecked findings of single devices that an empty `findings` answers for the set."""

_UNUSED: Final = "00" * 8


def findings(claims: Sequence[Claims]) -> list[Finding]:
    """Return everything that is wrong with a set of GPUs and switches; empty if nothing is.

    Args:
        claims: authentic claims of every accelerator of one node; other kinds are ignored.
    """
    gpus = [each for each in claims if each.kind is EvidenceKind.NVIDIA_GPU]
    switches = [each for each in claims if each.kind is EvidenceKind.NVIDIA_NVSWITCH]
    pending = any(finding.code in RESOLVES for gpu in gpus for finding in gpu.unchecked)
    if not switches and not pending:
        return _same("feature-flag", "FEATURE_FLAG", gpus, "feature_flag")
    found = [
        *_count("gpus", GPUS, gpus),
        *_count("switches", SWITCHES, switches),
        *_nonces([*gpus, *switches]),
    ]
    found += [
        _finding("mode", f"protected-PCIe mode of GPU {gpu.hardware_id}", "on", "off")
        for gpu in gpus
        if not _is_protected(gpu)
    ]
    found += [
        _finding("lock", f"lock of switch {switch.hardware_id}", "locked", "open")
        for switch in switches
        if switch.details.get("lock_switch_status") != LOCKED
    ]
    return found + _wiring(gpus, switches)


def _wiring(gpus: Sequence[Claims], switches: Sequence[Claims]) -> list[Finding]:
    """Compare who each side says is at the other end of its links."""
    present = {str(each.details.get("device_pdi")) for each in switches}
    found = []
    if len(present) != len(switches) or _UNUSED in present:
        found.append(_finding("switch-pdi", "switch PDIs", "distinct", _list(present)))
    for gpu in gpus:
        seen = _pdis(gpu, "switch_pdis") - {_UNUSED}
        if seen != present:
            claim = f"switches GPU {gpu.hardware_id} is linked to"
            found.append(_finding("gpu-links", claim, _list(present), _list(seen)))
    lists = {frozenset(_pdis(each, "gpu_pdis")) for each in switches}
    if len(lists) > 1:
        found.append(_finding("switch-links", "GPU lists of the switches", "identical", "not"))
    odd = [_list(each) for each in lists if len(each) != GPUS or _UNUSED in each]
    found += [
        _finding("switch-links", "GPUs in a switch's list", f"{GPUS} distinct", each)
        for each in sorted(odd)
    ]
    return found


def _count(code: str, wanted: int, devices: Sequence[Claims]) -> list[Finding]:
    """Require exactly `wanted` devices, all different ones."""
    distinct = len({each.hardware_id for each in devices})
    if distinct == wanted == len(devices):
        return []
    shown = f"{len(devices)}, {distinct} distinct"
    return [_finding(code, f"number of {code}", f"{wanted} distinct", shown)]


def _nonces(devices: Sequence[Claims]) -> list[Finding]:
    nonces = {each.report_data for each in devices}
    if len(nonces) == 1:
        return []
    return [_finding("nonce", "nonces of the devices", "one", str(len(nonces)))]


def _same(code: str, claim: str, devices: Sequence[Claims], name: str) -> list[Finding]:
    values = {str(each.details.get(name)) for each in devices}
    return [_finding(code, claim, "equal on all GPUs", _list(values))] if len(values) > 1 else []


def _is_protected(gpu: Claims) -> bool:
    flag = gpu.details.get("feature_flag")
    return (
        flag == PROTECTED_PCIE_FLAG
        and gpu.details.get("protected_pcie_status") == PROTECTED_PCIE_ON
    )


def _pdis(claims: Claims, name: str) -> frozenset[str]:
    listed = claims.details.get(name)
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()


def _list(values: Iterable[str]) -> str:
    return ", ".join(sorted(values)) or "none"


def _finding(code: str, claim: str, required: str, found: str) -> Finding:
    return Finding(f"nvidia-nvswitch.topology.{code}", claim, required, found)
