"""NVSwitch verification on SIMULATED devices: what is accepted, and every way it is refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.x509.ocsp import OCSPCertStatus

from attestation.errors import AttestationError
from attestation.evidence import EvidenceKind, Role
from attestation.nvidia_nvswitch.roots import ROOTS
from attestation.nvidia_nvswitch.verifier import NvidiaNvswitchVerifier
from tests.harness.tee import nvidia as sim

VERIFIER = NvidiaNvswitchVerifier((sim.device_root(),), (sim.rim_root(),))
SWITCH = sim.switch()
WHOLE = sim.switch_collateral(SWITCH)
CERTS = sim.rim_certs("LS10")
LEAF, IK, ICA, IDENTITY, ROOT = SWITCH.certs


def judge(device: sim.Device = SWITCH, given: Any = WHOLE, *, now: int = sim.NOW) -> Any:
    """Return verdict and codes of a switch with everything stapled, unless given other."""
    return sim.verdict(VERIFIER, device.report(), given, now=now)


def test_a_switch_with_everything_stapled_is_accepted() -> None:
    """Report, chain, manifest, lock and fresh OCSP leave nothing to object to."""
    claims = VERIFIER.verify(SWITCH.report(), WHOLE, now=sim.NOW)
    assert (claims.refused, claims.unchecked) == ((), ())
    assert claims.kind is EvidenceKind.NVIDIA_NVSWITCH
    assert claims.report_data == sim.NONCE
    assert claims.hardware_id == "3001"
    assert claims.details["device_pdi"] == b"SWITCH-0".hex()
    assert claims.details["gpu_pdis"] == [(b"GPU-PDI%d" % at).hex() for at in range(8)]
    assert claims.details["rim_ids"] == ["NV_SWITCH_BIOS_5612_0002_890_9610550001"]
    assert claims.details["lock_switch_status"] == 1


def test_a_firmware_id_is_compared_where_one_is_reported() -> None:
    """LS10 reports none today; one that agrees with the leaf changes nothing."""
    assert judge(SWITCH.with_fields(f20=sim.FWID))[0] == "accepted"


def _device(device: sim.Device) -> Callable[[], Any]:
    return lambda: judge(device)


def _raw(change: Callable[[bytes], bytes]) -> Callable[[], Any]:
    return lambda: sim.verdict(VERIFIER, change(SWITCH.report()), WHOLE)


def _chain(*certs: sim.Cert) -> Callable[[], Any]:
    return lambda: judge(given=sim.replaced(WHOLE, Role.CERT_CHAIN, sim.pem(certs)))


def _cert(position: int, **changes: Any) -> Callable[[], Any]:
    return _chain(*SWITCH.with_cert(position, **changes).certs)


def _rim(**changes: Any) -> Callable[[], Any]:
    changes = {"certs": CERTS, **changes}
    given = sim.replaced(WHOLE, Role.SWITCH_RIM, sim.switch_rim(**changes).xml())
    return lambda: judge(given=given)


def _ocsp(position: int, **changes: Any) -> Callable[[], Any]:
    listed = list(WHOLE.all(Role.OCSP))
    listed[position - 1] = sim.Response(certs=SWITCH.certs, position=position, **changes).der()
    return lambda: judge(given=sim.replaced(WHOLE, Role.OCSP, *listed))


CASES = {
    "bit of the signature": (
        _raw(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
        "untrusted",
        "nvidia.report.signature",
    ),
    "halves swapped": (
        _raw(lambda raw: raw[:-96] + raw[-48:] + raw[-96:-48]),
        "untrusted",
        "nvidia.report.signature",
    ),
    "nonce exchanged": (
        _raw(lambda raw: raw[:4] + bytes(32) + raw[36:]),
        "untrusted",
        "nvidia.report.signature",
    ),
    "truncated": (_raw(lambda raw: raw[:100]), "malformed", "nvidia.report.truncated"),
    "trailing byte": (_raw(lambda raw: raw + b"x"), "malformed", "nvidia.report.trailing"),
    "a GPU's number of blocks": (
        _device(replace(SWITCH, blocks={at: sim.measured(at) for at in range(64)})),
        "malformed",
        "nvidia.report.blocks",
    ),
    "signed by another switch": (
        _device(replace(SWITCH, signer="leaf-3002")),
        "untrusted",
        "nvidia.report.signature",
    ),
    "field twice": (
        _device(replace(SWITCH, order=[*SWITCH.fields.items(), (25, b"\1\0")])),
        "malformed",
        "nvidia.opaque.duplicate",
    ),
    "no version": (_device(SWITCH.with_fields(f6=None)), "malformed", "nvidia.opaque.missing"),
    "a GPU's version": (
        _device(SWITCH.with_fields(f6=bytes(8))),
        "malformed",
        "nvidia-nvswitch.version",
    ),
    "version is no number": (
        _device(SWITCH.with_fields(f6=b"96.10.55.00.zz")),
        "malformed",
        "nvidia-nvswitch.version",
    ),
    "version of eight bytes of digits": (
        _device(SWITCH.with_fields(f6=b"96.10.55")),
        "malformed",
        "nvidia-nvswitch.version",
    ),
    "no identifier": (_device(SWITCH.with_fields(f22=None)), "malformed", "nvidia.opaque.missing"),
    "a GPU's list of switches": (
        _device(SWITCH.with_fields(f22=bytes(144))),
        "malformed",
        "nvidia-nvswitch.pdi",
    ),
    "no list of GPUs": (
        _device(SWITCH.with_fields(f26=None)),
        "malformed",
        "nvidia.opaque.missing",
    ),
    "not locked": (_device(SWITCH.with_fields(f25=b"\0\0")), "rejected", "nvidia-nvswitch.lock"),
    "lock unknown": (_device(SWITCH.with_fields(f25=None)), "rejected", "nvidia-nvswitch.lock"),
    "opaque version of the future": (
        _device(SWITCH.with_fields(f34=b"\2\0")),
        "rejected",
        "nvidia.opaque.version",
    ),
    "other firmware id": (
        _device(SWITCH.with_fields(f20=bytes(48))),
        "untrusted",
        "nvidia.fwid.mismatch",
    ),
    "other firmware": (
        _device(replace(SWITCH, blocks={**SWITCH.blocks, 30: bytes(48)})),
        "rejected",
        "nvidia.switch-rim.measurement",
    ),
    "a GPU": (
        lambda: judge(sim.gpu(), sim.gpu_collateral(sim.gpu())),
        "malformed",
        "nvidia.kind",
    ),
    "no chain": (
        lambda: judge(given=sim.without(WHOLE, Role.CERT_CHAIN)),
        "unverified",
        "nvidia.chain.missing",
    ),
    "chain without root": (_chain(LEAF, IK, ICA, IDENTITY), "untrusted", "nvidia.chain.length"),
    "reordered": (_chain(LEAF, ICA, IK, IDENTITY, ROOT), "untrusted", "nvidia.chain.order"),
    "self-made root of the same name": (
        _chain(LEAF, IK, ICA, IDENTITY, replace(ROOT, public=sim.key("another"))),
        "untrusted",
        "nvidia.chain.root",
    ),
    "intermediate expired": (_cert(2, end=sim.NOW - 1), "untrusted", "nvidia.chain.validity"),
    "leaf is a CA": (_cert(0, ca=True), "untrusted", "nvidia.chain.usage"),
    "leaf without firmware id": (_cert(0, extensions=()), "untrusted", "nvidia.fwid.missing"),
    "no manifest": (
        lambda: judge(given=sim.without(WHOLE, Role.SWITCH_RIM)),
        "unverified",
        "nvidia.switch-rim.missing",
    ),
    "manifest of another version": (
        _rim(version="96.10.73.00.01"),
        "rejected",
        "nvidia.switch-rim.version",
    ),
    "manifest of a GPU": (_rim(product="GH100"), "rejected", "nvidia.switch-rim.product"),
    "manifest leaves one out": (
        _rim(active=range(30)),
        "rejected",
        "nvidia.switch-rim.coverage",
    ),
    "manifest expired": (
        _rim(certs=(replace(CERTS[0], end=sim.NOW - 1), *CERTS[1:])),
        "unverified",
        "nvidia.switch-rim.expired",
    ),
    "manifest by another key": (_rim(signer="x"), "untrusted", "nvidia.xmldsig.signature"),
    "no OCSP": (
        lambda: judge(given=sim.without(WHOLE, Role.OCSP)),
        "unverified",
        "nvidia.revocation.missing",
    ),
    "revoked": (
        _ocsp(1, status=OCSPCertStatus.REVOKED),
        "rejected",
        "nvidia.revocation.revoked",
    ),
    "OCSP stale": (
        _ocsp(2, next_update=sim.NOW - 1),
        "unverified",
        "nvidia.revocation.stale",
    ),
    "OCSP forged": (_ocsp(3, signer="x"), "untrusted", "nvidia.revocation.signature"),
}


@pytest.mark.parametrize("case", CASES)
def test_negative(case: str) -> None:
    """Bending one thing gives exactly this verdict, by this code."""
    run, word, code = CASES[case]
    found, codes = run()
    assert found == word
    assert code in codes


def test_the_real_roots_trust_no_simulated_switch() -> None:
    """The verifier as shipped refuses the simulator at the root."""
    found = sim.verdict(NvidiaNvswitchVerifier(ROOTS), SWITCH.report(), WHOLE)
    assert found == ("untrusted", ["nvidia.chain.root"])


def test_any_bent_byte_is_refused() -> None:
    """Every byte of a report counts, up to the end of the signature."""
    valid = SWITCH.report()
    for at in range(len(valid)):
        bent = bytearray(valid)
        bent[at] ^= 0x01
        with pytest.raises(AttestationError):
            VERIFIER.verify(bytes(bent), WHOLE, now=sim.NOW)
