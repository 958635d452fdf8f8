"""TPM2_Quote: the attested structure, its signature, and the PCR values it covers.

`parse` splits the structure, `verify` believes it: it checks that a key signed these exact
bytes and that the PCR values handed over beside them are the quoted ones. Whose key it is, is
the caller's question (an AK certificate in `ak`, an HCL blob in `attestation.azure_vtpm`).

Source: TCG TPM 2.0 Library, Part 2 §10.12 (TPMS_ATTEST, TPMS_QUOTE_INFO), §11.3
(TPMT_SIGNATURE); Part 3 §18.4 (TPM2_Quote). Integers are big-endian.
"""

import hashlib
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from attestation.containers import json_bytes
from attestation.errors import malformed, untrusted

MAGIC: Final = 0xFF544347
TYPE_QUOTE: Final = 0x8018
SHA256_BANK: Final = 0x000B
SHA384_BANK: Final = 0x000C
PCR_COUNT: Final = 24
MIN_RSA_BITS: Final = 2048
MAX_SIZE: Final = 4096
_MAX_RSA_BITS: Final = 4096

_HASHES: Final[dict[int, HashAlgorithm]] = {SHA256_BANK: SHA256(), SHA384_BANK: SHA384()}
_CURVES: Final = frozenset({"secp256r1", "secp384r1"})
_ALG_RSASSA: Final = 0x0014
_ALG_RSAPSS: Final = 0x0016
_ALG_ECDSA: Final = 0x0018


class _Reader:
    """Big-endian fields from the front; running out is malformed."""

    def __init__(self, data: bytes, *, what: str, code: str) -> None:
        self._data, self._at = data, 0
        self._what, self._code = what, code

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            required = f"{size} bytes at {self._at}"
            raise malformed(f"{self._code}.truncated", self._what, required, len(found))
        self._at += size
        return found

    def number(self, size: int) -> int:
        """Return the next integer of `size` bytes."""
        return int.from_bytes(self.take(size))

    def sized(self) -> bytes:
        """Return the next TPM2B: a 16-bit length and that many bytes."""
        return self.take(self.number(2))

    def end(self) -> None:
        """Refuse anything that is left."""
        rest = len(self._data) - self._at
        if rest:
            raise malformed(f"{self._code}.trailing", self._what, "nothing more", f"{rest} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """One TPMS_ATTEST of type quote, split into fields and not yet believed."""

    qualified_signer: bytes
    extra_data: bytes
    clock: int
    """Milliseconds of TPM time."""
    reset_count: int
    restart_count: int
    safe: bool
    firmware_version: int
    bank: int
    selected: tuple[int, ...]
    """PCR indices, ascending."""
    pcr_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A verified quote; made by `verify` only."""

    attest: Attest
    pcrs: dict[int, bytes]
    """The quoted values, by index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedQuote:
    """What agents deliver: the structure, its signature, and PCR values; all untrusted."""

    message: bytes
    """TPMS_ATTEST."""
    signature: bytes
    """TPMT_SIGNATURE, or the bare bytes of RSASSA with SHA-256."""
    pcrs: tuple[bytes, ...]
    """The value of PCR i at position i."""

    @classmethod
    def of(cls, value: object, *, code: str) -> Self:
        """Return the parts of a JSON object with members of these names.

        Raises:
            EvidenceMalformedError: a member is missing or of another form.
        """
        if not isinstance(value, dict):
            raise malformed(f"{code}.json", "TPM quote", "an object", type(value).__name__)
        pcrs = value.get("pcrs")
        if not isinstance(pcrs, list) or not 0 < len(pcrs) <= PCR_COUNT:
            raise malformed(f"{code}.json", "pcrs", f"1 to {PCR_COUNT} values", "another")
        return cls(
            message=json_bytes(value.get("message"), what="message", code=code),
            signature=json_bytes(value.get("signature"), what="signature", code=code),
            pcrs=tuple(json_bytes(each, what="pcrs", code=code) for each in pcrs),
        )


def parse(message: bytes, *, code: str) -> Attest:
    """Split exactly one TPMS_ATTEST.

    Args:
        message: untrusted; any bytes.
        code: prefix of the findings' codes, e.g. `tpm2.quote`.

    Raises:
        EvidenceMalformedError: cut short, too long, or a PCR selection other than one bank.
        EvidenceUntrustedError: another kind of attested structure (`<code>.magic`,
            `<code>.type`): a key that certifies keys or clocks must not pass for a quote.
    """
    if len(message) > MAX_SIZE:
        raise malformed(f"{code}.size", "TPMS_ATTEST", f"at most {MAX_SIZE} bytes", len(message))
    read = _Reader(message, what="TPMS_ATTEST", code=code)
    if (magic := read.number(4)) != MAGIC:
        raise untrusted(f"{code}.magic", "TPM_GENERATED", f"{MAGIC:#x}", f"{magic:#x}")
    if (kind := read.number(2)) != TYPE_QUOTE:
        raise untrusted(f"{code}.type", "attested structure", f"{TYPE_QUOTE:#x}", f"{kind:#x}")
    qualified_signer, extra_data = read.sized(), read.sized()
    clock, reset_count, restart_count = read.number(8), read.number(4), read.number(4)
    safe = read.number(1)
    if safe > 1:
        raise malformed(f"{code}.safe", "clockInfo.safe", "0 or 1", safe)
    firmware_version = read.number(8)
    if (count := read.number(4)) != 1:
        raise malformed(f"{code}.selection", "PCR selections", 1, count)
    bank, bitmap = read.number(2), read.take(read.number(1))
    selected = tuple(
        index for index in range(8 * len(bitmap)) if bitmap[index // 8] >> index % 8 & 1
    )
    pcr_digest = read.sized()
    read.end()
    if bank not in _HASHES:
        raise untrusted(f"{code}.bank", "PCR bank", "SHA-256 or SHA-384", f"{bank:#06x}")
    if not selected or selected[-1] >= PCR_COUNT:
        required = f"PCRs 0 to {PCR_COUNT - 1}"
        raise untrusted(f"{code}.selection", "PCR selection", required, bitmap.hex())
    return Attest(
        qualified_signer=qualified_signer,
        extra_data=extra_data,
        clock=clock,
        reset_count=reset_count,
        restart_count=restart_count,
        safe=bool(safe),
        firmware_version=firmware_version,
        bank=bank,
        selected=selected,
        pcr_digest=pcr_digest,
    )


def verify(parts: SignedQuote, key: PublicKeyTypes, *, code: str) -> Quote:
    """Return the quote that `key` signed, with the values it covers.

    Args:
        parts: all its PCR values must be quoted, so that none rides along unsigned or under
            another's index.
        key: the attestation key, whose owner the caller has established.
        code: prefix of the findings' codes.

    Raises:
        EvidenceMalformedError: message or signature does not parse.
        EvidenceUntrustedError: signature, PCR selection or PCR digest is wrong, or extraData is
            empty (`<code>.nonce`): such a quote can be replayed for ever.
    """
    attest = parse(parts.message, code=code)
    digest = _check_signature(parts.message, parts.signature, key, code=code)
    pcrs = parts.pcrs
    if not attest.extra_data:
        raise untrusted(f"{code}.nonce", "extraData", "a nonce", "empty")
    expected = tuple(range(len(pcrs)))
    if attest.selected != expected:
        found = ",".join(map(str, attest.selected))
        raise untrusted(f"{code}.selection", "quoted PCRs", f"0 to {len(pcrs) - 1}", found)
    size = _HASHES[attest.bank].digest_size
    if any(len(value) != size for value in pcrs):
        raise malformed(f"{code}.pcrs", "PCR values", f"{size} bytes each", "another length")
    computed = hashlib.new(digest.name, b"".join(pcrs)).digest()
    if not compare_digest(computed, attest.pcr_digest):
        raise untrusted(f"{code}.pcr-digest", "PCR digest", attest.pcr_digest.hex(), computed.hex())
    return Quote(attest=attest, pcrs=dict(enumerate(pcrs)))


def details(found: Quote) -> dict[str, object]:
    """Return the fields of a quote for people and policies."""
    attest = found.attest
    return {
        "qualified_signer": attest.qualified_signer.hex(),
        "pcr_bank": _HASHES[attest.bank].name,
        "clock": attest.clock,
        "reset_count": attest.reset_count,
        "restart_count": attest.restart_count,
        "safe": attest.safe,
        "firmware_version": f"{attest.firmware_version:#x}",
    }


def _check_signature(
    message: bytes, signature: bytes, key: PublicKeyTypes, *, code: str
) -> HashAlgorithm:
    """Return the hash the signature uses, which is also that of the PCR digest."""
    try:
        if isinstance(key, RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            pad, digest, value = _rsa_signature(signature, key, code=code)
            key.verify(value, message, pad, digest)
            return digest
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
            digest, value = _ecdsa_signature(signature, code=code)
            key.verify(value, message, ec.ECDSA(digest))
            return digest
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as exc:
        raise untrusted(f"{code}.signature", "quote signature", "by the AK", "wrong") from exc
    required = "RSA of 2048 to 4096 bits, P-256 or P-384"
    raise untrusted(f"{code}.key", "attestation key", required, type(key).__name__)


def _rsa_signature(
    signature: bytes, key: RSAPublicKey, *, code: str
) -> tuple[padding.PKCS1v15 | padding.PSS, HashAlgorithm, bytes]:
    if len(signature) == (key.key_size + 7) // 8:
        return padding.PKCS1v15(), _HASHES[SHA256_BANK], signature
    read, alg, digest = _signature_head(signature, code=code)
    value = read.sized()
    read.end()
    if alg == _ALG_RSASSA:
        return padding.PKCS1v15(), digest, value
    if alg == _ALG_RSAPSS:
        return padding.PSS(padding.MGF1(digest), padding.PSS.AUTO), digest, value
    raise untrusted(f"{code}.algorithm", "signature", "RSASSA or RSAPSS", f"{alg:#06x}")


def _ecdsa_signature(signature: bytes, *, code: str) -> tuple[HashAlgorithm, bytes]:
    read, alg, digest = _signature_head(signature, code=code)
    r, s = (int.from_bytes(read.sized()) for _ in range(2))
    read.end()
    if alg != _ALG_ECDSA:
        raise untrusted(f"{code}.algorithm", "signature", "ECDSA", f"{alg:#06x}")
    return digest, encode_dss_signature(r, s)


def _signature_head(signature: bytes, *, code: str) -> tuple[_Reader, int, HashAlgorithm]:
    read = _Reader(signature, what="TPMT_SIGNATURE", code=f"{code}.signature")
    alg, digest = read.number(2), read.number(2)
    if digest not in _HASHES:
        required = "SHA-256 or SHA-384"
        raise untrusted(f"{code}.algorithm", "signature hash", required, f"{digest:#06x}")
    return read, alg, _HASHES[digest]
