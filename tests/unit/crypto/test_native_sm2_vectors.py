"""Other implementations' SM2 vectors: GB/T, OpenSSL, Botan, Bouncy Castle, from MIFENG_VECTORS_DIR.

Only cases on the curve of GB/T 32918.5 with SM3 apply; the others are counted, so that a case that
stops being recognised fails a test. DER is taken apart by `mifeng.crypto.sm2_codec`.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mifeng.crypto.errors import CryptoError, DecryptionError, KeyFormatError, SignatureError
from mifeng.crypto.sm2_codec import (
    ciphertext_from_der,
    ciphertext_to_der,
    signature_from_der,
    signature_to_der,
)
from tests.native.sm2_program import compile_program, run
from tests.native.sm2_reference import P

core = pytest.importorskip("mifeng.crypto._native._core", reason="the native core is not built")
if not hasattr(core, "Sm2PrivateKey"):
    pytest.skip("the native core was built without SM2", allow_module_level=True)
core.install_errors(decryption=DecryptionError, signature=SignatureError, key=KeyFormatError)

pytestmark = pytest.mark.vectors

PATHS = ["portable", "adx", "ifma"]


def directory() -> Path:
    """Where the vectors are, or a skip."""
    folder = os.environ.get("MIFENG_VECTORS_DIR")
    if not folder:
        pytest.skip("MIFENG_VECTORS_DIR is not set")
    return Path(folder)


def key_of(scalar: str) -> Any:
    """The private key of a hexadecimal scalar."""
    return core.Sm2PrivateKey.from_scalar(bytes.fromhex(scalar.removeprefix("0x").zfill(64)))


def each_path(commands: list[str], expected: list[str]) -> None:
    """The test program gives the expected answers on every path there is."""
    program = compile_program()
    if program is None:
        pytest.skip("no C compiler")
    for path in PATHS:
        answers = run(program, path, commands)
        assert answers in (None, expected)


def test_gbt_32918_5() -> None:
    """The standard's examples: signature, encryption, and the key exchange's points."""
    examples = json.loads((directory() / "gbt" / "gbt32918_5.json").read_text())
    sign, encrypt = examples["sign_annexA"], examples["encrypt_annexC"]
    key = key_of(sign["d"])
    public = key.public_key()
    assert public.to_bytes().hex() == "04" + (sign["x"] + sign["y"]).lower()
    assert public.za(sign["id"].encode()).hex() == sign["Z"].lower()
    signature = bytes.fromhex(sign["r"] + sign["s"])
    assert signature_from_der(bytes.fromhex(sign["sm2signature_der"])) == signature
    public.verify(signature, sign["msg"].encode(), uid=sign["id"].encode())
    public.verify_digest(signature, bytes.fromhex(sign["e"]))
    message = encrypt["msg"].encode()
    assert key_of(encrypt["d"]).decrypt(bytes.fromhex(encrypt["raw_c1c3c2"])) == message
    der = ciphertext_from_der(bytes.fromhex(encrypt["sm2cipher_der"]))
    assert der.hex() == encrypt["raw_c1c3c2"]
    with pytest.raises(DecryptionError):
        key_of(encrypt["d"]).decrypt(bytes.fromhex(encrypt["raw_c1c2c3_legacy"]))
    exchange = examples["key_exchange_annexB"]
    for scalar, point in (("dA", "PA"), ("dB", "PB"), ("rA", "RA"), ("rB", "RB")):
        raw = key_of(exchange[scalar]).public_key().to_bytes().hex()
        assert raw == "04" + "".join(exchange[point]).lower()
    hex_public = public.to_bytes().hex()
    each_path(
        [
            f"sign {sign['d']} {sign['e']} {sign['k']}".lower(),
            f"encrypt {hex_public} {encrypt['k']} {message.hex()}".lower(),
        ],
        [signature.hex(), encrypt["raw_c1c3c2"]],
    )


def stanzas(path: Path, separator: str) -> list[dict[str, str]]:
    """Blocks of `name = value` lines; names set in earlier blocks of the file carry on."""
    carried: dict[str, str] = {}
    found = []
    for block in path.read_text().replace("\r", "").split("\n\n"):
        own = {}
        for line in block.splitlines():
            if separator in line and not line.startswith("#"):
                name, value = line.split(separator, 1)
                own[name.strip()] = value.strip()
        carried |= own
        found.append({**carried, "#": ",".join(own)})
    return found


def test_openssl_evp() -> None:
    """OpenSSL's EVP_PKEY tests: signatures with SM3, ciphertexts, a digest that is not ours."""
    text = (directory() / "openssl_tongsuo" / "evppkey_sm2.txt").read_text()
    pem = text.split("-----BEGIN PRIVATE KEY-----")[1].split("-----END PRIVATE KEY-----")[0]
    pkcs8 = base64.b64decode(pem)
    at = pkcs8.index(bytes.fromhex("0201010420")) + 5
    key = core.Sm2PrivateKey.from_scalar(pkcs8[at : at + 32])
    assert key.public_key().to_bytes() in pkcs8
    verified = decrypted = 0
    for block in text.split("\n\n"):
        fields = dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line)
        expected = fields.get("Result")
        if "Verify" in fields and expected is None:
            signature = signature_from_der(bytes.fromhex(fields["Output"]))
            key.public_key().verify_digest(signature, bytes.fromhex(fields["Input"]))
            verified += 1
        if "Decrypt" in fields and expected is None:
            ciphertext = ciphertext_from_der(bytes.fromhex(fields["Input"]))
            assert key.decrypt(ciphertext).decode() == fields["Output"].strip('"')
            assert core.sm2_decrypt_batch(key, [ciphertext]) == [key.decrypt(ciphertext)]
            decrypted += 1
    assert (verified, decrypted) == (2, 4)


def test_botan_signatures() -> None:
    """Botan's signatures on the recommended curve, with their nonces."""
    cases = [
        case
        for case in stanzas(directory() / "botan" / "sm2_sig.vec", "=")
        if "Signature" in case["#"] and int(case["P"], 16) == P and case["Hash"] == "SM3"
    ]
    assert len(cases) == 1
    for case in cases:
        key = key_of(case["x"])
        public, uid = key.public_key(), case["Ident"].encode()
        message, signature = bytes.fromhex(case["Msg"]), bytes.fromhex(case["Signature"])
        public.verify(signature, message, uid=uid)
        digest = core.sm3(public.za(uid) + message)
        each_path(
            [f"sign {key.to_scalar().hex()} {digest.hex()} {case['Nonce'].lower()}"],
            [signature.hex()],
        )


def test_botan_invalid_ciphertexts() -> None:
    """Botan's ciphertexts that must not decrypt: refused as DER, or refused by the key."""
    text = (directory() / "botan" / "sm2_invalid.vec").read_text()
    lines = [line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#"]
    key = key_of(lines[0][1].strip())
    ciphertexts = [bytes.fromhex(value.strip()) for name, value in lines if name.strip() == "Ctext"]
    assert len(ciphertexts) == 20
    reached = []
    for ciphertext in ciphertexts:
        try:
            reached.append(ciphertext_from_der(ciphertext))
        except CryptoError:
            continue
        with pytest.raises(DecryptionError):
            key.decrypt(reached[-1])
    assert len(reached) >= 5
    assert core.sm2_decrypt_batch(key, reached) == [None] * len(reached)


def test_vectors_of_other_curves_are_told_apart() -> None:
    """Bouncy Castle's and some of Botan's vectors use the draft's test curve: not ours."""
    bouncy = json.loads((directory() / "bouncycastle" / "sm2_draft_curve.json").read_text())
    assert int(bouncy["curve"]["p"], 16) != P
    for case in stanzas(directory() / "botan" / "sm2_enc.vec", "="):
        assert "Ciphertext" not in case["#"] or int(case["P"], 16) != P
    signature = bytes.fromhex(bouncy["sign"]["r"] + bouncy["sign"]["s"])
    public = key_of(bouncy["sign"]["d"]).public_key()
    with pytest.raises(SignatureError):
        public.verify(signature, bouncy["sign"]["msg"].encode(), uid=bouncy["sign"]["id"].encode())
    with pytest.raises(DecryptionError):
        key_of(bouncy["encrypt"]["d"]).decrypt(bytes.fromhex(bouncy["encrypt"]["c1c3c2"]))


def test_der_round_trip() -> None:
    """Raw to DER and back gives the same signature and ciphertext."""
    key = core.Sm2PrivateKey.generate()
    for _ in range(50):
        signature = key.sign(b"data")
        assert signature_from_der(signature_to_der(signature)) == signature
        ciphertext = key.public_key().encrypt(b"data")
        assert ciphertext_from_der(ciphertext_to_der(ciphertext)) == ciphertext
