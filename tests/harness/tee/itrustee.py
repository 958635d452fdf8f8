"""A SIMULATED Kunpeng TrustZone: AK certificates and reports as cJSON prints and signs them."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from attestation.huawei_itrustee.cjson import signed_form
from tests.harness.tee.cca import rsa_key
from tests.harness.tee.virtcca import certificate, device

NONCE: Final = bytes(range(64))
UUID: Final = "c29d01b0-cd13-405a-99f9-06343dfbe691"
HASH: Final = bytes(range(32))


def url(data: bytes) -> str:
    """Return unpadded base64url."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(role: str) -> dict[str, str]:
    """Return an RSA key as the payload has it."""
    numbers = rsa_key(role).public_key().public_numbers()
    return {"kty": "RSA", "n": url(numbers.n.to_bytes(256)), "e": "AQAB"}


def sign(payload: object, role: str) -> str:
    """Sign the printed payload."""
    pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
    return url(rsa_key(role).sign(signed_form(payload, code="test"), pss, SHA256()))


def changed(base: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return members with changes; a value of `...` leaves one out."""
    return {name: value for name, value in {**base, **changes}.items() if value is not ...}


@dataclass(frozen=True, kw_only=True)
class Trustzone:
    """One honest device with one trusted application; bend by keyword."""

    ak: Mapping[str, object] = field(default_factory=dict)
    payload: Mapping[str, object] = field(default_factory=dict)
    scenario: str = "sce_no_as"
    ak_signer: str = "device"
    signer: str = "ak"
    certificate: bytes | None = None
    sign_member: str = "report_sign"

    def ak_document(self) -> dict[str, object]:
        """Return the AK certificate."""
        base = {
            "version": "TEE.RA.1.0",
            "timestamp": "1700000000",
            "scenario": "sce_no_as",
            "sign_alg": "PS256",
            "hash_alg": "HS256",
            "qta_img": url(HASH),
            "qta_mem": url(HASH[::-1]),
            "tcb": "",
            "ak_pub": jwk("ak"),
        }
        payload = changed(base, self.ak)
        der = device() if self.certificate is None else self.certificate
        return {
            "signature": {
                "drk_cert": url(b64encode(der).ljust(4096, b"\0")),
                "drk_sign": sign(payload, self.ak_signer),
            },
            "payload": payload,
            "handler": "provisioning-output",
        }

    def ak_raw(self) -> bytes:
        """Return the AK certificate's bytes."""
        return json.dumps(self.ak_document(), indent=1).encode()

    def report(self, **changes: object) -> bytes:
        """Return a report's bytes."""
        base = {
            "version": "TEE.RA.1.0",
            "timestamp": "1700000001",
            "nonce": url(NONCE),
            "uuid": UUID,
            "scenario": self.scenario,
            "ta_img": url(HASH),
            "ta_mem": url(HASH[::-1]),
            "ta_attr": {},
            "key": "",
            "sign_alg": "PS256",
            "hash_alg": "HS256",
        }
        payload = changed(base, self.payload)
        signature = sign(payload, self.signer)
        issued = certificate("SIMULATED AK", "SIMULATED AS", own="ak", signer="as", ca=False)
        doc = {
            "handler": "report-output",
            "payload": payload,
            self.sign_member: {self.scenario: signature},
            "akcert": {"sce_no_as": self.ak_document(), "sce_as_no_daa": url(issued)},
        }
        return json.dumps(changed(doc, changes)).encode()
