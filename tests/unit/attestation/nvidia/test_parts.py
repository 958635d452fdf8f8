"""The small parsers, one by one, behind no other check."""

from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestation import x509
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUntrustedError,
)
from attestation.nvidia import certificates, fwid, opaque, roots, spdm
from attestation.nvidia.opaque import FieldId
from attestation.nvidia_gpu import firmware
from tests.harness.tee import nvidia as sim

ROOT = sim.Cert(
    common="r", role="device-root", issuer="r", issuer_role="device-root", serial=1, ca=False
)


def _tlv(number: int, value: bytes) -> bytes:
    return number.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value


def _loaded(cert: sim.Cert) -> x509.Certificate:
    (found,) = certificates.split(sim.pem([cert]), code="t")
    return found


@pytest.mark.parametrize("root", [roots.DEVICE_ROOT, roots.RIM_ROOT])
def test_pins_are_the_keys_their_fingerprints_say(root: roots.Root) -> None:
    """The pinned point is on P-384 and hashes to the published fingerprint."""
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), root.point)
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert sha256(spki).hexdigest() == root.spki_sha256


@pytest.mark.parametrize(
    "raw",
    [
        b"\x03",
        b"\x03\0\x05\0abc",
        _tlv(255, b""),
        _tlv(99, b"") * 2,
        _tlv(FieldId.DRIVER_VERSION, b"580\x07"),
        _tlv(FieldId.DRIVER_VERSION, b"580 1"),
        _tlv(FieldId.DRIVER_VERSION, b"5\0008"),
        _tlv(FieldId.DRIVER_VERSION, b"1" * 65),
        _tlv(FieldId.MSRSCNT, bytes(255)),
        _tlv(FieldId.NVDEC0_STATUS, b""),
        _tlv(FieldId.FEATURE_FLAG, bytes(3)),
        _tlv(FieldId.SWITCH_PDI, bytes(16)),
        _tlv(FieldId.SWITCH_GPU_PDIS, bytes(127)),
    ],
)
def test_opaque_data_outside_the_table_is_malformed(raw: bytes) -> None:
    """Cut short, repeated, or of a size or spelling that no device sends."""
    with pytest.raises(EvidenceMalformedError):
        opaque.decode(raw)


def test_opaque_fields_are_described_by_name() -> None:
    """Text, numbers, counters, and the rest in hex."""
    raw = b"".join(
        [
            _tlv(FieldId.DRIVER_VERSION, b"590.12\0"),
            _tlv(FieldId.FEATURE_FLAG, b"\2\0"),
            _tlv(FieldId.MSRSCNT, b"\1\0\0\0\2\0\0\0"),
            _tlv(FieldId.CPRINFO, b"\0\xc0\1\0"),
            _tlv(77, b"\xff"),
        ]
    )
    assert opaque.describe(opaque.decode(raw)) == {
        "driver_version": "590.12",
        "feature_flag": 2,
        "msrscnt": [1, 2],
        "cprinfo": "00c00100",
        "unknown_fields": {"77": "ff"},
    }


def test_fields_that_no_verdict_reads_may_have_any_size() -> None:
    """Early switch firmware lists its GPUs in field 4: shown in hex, and no reason to refuse."""
    raw = _tlv(FieldId.GPU_INFO, bytes(128)) + _tlv(FieldId.CPRINFO, b"\1")
    assert opaque.describe(opaque.decode(raw)) == {"gpu_info": "00" * 128, "cprinfo": "01"}


def test_the_longest_text_is_allowed() -> None:
    """64 bytes, padding included."""
    fields = opaque.decode(_tlv(FieldId.CHIP_INFO, b"GB202".ljust(64, b"\0")))
    assert opaque.text(fields, FieldId.CHIP_INFO) == "GB202"


def test_driver_numbers_compare_like_versions() -> None:
    """Two or three dotted numbers become one; anything else becomes none."""
    assert firmware.driver_number("590.12") == 590_012_000
    assert firmware.driver_number("580.159.03") == 580_159_003
    assert firmware.driver_number("580") is None
    assert firmware.driver_number("580.1234.1") is None


GOOD_FWID = sim.fwid_sequence()
SHA256_OID = bytes.fromhex("0609608648016503040201")
NOT_FWID = {
    "empty": b"",
    "not a sequence": b"\x02\x01\x01",
    "trailing": sim.composite_device_id() + b"\0",
    "version 2": sim.composite_device_id(version=2),
    "no FWID": sim.composite_device_id(b""),
    "FWID is a number": sim.composite_device_id(b"\x02\x01\x01"),
    "SHA-256": sim.composite_device_id(sim.fwid_sequence(algorithm=SHA256_OID)),
    "short digest": sim.composite_device_id(sim.fwid_sequence(bytes(47))),
    "digest alone": sim.composite_device_id(sim.der_element(0x30, GOOD_FWID[13:])),
}
NOT_TCB_INFO = {
    "empty": b"",
    "no fwids": sim.der_element(0x30, sim.der_element(0x80, b"NVIDIA")),
    "empty fwids": sim.der_element(0x30, sim.der_element(0xA6, b"")),
    "fwids primitive": sim.der_element(0x30, sim.der_element(0x86, GOOD_FWID)),
    "fwids twice": sim.der_element(0x30, sim.der_element(0xA6, GOOD_FWID) * 2),
    "unordered": sim.der_element(
        0x30, sim.der_element(0xA6, GOOD_FWID) + sim.der_element(0x80, b"NVIDIA")
    ),
    "unknown tag": sim.der_element(
        0x30, sim.der_element(0xA6, GOOD_FWID) + sim.der_element(0x8F, b"")
    ),
    "FWID is a set": sim.dice_tcb_info(b"\x31" + GOOD_FWID[1:]),
    "second is no FWID": sim.dice_tcb_info(GOOD_FWID, b"\x02\x01\x01"),
    "second of SHA-256": sim.dice_tcb_info(GOOD_FWID, sim.fwid_sequence(algorithm=SHA256_OID)),
}


def _leaf(*extensions: tuple[str, bytes]) -> x509.Certificate:
    listed = tuple((*each, False) for each in extensions)
    return _loaded(sim.Cert(**{**vars(ROOT), "extensions": listed}))


@pytest.mark.parametrize("case", NOT_FWID)
def test_other_composite_device_ids_are_refused(case: str) -> None:
    """Hopper's extension is read by structure, not by taking its last 48 bytes."""
    with pytest.raises(EvidenceMalformedError):
        fwid.read(_leaf((fwid.COMPOSITE_DEVICE_ID, NOT_FWID[case])))


@pytest.mark.parametrize("case", NOT_TCB_INFO)
def test_other_tcb_infos_are_refused(case: str) -> None:
    """Blackwell's extension likewise; every listed firmware id must parse."""
    with pytest.raises(EvidenceMalformedError):
        fwid.read(_leaf((fwid.DICE_TCB_INFO, NOT_TCB_INFO[case])))


def test_firmware_ids_are_read_from_both_extensions() -> None:
    """One digest each; of Blackwell's list the first."""
    assert fwid.read(_leaf((fwid.COMPOSITE_DEVICE_ID, sim.composite_device_id()))) == sim.FWID
    assert fwid.read(_leaf((fwid.DICE_TCB_INFO, sim.dice_tcb_info()))) == sim.FWID


def test_two_firmware_ids_in_one_leaf_are_refused() -> None:
    """Which of them the device meant cannot be known."""
    both = _leaf(
        (fwid.COMPOSITE_DEVICE_ID, sim.composite_device_id()),
        (fwid.DICE_TCB_INFO, sim.dice_tcb_info()),
    )
    with pytest.raises(EvidenceUntrustedError, match=r"nvidia\.fwid\.missing"):
        fwid.read(both)


def test_certificates_come_in_three_forms() -> None:
    """PEM, base64 of PEM, concatenated DER: the same certificates in the same order."""
    certs = sim.gpu().certs
    bundle = sim.pem(certs)
    plain = [each.der for each in certificates.split(bundle, code="t")]
    assert len(plain) == 5
    for form in (b64encode(bundle), b"".join(plain)):
        assert [each.der for each in certificates.split(form, code="t")] == plain


def test_keys_of_another_curve_are_refused() -> None:
    """Only P-384 signs anything here."""
    with pytest.raises(EvidenceUntrustedError, match="P-384"):
        certificates.point(_loaded(sim.Cert(**{**vars(ROOT), "public": _p256()})))


def test_keys_that_are_no_curve_points_are_refused() -> None:
    """An RSA certificate parses, and signs nothing here."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(EvidenceUntrustedError, match="P-384"):
        certificates.point(_loaded(sim.Cert(**{**vars(ROOT), "public": key})))


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_serial_numbers_below_one_are_refused() -> None:
    """A UEID is a positive number."""
    certificate = _loaded(ROOT)
    serial_one = bytes.fromhex("a003020102020101")
    assert serial_one in certificate.der
    bent = certificate.der.replace(serial_one, serial_one[:-1] + b"\0")
    (zero,) = certificates.split(bent, code="t")
    with pytest.raises(EvidenceUntrustedError, match="serial number"):
        certificates.check_profile(zero)


def test_measurements_of_another_specification_are_refused() -> None:
    """Block index, specification and sizes are all checked, in every block."""
    raw = sim.gpu().report()
    for at in (45, 46, 47, 50, 45 + 55 * 63):
        bent = bytearray(raw)
        bent[at] ^= 0x02
        with pytest.raises(EvidenceMalformedError):
            spdm.decode(bytes(bent))


def test_blocks_must_fill_the_record() -> None:
    """A record longer than its blocks is refused, not skipped over."""
    raw = sim.gpu().report()
    shorter = raw[:41] + b"\x3f" + raw[42:]
    with pytest.raises(EvidenceMalformedError, match=r"nvidia\.report\.block"):
        spdm.decode(shorter)


def test_a_bent_certificate_is_refused() -> None:
    """Every byte below the root counts: flipped, it breaks parsing or a signature."""
    certs = sim.gpu().certs
    chain = [each.der for each in certificates.split(sim.pem(certs), code="t")]
    for at in range(0, len(chain[0]), 3):
        bent = bytearray(chain[0])
        bent[at] ^= 0x10
        with pytest.raises(AttestationError):
            certificates.verify_path(
                certificates.split(bytes(bent) + b"".join(chain[1:]), code="t"),
                (sim.device_root(),),
                length=5,
                code="t",
            )
