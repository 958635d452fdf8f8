"""A SIMULATED Nitro Security Module: documents in AWS's exact format under a test root."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from tests.harness.tee.tpm2 import USAGES, name, when

NOW: Final = 1_760_000_000
PROTECTED: Final = bytes.fromhex("a1013822")


@cache
def key(role: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-384 test key of one role, made on first use; `p256` has another curve."""
    return ec.generate_private_key(ec.SECP256R1() if role == "p256" else ec.SECP384R1())


def head(major: int, value: int) -> bytes:
    """Return the initial bytes of a CBOR item in their shortest form."""
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size)
    raise ValueError(value)


def encode(value: object) -> bytes:
    """Return the CBOR of integers, strings, lists, maps, booleans and null."""
    if isinstance(value, bool | None):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes | str):
        data = value if isinstance(value, bytes) else value.encode()
        return head(2 if isinstance(value, bytes) else 3, len(data)) + data
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    assert isinstance(value, dict), type(value)
    pairs = (encode(label) + encode(item) for label, item in value.items())
    return head(5, len(value)) + b"".join(pairs)


def certificate(
    subject: str,
    issuer: str,
    *,
    own: str,
    signer: str,
    ca: bool = True,
    begin: int = NOW - 3600,
    end: int = NOW + 7200,
    signs_data: bool = True,
    hash_algorithm: SHA256 | SHA384 | None = None,
) -> bytes:
    """Return one certificate of the simulated hierarchy."""
    usages = {"key_cert_sign", "crl_sign"} if ca else set()
    if signs_data:
        usages.add("digital_signature")
    else:
        usages.add("key_agreement")
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key(own).public_key())
        .serial_number(5)
        .not_valid_before(when(begin))
        .not_valid_after(when(end))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{usage: usage in usages for usage in USAGES}), critical=True)
    )
    cert = builder.sign(key(signer), hash_algorithm or SHA384())
    return cert.public_bytes(Encoding.DER)


ROOT_NAME: Final = "SIMULATED aws.nitro-enclaves"


@cache
def root(own: str = "root") -> bytes:
    """Return the root; another key makes a look-alike."""
    return certificate(ROOT_NAME, ROOT_NAME, own=own, signer=own)


@cache
def regional() -> bytes:
    """Return the regional authority."""
    return certificate("SIMULATED region", ROOT_NAME, own="regional", signer="root")


@cache
def zonal() -> bytes:
    """Return the zonal authority."""
    return certificate("SIMULATED zone", "SIMULATED region", own="zonal", signer="regional")


@cache
def leaf(
    *,
    own: str = "leaf",
    signer: str = "zonal",
    ca: bool = False,
    begin: int = NOW - 3600,
    end: int = NOW + 7200,
    signs_data: bool = True,
    sha256: bool = False,
) -> bytes:
    """Return the enclave's certificate."""
    return certificate(
        "SIMULATED enclave",
        "SIMULATED zone",
        own=own,
        signer=signer,
        ca=ca,
        begin=begin,
        end=end,
        signs_data=signs_data,
        hash_algorithm=SHA256() if sha256 else None,
    )


@dataclass(frozen=True, kw_only=True)
class NitroModule:
    """One honest module; bend with `dataclasses.replace` or by keyword."""

    fields: Mapping[str, object] = field(default_factory=dict)
    """Replaces members of the payload; a member with the value `...` is left out."""
    protected: bytes = PROTECTED
    unprotected: bytes = b"\xa0"
    signer: str = "leaf"
    tag: bytes = b""
    indefinite: bool = True
    extra: bytes = b""
    """Encoded pairs added to the payload map."""

    def payload(self) -> bytes:
        """Return the payload map, of indefinite length as the real module writes it."""
        honest: dict[str, object] = {
            "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": NOW * 1000,
            "pcrs": {index: bytes([index + 1]) * 48 for index in range(16)},
            "certificate": leaf(),
            "cabundle": [root(), regional(), zonal()],
            "public_key": None,
            "user_data": b"user data",
            "nonce": b"nonce",
        }
        members = {
            label: value for label, value in {**honest, **self.fields}.items() if value is not ...
        }
        if not self.indefinite:
            return encode(members)
        pairs = (encode(label) + encode(value) for label, value in members.items())
        return b"\xbf" + b"".join(pairs) + self.extra + b"\xff"

    def signature(self, payload: bytes) -> bytes:
        """Sign the payload as COSE_Sign1 says."""
        signed = encode(["Signature1", self.protected, b"", payload])
        r, s = decode_dss_signature(key(self.signer).sign(signed, ec.ECDSA(SHA384())))
        return r.to_bytes(48) + s.to_bytes(48)

    def document(self, *, payload: bytes | None = None, signature: bytes | None = None) -> bytes:
        """Return the signed document."""
        body = self.payload() if payload is None else payload
        mark = self.signature(body) if signature is None else signature
        protected = encode(self.protected)
        return self.tag + b"\x84" + protected + self.unprotected + encode(body) + encode(mark)


def bend(**fields: object) -> bytes:
    """Return a document with members of its payload replaced, correctly signed."""
    return NitroModule(fields=fields).document()
