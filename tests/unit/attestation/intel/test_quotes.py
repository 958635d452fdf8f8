"""TDX and SGX quotes of a simulated platform: one lie at a time, each refused by name."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attestation.claims import Claims
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
)
from attestation.evidence import Collateral, Role
from attestation.intel_sgx.verifier import IntelSgxVerifier
from attestation.intel_tdx.verifier import IntelTdxVerifier
from attestation.judge import builtin_findings
from tests.harness.tee import intel
from tests.harness.tee.intel import DAY, ENCLAVE, NOW, TD, IntelWorld, qe_identity, tcb_info

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def verify(world: IntelWorld, collateral: Collateral | None = None, *, now: int = NOW) -> Claims:
    """Verify a world's quote under that world's root."""
    verifier = IntelTdxVerifier if world.is_td else IntelSgxVerifier
    given = world.collateral() if collateral is None else collateral
    return verifier(TD.anchors()).verify(world.quote(), given, now=now)


def codes(claims: Claims) -> list[str]:
    """Return every code that speaks against claims without a policy."""
    return [finding.code for finding in (*builtin_findings(claims), *claims.unchecked)]


def flip(at: int) -> Callable[[bytes], bytes]:
    """Return a function that flips one bit of one byte."""
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def put(at: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return a function that overwrites bytes."""
    return lambda raw: raw[:at] + value + raw[at + len(value) :]


def negate_s(signature: bytes) -> bytes:
    """Return r ‖ n - s, which is as valid a signature."""
    s = ORDER - int.from_bytes(signature[32:])
    return signature[:32] + s.to_bytes(32)


def swap(parts: Sequence[bytes]) -> bytes:
    """Return leaf and CA the wrong way round."""
    return parts[1] + parts[0] + parts[2]


class Case(NamedTuple):
    """A lie, and the code it is refused with."""

    world: IntelWorld
    code: str
    error: type[AttestationError] | None = None
    """None: authentic, but the code is among the findings."""


UNTRUSTED, MALFORMED = EvidenceUntrustedError, EvidenceMalformedError
OTHER_ROOT = intel.ROOT.__class__(
    subject="Intel SGX Root CA",
    issuer="Intel SGX Root CA",
    signer="lookalike",
    role="lookalike",
    ca=True,
)
LOOKALIKE = TD.but(
    root=OTHER_ROOT,
    ca=intel.Cert(
        subject="Intel SGX PCK Platform CA",
        issuer="Intel SGX Root CA",
        signer="lookalike",
        role="ca",
        ca=True,
    ),
)


def leaf(**changes: object) -> intel.Cert:
    """Return the PCK certificate with some fields different."""
    return intel.replace(intel.LEAF, **changes)  # type: ignore[arg-type]


def ca(**changes: object) -> intel.Cert:
    """Return the PCK CA with some fields different."""
    return intel.replace(intel.CA, **changes)  # type: ignore[arg-type]


QUOTE_LIES = {
    "version 6": Case(TD.but(version=6), "quote.version", MALFORMED),
    "version 2": Case(TD.but(header={"version": b"\2\0"}), "quote.version", MALFORMED),
    "attestation key of another type": Case(
        TD.but(header={"att_key_type": b"\3\0"}), "quote.key-type", MALFORMED
    ),
    "quoting enclave of another vendor": Case(
        TD.but(header={"qe_vendor_id": bytes(16)}), "quote.vendor", MALFORMED
    ),
    "reserved header bytes": Case(
        TD.but(header={"svns": b"\1\0\0\0"}), "quote.reserved", MALFORMED
    ),
    "an enclave's quote as a TD's": Case(
        TD.but(header={"tee_type": bytes(4)}), "quote.tee-type", MALFORMED
    ),
    "a TD's quote of version 3": Case(TD.but(version=3), "quote.tee-type", MALFORMED),
    "a body bit": Case(TD.but(bend_signed=flip(600)), "quote.signature", UNTRUSTED),
    "a header bit": Case(TD.but(bend_signed=flip(30)), "quote.signature", UNTRUSTED),
    "a signature bit": Case(TD.but(bend_signature=flip(5)), "quote.signature", UNTRUSTED),
    "r and s swapped": Case(
        TD.but(bend_signature=lambda raw: raw[32:] + raw[:32]), "quote.signature", UNTRUSTED
    ),
    "r and s little-endian": Case(
        TD.but(bend_signature=lambda raw: raw[31::-1] + raw[:31:-1]), "quote.signature", UNTRUSTED
    ),
    "r of zero": Case(TD.but(bend_signature=put(0, bytes(32))), "quote.signature", UNTRUSTED),
    "s out of range": Case(
        TD.but(bend_signature=put(32, b"\xff" * 32)), "quote.signature", UNTRUSTED
    ),
    "attestation key off the curve": Case(
        TD.but(bend_quote=put(632 + 4 + 64, b"\1" * 64)), "quote.key", UNTRUSTED
    ),
    "QE report of another key": Case(
        TD.but(qe={"report_data": bytes(64)}), "quote.qe-binding", UNTRUSTED
    ),
    "QE report with a tail in its report data": Case(
        TD.but(bend_qe_report=flip(383)), "quote.qe-binding", UNTRUSTED
    ),
    "QE report bent": Case(TD.but(bend_qe_report=flip(0)), "quote.qe-signature", UNTRUSTED),
    "QE report signature bent": Case(
        TD.but(bend_qe_signature=flip(0)), "quote.qe-signature", UNTRUSTED
    ),
    "one zero byte too few": Case(
        TD.but(bend_quote=lambda raw: raw[:-1]), "quote.truncated", MALFORMED
    ),
    "a byte behind the quote": Case(
        TD.but(bend_quote=lambda raw: raw + b"\0\1"), "quote.trailing", MALFORMED
    ),
    "signature data longer than its parts": Case(
        TD.but(
            bend_quote=lambda raw: (
                (raw[:632] + (int.from_bytes(raw[632:636], "little") + 1).to_bytes(4, "little"))
                + raw[636:]
                + b"\0"
            )
        ),
        "quote.trailing",
        MALFORMED,
    ),
    "outer certification data of type 5": Case(
        TD.but(bend_quote=put(632 + 4 + 128, b"\5\0")), "quote.cert-type", MALFORMED
    ),
    "a quote of 65 KiB": Case(
        TD.but(bend_quote=lambda raw: raw + bytes(65 << 10)), "quote.size", MALFORMED
    ),
    "v5 body type of an enclave": Case(
        TD.but(version=5, bend_quote=put(48, b"\1\0")), "quote.body-type", MALFORMED
    ),
    "v5 body size of another type": Case(
        TD.but(version=5, bend_quote=put(50, (648).to_bytes(4, "little"))),
        "quote.body-size",
        MALFORMED,
    ),
}

CHAIN_LIES = {
    "a root with the right name and another key": Case(LOOKALIKE, "pck.chain", UNTRUSTED),
    "leaf and CA swapped": Case(TD.but(chain=swap), "pck.names", UNTRUSTED),
    "CA left out": Case(TD.but(chain=lambda parts: parts[0] + parts[2]), "pck.chain", UNTRUSTED),
    "an unrelated certificate added": Case(
        TD.but(chain=lambda parts: b"".join(parts) + intel.SIGNER.pem()), "pck.order", UNTRUSTED
    ),
    "CA and root swapped": Case(
        TD.but(chain=lambda parts: parts[0] + parts[2] + parts[1]), "pck.order", UNTRUSTED
    ),
    "an unrelated certificate in the root's place": Case(
        TD.but(chain=lambda parts: parts[0] + parts[1] + intel.SIGNER.pem()),
        "pck.order",
        UNTRUSTED,
    ),
    "leaf expired": Case(TD.but(leaf=leaf(end=NOW - 1)), "pck.validity", UNTRUSTED),
    "leaf not yet valid": Case(TD.but(leaf=leaf(begin=NOW + 1)), "pck.validity", UNTRUSTED),
    "CA expired": Case(TD.but(ca=ca(end=NOW - 1)), "pck.validity", UNTRUSTED),
    "CA is none": Case(TD.but(ca=ca(ca=False, path_length=None)), "pck.ca", UNTRUSTED),
    "leaf of another name": Case(TD.but(leaf=leaf(subject="Intel")), "pck.names", UNTRUSTED),
    "CA of another name": Case(
        TD.but(ca=ca(subject="Intel CA"), leaf=leaf(issuer="Intel CA")), "pck.names", UNTRUSTED
    ),
    "leaf signed by itself": Case(TD.but(leaf=leaf(signer="pck")), "pck.chain", UNTRUSTED),
    "leaf with a P-384 key": Case(TD.but(leaf=leaf(curve=ec.SECP384R1())), "pck.key", UNTRUSTED),
    "leaf without Intel's extension": Case(
        TD.but(leaf=leaf(extension=None)), "pck.extension", MALFORMED
    ),
    "no certificate at all": Case(TD.but(chain=lambda _: b"\0"), "pck.der", MALFORMED),
    "text between certificates": Case(TD.but(chain=b"\nhello\n".join), "pck.pem", MALFORMED),
}

REFUSALS = {
    "debug": Case(TD.but(body={"td_attributes": b"\1\0\0\x10" + bytes(4)}), "debug"),
    "profiling": Case(TD.but(body={"td_attributes": b"\x20\0\0\x10" + bytes(4)}), "debug"),
    "#VE on private memory": Case(TD.but(body={"td_attributes": bytes(8)}), "sept-ve-disable"),
    "migratable": Case(TD.but(body={"td_attributes": b"\0\0\0\x30" + bytes(4)}), "migratable"),
    "performance counters": Case(
        TD.but(body={"td_attributes": b"\0\0\0\x10\0\0\0\x80"}), "perfmon"
    ),
    "reserved attributes": Case(
        TD.but(body={"td_attributes": b"\0\1\0\x10" + bytes(4)}), "td-attributes"
    ),
    "XFAM without SSE": Case(TD.but(body={"xfam": b"\1" + bytes(7)}), "xfam"),
    "XFAM with more than exists": Case(TD.but(body={"xfam": b"\3" + bytes(6) + b"\x80"}), "xfam"),
    "module of another signer": Case(
        TD.but(body={"mr_signer_seam": b"\1" + bytes(47)}), "module-signer"
    ),
    "module with attributes": Case(
        TD.but(body={"seam_attributes": b"\1" + bytes(7)}), "module-debug"
    ),
    "a service TD": Case(
        TD.but(version=5, td15=True, body={"mr_service_td": b"\1" * 48}), "service-td"
    ),
    "enclave in debug": Case(ENCLAVE.but(body={"attributes": b"\7" + bytes(15)}), "debug"),
    "enclave not initialised": Case(
        ENCLAVE.but(body={"attributes": b"\4" + bytes(15)}), "not-initialised"
    ),
    "PCK certificate revoked": Case(TD.but(pck_crl={"revoked": [3]}), "pck.revoked"),
    "PCK CA revoked": Case(TD.but(root_crl={"revoked": [2]}), "pck-ca.revoked"),
    "TCB signing certificate revoked": Case(
        TD.but(root_crl={"revoked": [4]}), "tcb-signing.revoked"
    ),
    "components below every level": Case(
        TD.but(leaf=leaf(extension=intel.sgx_extension(components=[0] * 16))), "tcb.no-level"
    ),
    "PCESVN below every level": Case(
        TD.but(leaf=leaf(extension=intel.sgx_extension(pce_svn=4))), "tcb.no-level"
    ),
    "TDX components below every level": Case(
        TD.but(body={"tee_tcb_svn": bytes.fromhex("0601" + "00" * 14)}), "tcb.no-level"
    ),
    "module version Intel does not know": Case(
        TD.but(body={"tee_tcb_svn": bytes.fromhex("060203" + "00" * 13)}), "module.unknown"
    ),
    "module below every level": Case(
        TD.but(body={"tee_tcb_svn": bytes.fromhex("030103" + "00" * 13)}), "module.no-level"
    ),
    "quoting enclave below every level": Case(TD.but(qe={"isv_svn": b"\1\0"}), "qe.no-level"),
    "platform out of date": Case(
        TD.but(leaf=leaf(extension=intel.sgx_extension(pce_svn=6))), "tcb.status"
    ),
    "module out of date": Case(
        TD.but(body={"tee_tcb_svn": bytes.fromhex("050103" + "00" * 13)}), "tcb.status"
    ),
    "quoting enclave out of date": Case(TD.but(qe={"isv_svn": b"\2\0"}), "tcb.status"),
    "revoked TCB": Case(
        TD.but(tcb_info=tcb_info(tcbLevels=[intel.platform_level("Revoked", (1,), (1, 0, 1), 5)])),
        "tcb.revoked",
    ),
}

COLLATERAL_LIES = {
    "TCB info for SGX": Case(TD.but(tcb_info=tcb_info("SGX")), "tcb-info.platform"),
    "TCB info of another platform": Case(
        TD.but(tcb_info=tcb_info(fmspc="00806f050000")), "tcb-info.platform"
    ),
    "TCB info of another PCE": Case(TD.but(tcb_info=tcb_info(pceId="0001")), "tcb-info.platform"),
    "TCB info not yet issued": Case(
        TD.but(tcb_info=tcb_info(issueDate=intel.utc(NOW + 1))), "tcb-info.window"
    ),
    "TCB info past its next update": Case(
        TD.but(tcb_info=tcb_info(nextUpdate=intel.utc(NOW - 1))), "tcb-info.window"
    ),
    "TCB info signed by the PCK key": Case(
        TD.but(tcb_signer_role="pck"), "tcb-info.signature", UNTRUSTED
    ),
    "QE identity past its next update": Case(
        TD.but(qe_identity=qe_identity(nextUpdate=intel.utc(NOW - 1))), "qe-identity.window"
    ),
    "QE identity of SGX": Case(TD.but(qe_identity=qe_identity("QE")), "qe-identity.other"),
    "QE of another signer": Case(TD.but(qe={"mr_signer": bytes(32)}), "qe.identity", UNTRUSTED),
    "QE of another product": Case(TD.but(qe={"isv_prod_id": b"\1\0"}), "qe.identity", UNTRUSTED),
    "QE in debug": Case(TD.but(qe={"attributes": b"\x17" + bytes(15)}), "qe.identity", UNTRUSTED),
    "QE with MISCSELECT": Case(TD.but(qe={"misc_select": b"\1\0\0\0"}), "qe.identity", UNTRUSTED),
    "PCK CRL of the other CA": Case(
        TD.but(pck_crl={"issuer": "Intel SGX PCK Processor CA"}), "revocation.pck-crl"
    ),
    "PCK CRL by another key": Case(
        TD.but(pck_crl={"signer": "root"}), "revocation.pck-crl.signature", UNTRUSTED
    ),
    "root CRL by another key": Case(
        TD.but(root_crl={"signer": "ca"}), "revocation.root-crl.signature", UNTRUSTED
    ),
    "PCK CRL past its next update": Case(
        TD.but(pck_crl={"end": NOW - 1}), "revocation.pck-crl.window"
    ),
    "root CRL from the future": Case(
        TD.but(root_crl={"begin": NOW + 1}), "revocation.root-crl.window"
    ),
    "CA that may not sign CRLs": Case(
        TD.but(ca=ca(crl_sign=False)), "revocation.pck-crl.issuer", UNTRUSTED
    ),
    "partial CRL": Case(TD.but(pck_crl={"critical": True}), "crl.parse", MALFORMED),
    "TCB signing certificate expired": Case(
        TD.but(signer=intel.replace(intel.SIGNER, end=NOW - 1)), "tcb-info.signer-window"
    ),
    "TCB signing certificate by itself": Case(
        TD.but(signer=intel.replace(intel.SIGNER, signer="tcb")), "tcb-info.signer.chain", UNTRUSTED
    ),
    "TCB signing certificate of another name": Case(
        TD.but(signer=intel.replace(intel.SIGNER, subject="Intel")), "tcb-info.signer"
    ),
    "module identity of another signer": Case(
        TD.but(
            tcb_info=tcb_info(
                tdxModuleIdentities=[
                    {
                        "id": "TDX_01",
                        "mrsigner": "11" * 48,
                        "attributes": "00" * 8,
                        "attributesMask": "FF" * 8,
                        "tcbLevels": [],
                    }
                ]
            )
        ),
        "module.identity",
    ),
}

_ALSO_OF_ENCLAVES = (
    "quoting enclave of another vendor",
    "r of zero",
    "s out of range",
    "r and s swapped",
    "QE report of another key",
    "QE report bent",
    "QE report signature bent",
    "a byte behind the quote",
    "one zero byte too few",
    "PCK certificate revoked",
    "PCK CA revoked",
    "quoting enclave below every level",
    "components below every level",
    "QE of another signer",
    "PCK CRL of the other CA",
    "PCK CRL by another key",
    "root CRL from the future",
    "TCB info signed by the PCK key",
    "TCB signing certificate expired",
)
_SHARED = {**QUOTE_LIES, **CHAIN_LIES, **REFUSALS, **COLLATERAL_LIES}
ENCLAVE_LIES = {
    f"enclave: {name}": _SHARED[name]._replace(
        world=_SHARED[name].world.but(version=3, tee=intel.SGX)
    )
    for name in (*CHAIN_LIES, *_ALSO_OF_ENCLAVES)
} | {
    "enclave: TCB info for TDX": Case(ENCLAVE.but(tcb_info=tcb_info()), "tcb-info.platform"),
    "enclave: QE identity of TDX": Case(
        ENCLAVE.but(qe_identity=qe_identity()), "qe-identity.other"
    ),
    "enclave: a TD's quote": Case(
        ENCLAVE.but(header={"tee_type": b"\x81\0\0\0"}), "quote.tee-type", MALFORMED
    ),
}

LIES = {**ENCLAVE_LIES, **QUOTE_LIES, **CHAIN_LIES, **REFUSALS, **COLLATERAL_LIES}


@pytest.mark.parametrize("name", LIES)
def test_one_lie_is_refused_by_name(name: str) -> None:
    """Each lie is refused with its own code, and only hardware's own faults stay authentic."""
    case = LIES[name]
    kind = "intel-tdx" if case.world.is_td else "intel-sgx"
    if case.error is None:
        assert f"{kind}.{case.code}" in codes(verify(case.world))
        return
    with pytest.raises(case.error) as caught:
        verify(case.world)
    assert [finding.code for finding in caught.value.findings] == [f"{kind}.{case.code}"]


@pytest.mark.parametrize(
    "world",
    [
        TD,
        TD.but(version=5),
        TD.but(version=5, td15=True),
        TD.but(bend_signature=negate_s),
        TD.but(bend_quote=lambda raw: raw + bytes(70)),
        TD.but(chain=lambda parts: b"".join(parts) + b"\0"),
        TD.but(chain=lambda parts: parts[0] + parts[1]),
        TD.but(body={"tee_tcb_svn": bytes.fromhex("050003" + "00" * 13)}),
        TD.but(leaf=leaf(extension=intel.sgx_extension(instance=None))),
        ENCLAVE,
        ENCLAVE.but(header={"svns": b"\x0a\0\x0d\0"}),
        ENCLAVE.but(version=4),
        ENCLAVE.but(version=5),
    ],
    ids=lambda world: f"v{world.version}-{world.tee:#x}",
)
def test_honest_platforms_are_accepted(world: IntelWorld) -> None:
    """Every version, with what real platforms append, is authentic and up to date."""
    claims = verify(world)
    assert codes(claims) == []
    assert claims.status.tcb == "UpToDate"
    assert claims.report_data == bytes(range(64))
    assert claims.hardware_id == bytes(range(16)).hex()
    assert claims.valid_until == NOW + 29 * DAY
    assert claims.details["tcb_evaluation_number"] == 17


def test_concatenated_der_is_a_chain_too() -> None:
    """Certification data of concatenated DER, zero-padded, reads like PEM."""

    def der(parts: Sequence[bytes]) -> bytes:
        """Return the chain as DER, padded."""
        del parts
        certs = (intel.LEAF, intel.CA, intel.ROOT)
        ders = [cert.make().public_bytes(intel.Encoding.DER) for cert in certs]
        return b"".join(ders) + bytes(3)

    assert codes(verify(TD.but(chain=der))) == []


def test_without_collateral_the_quote_is_authentic_and_undecided() -> None:
    """What is missing is listed, and revocation by name; nothing is accepted."""
    assert codes(verify(TD, Collateral())) == [
        "intel-tdx.revocation.root-crl",
        "intel-tdx.revocation.pck-crl",
        "intel-tdx.tcb-info.missing",
        "intel-tdx.qe-identity.missing",
    ]


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ("root_ca_crl", "intel-tdx.revocation.root-crl"),
        ("pck_crl", "intel-tdx.revocation.pck-crl"),
        ("tcb_info", "intel-tdx.tcb-info.missing"),
        ("qe_identity", "intel-tdx.qe-identity.missing"),
    ],
)
def test_one_missing_member_leaves_it_undecided(member: str, code: str) -> None:
    """A document that lacks one member decides nothing it would need that member for."""
    assert codes(verify(TD, TD.collateral(**{member: None}))) == [code]
    document = {**json.loads(TD.dcap()), member: None}
    null = Collateral(((Role.DCAP, json.dumps(document).encode()),))
    assert codes(verify(TD, null)) == [code]


def test_the_bodies_of_intels_service_work_like_one_document() -> None:
    """Role by role, as PCS and PCCS deliver: signed JSON, CRLs as DER and hex, a PEM chain."""
    document = json.loads(TD.dcap())
    tcb = f'{{"tcbInfo":{document["tcb_info"]},"signature":"{document["tcb_info_signature"]}"}}'
    qe = (
        f'{{ "enclaveIdentity" : {document["qe_identity"]} ,\n'
        f'"signature":"{document["qe_identity_signature"]}"}}'
    )
    collateral = Collateral(
        (
            (Role.TCB_INFO, tcb.encode()),
            (Role.QE_IDENTITY, qe.encode()),
            (Role.ROOT_CRL, document["root_ca_crl"].encode()),
            (Role.PCK_CRL, bytes.fromhex(document["pck_crl"])),
            (Role.CERT_CHAIN, document["tcb_info_issuer_chain"].encode()),
        )
    )
    assert codes(verify(TD, collateral)) == []


def test_one_document_may_hold_what_libraries_make_of_it() -> None:
    """CRLs and signatures as lists of bytes; bodies of the service with the signature inside."""
    document = json.loads(TD.dcap())
    names = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
    listed = {**document, **{name: list(bytes.fromhex(document[name])) for name in names}}
    bodies = {
        **document,
        "tcb_info": f'{{"tcbInfo":{document["tcb_info"]},'
        f'"signature":"{document["tcb_info_signature"]}"}}\0',
        "qe_identity": f'{{"enclaveIdentity":{document["qe_identity"]},'
        f'"signature":"{document["qe_identity_signature"]}"}}',
        "tcb_info_signature": None,
        "qe_identity_signature": None,
    }
    for form in (listed, bodies):
        collateral = Collateral(((Role.DCAP, json.dumps(form).encode()),))
        assert codes(verify(TD, collateral)) == []


def runtime_log(*names: str) -> tuple[bytes, bytes]:
    """Return a log of events in RTMR3, as dstack writes it, and the register it leads to."""
    register, events = bytes(48), []
    for name in names:
        kind = (0x08000001).to_bytes(4, "little")
        digest = hashlib.sha384(kind + b":" + name.encode() + b":" + b"\1").digest()
        register = hashlib.sha384(register + digest).digest()
        events.append(
            {
                "imr": 3,
                "event_type": 0x08000001,
                "digest": digest.hex(),
                "event": name,
                "event_payload": "01",
            }
        )
    return json.dumps(events).encode(), register


def test_an_event_log_is_believed_only_if_it_replays() -> None:
    """Events of a log that leads to the quoted register are claims; of any other, untrusted."""
    log, register = runtime_log("app-id", "compose-hash")
    world = TD.but(body={"rtmr3": register})
    with_log = Collateral((*TD.collateral().items, (Role.EVENT_LOG, log)))
    claims = verify(world, with_log)
    assert codes(claims) == []
    events = claims.details["events"]
    assert isinstance(events, list)
    assert [each["name"] for each in events] == ["app-id", "compose-hash"]
    shorter = Collateral((*TD.collateral().items, (Role.EVENT_LOG, runtime_log("app-id")[0])))
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(world, shorter)
    assert caught.value.findings[0].code == "intel-tdx.event-log"


def test_a_quote_without_certificates_takes_its_chain_from_collateral() -> None:
    """Certification data that only names the platform needs one delivered PCK chain."""
    bare = TD.but(cert_type=3, chain=lambda _: bytes(404))
    with pytest.raises(EvidenceUnverifiedError) as caught:
        verify(bare)
    assert caught.value.findings[0].code == "intel-tdx.pck.missing"
    chain = (intel.LEAF.pem() + intel.CA.pem()).decode()
    assert codes(verify(bare, TD.collateral(pck_certificate_chain=chain))) == []


def test_other_peoples_collateral_is_refused_as_such() -> None:
    """A role that Intel's verifiers have no use for is not silently ignored."""
    with pytest.raises(EvidenceMalformedError) as caught:
        verify(TD, Collateral(((Role.ARK, b""),)))
    assert caught.value.findings[0].code == "intel-tdx.collateral.role"


def test_the_newest_of_several_documents_counts() -> None:
    """Older TCB info beside newer cannot bring back an old verdict."""
    old = TD.but(tcb_info=tcb_info(issueDate=intel.utc(NOW - 2 * DAY), tcbEvaluationDataNumber=16))
    both = Collateral((*old.collateral().items, *TD.collateral().items))
    assert verify(TD, both).ratchets["intel/tcb-info/TDX/90c06f000000"] == 18


@pytest.mark.parametrize("member", ["tcb_info", "qe_identity"])
def test_a_status_needs_platform_and_quoting_enclave(member: str) -> None:
    """Half a status is none."""
    status = verify(TD, TD.collateral(**{member: None})).status
    assert status.tcb is None
    assert "UpToDate" in (status.platform, status.qe)


LOW_MODULE = bytes.fromhex("040103" + "00" * 13)


def test_a_td_preserving_update_is_judged_at_launch_and_now() -> None:
    """The worse of both modules counts, and a relaunch is advised when only the old one is."""
    old, new = (bytes.fromhex(f"{svn:02x}0103" + "00" * 13) for svn in (5, 6))
    updated = TD.but(version=5, td15=True, body={"tee_tcb_svn": old, "tee_tcb_svn_2": new})
    claims = verify(updated)
    assert claims.status.module == "OutOfDate"
    assert claims.details["relaunch_advised"] is True
    newer = bytes.fromhex("070103" + "00" * 13)
    both_fine = verify(updated.but(body={"tee_tcb_svn": new, "tee_tcb_svn_2": newer}))
    assert both_fine.details["relaunch_advised"] is False
    both_old = verify(updated.but(body={"tee_tcb_svn": old, "tee_tcb_svn_2": LOW_MODULE}))
    assert both_old.details["relaunch_advised"] is False
    unknown = bytes.fromhex("060903" + "00" * 13)
    lost = verify(updated.but(body={"tee_tcb_svn": unknown, "tee_tcb_svn_2": new}))
    assert "intel-tdx.module.unknown" in codes(lost)
    assert lost.details["relaunch_advised"] is False
    downdated = updated.but(body={"tee_tcb_svn": new, "tee_tcb_svn_2": unknown})
    assert "intel-tdx.module.unknown" in codes(verify(downdated))


def test_statuses_merge_to_the_worst() -> None:
    """Platform, module and quoting enclave each have a word; the verdict is the worst."""
    world = TD.but(
        qe={"isv_svn": b"\2\0"},
        tcb_info=tcb_info(
            tcbLevels=[
                intel.platform_level("SWHardeningNeeded", (3,), (5, 0, 3), 13, "INTEL-SA-00615")
            ]
        ),
    )
    claims = verify(world)
    status = claims.status
    assert (status.platform, status.module, status.qe) == (
        "SWHardeningNeeded",
        "UpToDate",
        "OutOfDate",
    )
    assert status.tcb == "OutOfDate"
    assert claims.details["advisory_ids"] == ("INTEL-SA-00001", "INTEL-SA-00615")


MALFORMED_DOCUMENTS = {
    "TCB info that is no JSON": ({"tcb_info": "{"}, "tcb-info.json"),
    "a key twice": ({"tcb_info": '{"id":"TDX","id":"SGX"}'}, "tcb-info.duplicate-key"),
    "an unknown status": (
        {"tcb_info": json.dumps(tcb_info(tcbLevels=[intel.platform_level("Fine", (), (), 1)]))},
        "tcb-info.status",
    ),
    "version 2": ({"tcb_info": json.dumps(tcb_info(version=2))}, "tcb-info.version"),
    "another type": ({"tcb_info": json.dumps(tcb_info(tcbType=1))}, "tcb-info.type"),
    "a component too few": (
        {"tcb_info": json.dumps(tcb_info()).replace('{"svn": 0}, ', "", 1)},
        "tcb-info.field",
    ),
    "QE identity of version 3": (
        {"qe_identity": json.dumps(qe_identity(version=3))},
        "qe-identity.version",
    ),
    "a number where text belongs": ({"pck_crl": 7}, "dcap.field"),
    "a signature too short": ({"tcb_info_signature": "00"}, "dcap.field"),
    "no signature": ({"tcb_info_signature": None}, "dcap.field"),
    "a signature that is a number": ({"tcb_info_signature": 1}, "dcap.text"),
    "a CRL that is none": ({"pck_crl": "00ff"}, "crl.parse"),
    "a time that does not exist": (
        {"tcb_info": json.dumps(tcb_info(issueDate="2025-02-30T00:00:00Z"))},
        "tcb-info.field",
    ),
    "a time of another form": (
        {"tcb_info": json.dumps(tcb_info(issueDate="2025-02-03 00:00:00"))},
        "tcb-info.field",
    ),
    "no levels": ({"tcb_info": json.dumps(tcb_info(tcbLevels=None))}, "tcb-info.field"),
    "advisories that are numbers": (
        {"qe_identity": json.dumps(qe_identity()).replace('["INTEL-SA-00001"]', "[1]")},
        "qe-identity.field",
    ),
    "a module that is a list": (
        {"tcb_info": json.dumps(tcb_info(tdxModule=[]))},
        "tcb-info.field",
    ),
}


@pytest.mark.parametrize("name", MALFORMED_DOCUMENTS)
def test_malformed_collateral_is_refused_by_name(name: str) -> None:
    """Collateral that does not parse is an error of its own, never a missing check."""
    changes, code = MALFORMED_DOCUMENTS[name]
    with pytest.raises(EvidenceMalformedError) as caught:
        verify(TD, TD.collateral(**changes))
    assert caught.value.findings[0].code == f"intel-tdx.{code}"


def with_more(*pairs: bytes) -> bytes:
    """Return an honest extension with more pairs at its end."""
    honest = intel.sgx_extension()
    assert honest[1] == 0x82
    return intel._der(0x30, honest[4:] + b"".join(pairs))


EXTENSIONS = {
    "not DER": b"\x30\x81\x01\0",
    "a member twice": with_more(intel._pair(b"\1", intel._der(0x04, bytes(16)))),
    "an id of another arc": with_more(intel._der(0x30, b"\6\1\x2a\5\0")),
    "a pair of three": with_more(
        intel._der(0x30, intel._der(0x06, intel._ARC + b"\x09") + b"\5\0\5\0")
    ),
    "no pair": with_more(b"\5\0"),
    "a pair in a SET": with_more(intel._der(0x31, intel._pair(b"\x09", b"\5\0")[2:])),
    "a pair without an id": with_more(intel._der(0x30, b"\5\0")),
    "nothing inside": b"\x30\0",
    "a PPID too short": intel.sgx_extension(ppid=b"\0"),
    "an instance id too short": intel.sgx_extension(instance=b"\0"),
    "a negative PCESVN": intel.sgx_extension().replace(b"\2\1\x0d", b"\2\1\xf3"),
    "a PCESVN of three bytes": intel.sgx_extension(pce_svn=0x10000),
}


def test_the_largest_numbers_of_an_extension_pass() -> None:
    """Component SVNs have eight bits and PCESVNs sixteen, all of them usable."""
    largest = intel.sgx_extension(components=[0xFF] * 16, pce_svn=0xFFFF)
    assert codes(verify(TD.but(leaf=leaf(extension=largest)))) == []
    assert codes(verify(TD.but(leaf=leaf(extension=with_more())))) == []


@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_bent_platform_extension_is_malformed(name: str) -> None:
    """Intel's extension has one form; every departure is refused, none is an exception of ours."""
    with pytest.raises(EvidenceMalformedError):
        verify(TD.but(leaf=leaf(extension=EXTENSIONS[name])))


def test_every_bent_byte_of_a_quote_is_refused() -> None:
    """Every byte of a quote counts, up to the padding behind it."""
    raw = TD.quote()
    verifier = IntelTdxVerifier(TD.anchors())
    collateral = TD.collateral()
    harmless = []
    for at in range(0, len(raw), 7):
        bent = raw[:at] + bytes([raw[at] ^ 0x5A]) + raw[at + 1 :]
        try:
            claims = verifier.verify(bent, collateral, now=NOW)
        except AttestationError:
            continue
        if codes(claims) == []:
            harmless.append(at)
    # Only the pinned root's own signature, which pinning makes irrelevant, may be bent.
    root_pem = raw.rindex(b"-----BEGIN CERTIFICATE-----")
    assert all(at > root_pem for at in harmless)
