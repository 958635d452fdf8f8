"""`attestation`: what it costs to verify one machine's evidence, by kind.

Machines are SIMULATED in their vendors' formats, under test roots, with the whole chain and all
collateral; verifiers are the shipped ones. Every piece of evidence has a nonce of its own, so its
own signature is always checked; chains and collateral repeat, as they do for a verifier that sees
the same machines again, and their caches are warm but for the `first` column.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from attestation.amd_snp.product import Product
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.aws_nitro.roots import pin as nitro_pin
from attestation.aws_nitro.verifier import AwsNitroVerifier
from attestation.azure_vtpm.verifier import AzureVtpmVerifier
from attestation.evidence import Collateral, Role
from attestation.intel_sgx.verifier import IntelSgxVerifier
from attestation.intel_tdx.verifier import IntelTdxVerifier
from attestation.nvidia_gpu.verifier import NvidiaGpuVerifier
from attestation.simulated import SimulatedVerifier, published_root
from attestation.tpm2.roots import pin as tpm_pin
from attestation.tpm2.verifier import Tpm2Verifier
from attestation.verifier import Verifier
from tests.harness.tee import azure, intel, nitro, nvidia, simulated, snp, tpm2

from .timing import percentile

MIXED: Final = 1000
_NONCE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One kind of machine: who judges it, and evidence for any nonce."""

    verifier: Verifier
    collateral: Collateral
    now: int
    make: Callable[[bytes], bytes]
    """Evidence for a 32-byte nonce."""


def subjects() -> dict[str, Subject]:
    """Return every kind whose simulator is in the tests' harness."""
    genoa = snp.SnpPlatform(product=Product.GENOA)
    gpu, vm, machine = nvidia.gpu(1001), azure.AzureVm(), tpm2.Tpm()
    tpm_items = [(Role.AK_CERT, tpm2.ak_certificate()), (Role.AK_CERT, tpm2.intermediate())]
    tpm_items += [(Role.ROOT_CRL, data) for data in tpm2.crls()]
    gpu_roots = (nvidia.device_root(),), (nvidia.rim_root(),)
    node = simulated.SimulatedNode()
    return {
        "intel-tdx": _intel(IntelTdxVerifier(intel.TD.anchors()), intel.TD),
        "intel-sgx": _intel(IntelSgxVerifier(intel.ENCLAVE.anchors()), intel.ENCLAVE),
        "amd-snp": Subject(
            verifier=AmdSnpVerifier(genoa.roots),
            collateral=genoa.collateral(),
            now=snp.NOW,
            make=lambda nonce: genoa.report(report_data=nonce * 2),
        ),
        "aws-nitro": Subject(
            verifier=AwsNitroVerifier((nitro_pin(nitro.root()),)),
            collateral=Collateral(()),
            now=nitro.NOW,
            make=lambda nonce: nitro.bend(nonce=nonce),
        ),
        "tpm2": Subject(
            verifier=Tpm2Verifier((tpm_pin(tpm2.root()),)),
            collateral=Collateral(tuple(tpm_items)),
            now=tpm2.NOW,
            make=lambda nonce: replace(machine, nonce=nonce).evidence(),
        ),
        "azure-vtpm": Subject(
            verifier=AzureVtpmVerifier(vm.roots()),
            collateral=vm.collateral(),
            now=snp.NOW,
            make=lambda nonce: replace(vm, tpm=replace(vm.tpm, nonce=nonce)).evidence(),
        ),
        "nvidia-gpu": Subject(
            verifier=NvidiaGpuVerifier(*gpu_roots),
            collateral=nvidia.gpu_collateral(gpu),
            now=nvidia.NOW,
            make=lambda nonce: replace(gpu, nonce=nonce).report(),
        ),
        "simulated": Subject(
            verifier=SimulatedVerifier((published_root(),)),
            collateral=Collateral(()),
            now=simulated.NOW,
            make=lambda nonce: node.but(keyset=nonce).bundle().cpu.raw,
        ),
    }


def _intel(verifier: Verifier, world: intel.IntelWorld) -> Subject:
    return Subject(
        verifier=verifier,
        collateral=world.collateral(),
        now=intel.NOW,
        make=lambda nonce: world.but(body={**world.body, "report_data": nonce * 2}).quote(),
    )


def _nonces() -> Iterator[bytes]:
    for number in range(1 << 31):
        yield number.to_bytes(_NONCE, "big")


def _timed(subject: Subject, raw: bytes) -> float:
    """Verify once and return milliseconds of this thread's processor time."""
    began = time.thread_time()
    claims = subject.verifier.verify(raw, subject.collateral, now=subject.now)
    spent = (time.thread_time() - began) * 1000
    if claims.refused or claims.unchecked:
        raise RuntimeError(f"{claims.kind}: not a clean verdict")
    return spent


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each kind, then all of them mixed."""
    say("making machines")
    machines, nonces = subjects(), _nonces()
    count = 20 if quick else 200
    found: dict[str, Any] = {"kinds": {}}
    for kind, subject in machines.items():
        say(kind)
        raws = [subject.make(next(nonces)) for _ in range(count)]
        first, *times = [_timed(subject, raw) for raw in raws]
        times.sort()
        found["kinds"][kind] = {
            "bytes": len(raws[0]),
            "collateral_bytes": sum(len(data) for _, data in subject.collateral.items),
            "first_ms": round(first, 3),
            "p50_ms": round(percentile(times, 0.5), 3),
            "p99_ms": round(percentile(times, 0.99), 3),
        }
    total = MIXED // 10 if quick else MIXED
    say(f"{total} mixed")
    mixed = [
        (subject, subject.make(next(nonces))) for subject in islice(cycle(machines.values()), total)
    ]
    spent = sum(_timed(subject, raw) for subject, raw in mixed) / 1000
    found["mixed"] = {
        "count": total,
        "seconds": round(spent, 3),
        "per_second": round(total / spent, 1),
    }
    return found


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print one table."""
    table = Table(title="verifying evidence, processor time of one core")
    for column in ("kind", "evidence B", "collateral B", "first ms", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, row in result["kinds"].items():
        table.add_row(
            kind,
            f"{row['bytes']:,}",
            f"{row['collateral_bytes']:,}",
            f"{row['first_ms']:.2f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
        )
    mixed = result["mixed"]
    console.print(
        table, f"{mixed['count']} of all kinds in turn: {mixed['per_second']:.0f} per second"
    )
