"""Vectors of other implementations, read from MIFENG_VECTORS_DIR; none of them is copied here."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from mifeng.crypto import (
    DecryptionError,
    SignatureError,
    Sm2PrivateKey,
    Sm2PublicKey,
    ciphertext_from_der,
    der,
    keyfiles,
    signature_from_der,
    sm2_curve,
)
from mifeng.crypto.suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

pytestmark = pytest.mark.vectors

SM2_PRIME = f"0x{sm2_curve.P:X}"


def wycheproof(directory: Path, name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (group, case) of a Wycheproof file."""
    document = json.loads((directory / "wycheproof" / name).read_text(encoding="utf-8"))
    for group in document["testGroups"]:
        for case in group["tests"]:
            yield group, case


def stanzas(path: Path) -> Iterator[dict[str, str]]:
    """Yield the `key = value` groups of a Botan or OpenSSL vector file, later keys over earlier."""
    for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
        pairs = (
            line.split("=", 1) for line in block.splitlines() if "=" in line and line[0] != "#"
        )
        yield {key.strip(): value.strip() for key, value in pairs}


def test_wycheproof_sm4_gcm(sm4_provider: ModuleType, vectors_dir: Path) -> None:
    """Every 96-bit-nonce case: valid ones open and reseal alike, the others are refused."""
    ran = 0
    for group, case in wycheproof(vectors_dir, "sm4_gcm_test.json"):
        if group["ivSize"] != 96 or group["tagSize"] != 128 or group["keySize"] != 128:
            continue
        aead = sm4_provider.Sm4Gcm(bytes.fromhex(case["key"]))
        iv, aad, msg, ct, tag = (
            bytes.fromhex(case[field]) for field in ("iv", "aad", "msg", "ct", "tag")
        )
        if case["result"] == "valid":
            assert aead.open(iv, ct + tag, aad) == msg, case["tcId"]
            assert aead.seal(iv, msg, aad) == ct + tag, case["tcId"]
        else:
            with pytest.raises(DecryptionError):
                aead.open(iv, ct + tag, aad)
        ran += 1
    assert ran >= 60


def test_wycheproof_hmac_sm3(sm3_provider: ModuleType, vectors_dir: Path) -> None:
    """All 174 cases, truncated tags included."""
    ran = 0
    for group, case in wycheproof(vectors_dir, "hmac_sm3_test.json"):
        mac = sm3_provider.hmac_sm3(bytes.fromhex(case["key"]), bytes.fromhex(case["msg"]))
        same = mac[: group["tagSize"] // 8].hex() == case["tag"]
        assert same == (case["result"] == "valid"), case["tcId"]
        ran += 1
    assert ran == 174


def test_gmssl_hkdf_sm3(sm3_provider: ModuleType, vectors_dir: Path) -> None:
    """83 outputs, and three lengths that HKDF cannot give."""
    cases = json.loads((vectors_dir / "gbt" / "hkdf_sm3_from_gmssl.json").read_text("utf-8"))
    for case in cases:
        ikm, salt, info = (bytes.fromhex(case[field]) for field in ("ikm", "salt", "info"))
        if case["result"] == "TEST_RESULT_VALID":
            okm = sm3_provider.hkdf_sm3(ikm, salt=salt, info=info, length=case["size"])
            assert okm.hex() == case["okm"], case["tcId"]
        else:
            with pytest.raises(ValueError, match="HKDF"):
                sm3_provider.hkdf_sm3(ikm, salt=salt, info=info, length=case["size"])
    assert len(cases) == 86


def test_botan_sm3(sm3_provider: ModuleType, vectors_dir: Path) -> None:
    """Botan's SM3 inputs, running and at once."""
    ran = 0
    for case in stanzas(vectors_dir / "botan" / "sm3.vec"):
        if "Out" in case:
            data = bytes.fromhex(case["In"])
            assert sm3_provider.sm3(data).hex() == case["Out"].lower()
            assert sm3_provider.sm3_many([data] * 3) == [bytes.fromhex(case["Out"])] * 3
            ran += 1
    assert ran > 5


def test_botan_sm4_gcm(sm4_provider: ModuleType, vectors_dir: Path) -> None:
    """Botan's SM4/GCM cases with 96-bit nonces."""
    ran = 0
    for case in stanzas(vectors_dir / "botan" / "gcm_sm4.vec"):
        nonce = bytes.fromhex(case.get("Nonce", ""))
        if len(nonce) == 12 and "Out" in case:
            aead = sm4_provider.Sm4Gcm(bytes.fromhex(case["Key"]))
            data, aad = bytes.fromhex(case.get("In", "")), bytes.fromhex(case.get("AD", ""))
            assert aead.seal(nonce, data, aad).hex() == case["Out"].lower()
            ran += 1
    assert ran == 3


def test_botan_sm2_signatures(sm2_provider: ModuleType, vectors_dir: Path) -> None:
    """Botan's signatures on the recommended curve, with an identifier of their own."""
    text = (vectors_dir / "botan" / "sm2_sig.vec").read_text(encoding="utf-8")
    section = text[text.index(SM2_PRIME) :]
    ran = 0
    for block in re.split(r"\n\s*\n", section[: section.index("P = 0xFFFFFFFF00000001")]):
        case = dict(re.findall(r"^(\w+) = (.*)$", block, re.MULTILINE))
        if case.get("Hash") == "SM3":
            key = sm2_provider.Sm2PrivateKey.from_scalar(bytes.fromhex(case["x"][2:].zfill(64)))
            signature, uid = bytes.fromhex(case["Signature"]), case["Ident"].encode()
            message = bytes.fromhex(case["Msg"])
            key.public_key().verify(signature, message, uid=uid)
            with pytest.raises(SignatureError):
                key.public_key().verify(signature, message)
            ran += 1
    assert ran >= 1


def test_botan_invalid_ciphertexts(sm2_provider: ModuleType, vectors_dir: Path) -> None:
    """Every malformed or forged ciphertext of Botan's negative set is refused."""
    text = (vectors_dir / "botan" / "sm2_invalid.vec").read_text(encoding="utf-8")
    scalar = re.search(r"^Key = (\w+)$", text, re.MULTILINE)
    assert scalar is not None
    key = sm2_provider.Sm2PrivateKey.from_scalar(bytes.fromhex(scalar[1]))
    cases = re.findall(r"^Ctext =[ ]*(\w*)$", text, re.MULTILINE)
    for case in cases:
        with pytest.raises(DecryptionError):
            key.decrypt(ciphertext_from_der(bytes.fromhex(case)))
    assert len(cases) == 20


def test_openssl_sm2(sm2_provider: ModuleType, vectors_dir: Path) -> None:
    """OpenSSL's own SM2 signatures and ciphertexts, key in PKCS #8."""
    path = vectors_dir / "openssl_tongsuo" / "evppkey_sm2.txt"
    text = path.read_text(encoding="utf-8")
    pem = re.search(r"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\n", text, re.DOTALL)
    assert pem is not None
    info = base64.b64decode("".join(pem[0].splitlines()[1:-1]))
    key = sm2_provider.Sm2PrivateKey.from_scalar(info[36:68])
    named = keyfiles.read_signing_key(pem[0].encode(), None)
    assert named.public_bytes == key.public_key().to_bytes()
    verified = decrypted = 0
    for case in stanzas(path):
        if "Result" in case or case.get("Ctrl", "digest:SM3") != "digest:SM3":
            continue
        if "Verify" in case:
            signature = signature_from_der(bytes.fromhex(case["Output"]))
            key.public_key().verify_digest(signature, bytes.fromhex(case["Input"]))
            verified += 1
        elif "Decrypt" in case:
            plaintext = key.decrypt(ciphertext_from_der(bytes.fromhex(case["Input"])))
            assert plaintext.decode() == case["Output"].strip('"')
            decrypted += 1
    assert verified >= 2
    assert decrypted >= 3


def test_openssl_sm3_and_hmac(sm3_provider: ModuleType, vectors_dir: Path) -> None:
    """OpenSSL's SM3 and HMAC-SM3 files."""

    def value(text: str) -> bytes:
        """Return the bytes of a quoted string or of hexadecimal digits."""
        return text[1:-1].encode() if text.startswith('"') else bytes.fromhex(text)

    ran = 0
    for case in stanzas(vectors_dir / "openssl_tongsuo" / "evpmd_sm3.txt"):
        if case.get("Digest") == "SM3" and "Output" in case and "Ncopy" not in case:
            assert sm3_provider.sm3(value(case["Input"])).hex() == case["Output"].lower()
            ran += 1
    for case in stanzas(vectors_dir / "openssl_tongsuo" / "evpmac_sm3.txt"):
        if case.get("MAC") == "HMAC":
            mac = sm3_provider.hmac_sm3(value(case["Key"]), value(case["Input"]))
            assert mac.hex() == case["Output"].lower()
            ran += 1
    assert ran >= 8


def certificate_parts(pem: bytes) -> tuple[bytes, bytes, bytes]:
    """Return (signed part, raw signature, subject's point) of an SM2 certificate."""
    outer = der.Reader(base64.b64decode(b"".join(pem.strip().splitlines()[1:-1])))
    body = outer.sequence()
    outer.end()
    tbs = der.element(der.SEQUENCE, body.take(der.SEQUENCE))
    body.take(der.SEQUENCE)
    bits = body.take(der.BIT_STRING)
    body.end()
    marker = bytes.fromhex("06082a811ccf5501822d") + bytes.fromhex("03420004")
    at = tbs.index(marker) + len(marker) - 1
    return tbs, signature_from_der(bits[1:]), tbs[at : at + 65]


def test_sm2_certificates_verify(sm2_provider: ModuleType, vectors_dir: Path) -> None:
    """Tongsuo's TLCP double certificates under their CA; the two of another CA are refused."""
    directory = vectors_dir / "certs" / "tongsuo" / "sm2"
    chain = (directory / "chain-ca.crt").read_bytes()
    issuers = [
        sm2_provider.Sm2PublicKey.from_bytes(certificate_parts(pem)[2])
        for pem in re.findall(rb"-----BEGIN.*?-----END CERTIFICATE-----\n", chain, re.DOTALL)
    ]
    verified = 0
    for path in sorted(directory.glob("*_*.crt")):
        tbs, signature, _ = certificate_parts(path.read_bytes())
        accepted = 0
        for issuer in issuers:
            try:
                issuer.verify(signature, tbs)
            except SignatureError:
                continue
            accepted += 1
            with pytest.raises(SignatureError):
                issuer.verify(signature, tbs[:-1] + bytes((tbs[-1] ^ 1,)))
        assert accepted == (0 if path.stem.endswith("2") else 1), path.name
        verified += accepted
    assert verified == 8


def test_cfca_envelope_keys_unwrap(sm2_provider: ModuleType, vectors_dir: Path) -> None:
    """Content keys of three bank-toolkit messages: SM2Cipher, or C1 ‖ C2 ‖ C3 without its 04."""
    messages = json.loads((vectors_dir / "cms_sm2.json").read_text(encoding="utf-8"))
    for message in messages:
        key = sm2_provider.Sm2PrivateKey.from_scalar(bytes.fromhex(message["recipient_key"]))
        opened = set()
        for wrapped in _octet_strings(bytes.fromhex(message["contentInfo_der"])):
            reordered = b"\x04" + wrapped[:64] + wrapped[-32:] + wrapped[64:-32]
            for convert in (ciphertext_from_der, lambda _, raw=reordered: raw):
                try:
                    opened.add(key.decrypt(convert(wrapped)).hex())
                except DecryptionError:
                    continue
        assert message["cek"] in opened, message["name"]
    assert len(messages) == 3


def _octet_strings(encoded: bytes) -> Iterator[bytes]:
    """Yield the contents of everything that looks like an OCTET STRING of 97 bytes or more."""
    for i, byte in enumerate(encoded):
        if byte == der.OCTET_STRING:
            try:
                contents = der.Reader(encoded[i:]).take(der.OCTET_STRING)
            except der.DerError:
                continue
            if len(contents) > 96:
                yield contents


def test_kms_public_keys_are_read(vectors_dir: Path) -> None:
    """Public keys as two cloud key managers export them."""
    found = sorted((vectors_dir / "gmsm").glob("smx509_*publicKeyPem*.der"))
    for path in found:
        encoded = base64.b64encode(path.read_bytes()).decode()
        lines = [encoded[i : i + 64] for i in range(0, len(encoded), 64)]
        pem = "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])
        key = keyfiles.read_public(pem.encode())
        assert key.alg == "sm2"
        assert key.pem() == pem.encode()
    assert len(found) == 4


def test_pbkdf2_hmac_sm3(vectors_dir: Path) -> None:
    """GmSSL's PBKDF2-HMAC-SM3 cases: the derivation behind encrypted key files."""
    text = (vectors_dir / "gmssl" / "pbkdf2test_sm3.h").read_text(encoding="utf-8")
    pattern = r'"(\w*)",\s*"(\w*)",\s*(\d+)u,\s*(\d+)u,\s*"(\w+)",\s*TEST_RESULT_VALID'
    ran = 0
    for password, salt, rounds, length, expected in re.findall(pattern, text):
        if int(rounds) > 100_000:
            continue
        kdf = PBKDF2HMAC(hashes.SM3(), int(length), bytes.fromhex(salt), int(rounds))
        assert kdf.derive(bytes.fromhex(password)).hex() == expected
        ran += 1
    assert ran > 5


def test_wycheproof_mlkem_768(vectors_dir: Path) -> None:
    """The library behind `sm-pq` decapsulates Wycheproof's ML-KEM-768 ciphertexts."""
    ran = 0
    for _, case in wycheproof(vectors_dir, "mlkem_768_test.json"):
        if case["result"] != "valid":
            continue
        key = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(case["seed"]))
        assert key.decapsulate(bytes.fromhex(case["c"])).hex() == case["K"]
        ran += 1
    assert ran > 20


def test_hybrid_tls_secrets_have_our_order(vectors_dir: Path) -> None:
    """draft-yang's share is SM2 first, then ML-KEM: 65 + 1184 bytes, as in `sm-pq` keys."""
    recorded = json.loads(
        (vectors_dir / "tls13_rfc8998_openssl403" / "curveSM2MLKEM768.json").read_text("utf-8")
    )
    flights = bytes.fromhex("".join(v for v in _hex_strings(recorded)))
    marker = (0x11EE).to_bytes(2, "big") + (1249).to_bytes(2, "big")
    at = flights.index(marker) + len(marker)
    share = flights[at : at + 1249]
    Sm2PublicKey.from_bytes(share[:65])
    ct, ss = SUITES[2].encap(share)
    assert (len(ct), len(ss)) == (1217, 64)


def _hex_strings(value: object) -> Iterator[str]:
    """Yield every long hexadecimal string inside a JSON value."""
    if isinstance(value, str) and len(value) > 100 and re.fullmatch(r"(?:[0-9a-f]{2})+", value):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _hex_strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _hex_strings(member)


def test_draft_curve_vectors_are_not_of_this_curve(vectors_dir: Path) -> None:
    """Points of the 256-bit test curve in old drafts are refused: only the recommended curve."""
    text = (vectors_dir / "botan" / "sm2_enc.vec").read_text(encoding="utf-8")
    ciphertext = re.search(r"^Ciphertext = (\w+)$", text, re.MULTILINE)
    assert ciphertext is not None
    with pytest.raises(DecryptionError):
        ciphertext_from_der(bytes.fromhex(ciphertext[1]))
    assert der.Reader(bytes.fromhex(ciphertext[1])).take(der.SEQUENCE)
    assert Sm2PrivateKey.generate().public_key().to_bytes()[0] == 4
