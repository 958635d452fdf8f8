"""A SIMULATED Azure confidential VM: HCL blob, vTPM quote, and the hardware report inside.

The hardware below is the simulated SNP processor or TDX platform of this package; the formats
are Azure's.
"""

import hashlib
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.azure_vtpm.roots import AzureVtpmRoots
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.intel_tdx.verifier import IntelTdxVerifier
from attestation.tpm2.roots import pin
from tests.harness.tee.intel import IntelWorld
from tests.harness.tee.snp import SnpPlatform
from tests.harness.tee.tpm2 import Tpm, root, rsa_key

if TYPE_CHECKING:
    from attestation.verifier import Verifier

HASHES = {1: "sha256", 2: "sha384", 3: "sha512"}


def b64url(data: bytes) -> str:
    """Return unpadded base64url, as JSON web keys spell numbers."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(kid: str, key: rsa.RSAPrivateKey, **bend: object) -> dict[str, object]:
    """Return a public key as the paravisor writes it."""
    numbers = key.public_key().public_numbers()
    return {
        "kid": kid,
        "key_ops": ["sign"],
        "kty": "RSA",
        "e": b64url(numbers.e.to_bytes(3)),
        "n": b64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
        **bend,
    }


@dataclass(frozen=True, kw_only=True)
class AzureVm:
    """One honest VM; bend with `dataclasses.replace`."""

    tdx: bool = False
    tpm: Tpm = field(default_factory=Tpm)
    snp: SnpPlatform = field(default_factory=SnpPlatform)
    intel: IntelWorld = field(default_factory=IntelWorld)
    claims: Mapping[str, object] = field(default_factory=dict)
    """Replaces members of the runtime claims."""
    hash_type: int = 1
    header: Mapping[int, bytes] = field(default_factory=dict)
    """Bytes of the blob replaced at offsets, after everything was made."""
    report_data: bytes | None = None
    """What the hardware signs instead of the claims' hash."""
    padding: bytes = bytes(96)
    td_mrtd: bytes | None = None
    """MRTD of the TDREPORT, where it is not the TD quote's."""

    def runtime(self) -> bytes:
        """Return the runtime claims."""
        return json.dumps(
            {
                "keys": [
                    jwk("HCLAkPub", rsa_key("ak")),
                    jwk("HCLEkPub", rsa_key("ek"), key_ops=["encrypt"]),
                ],
                "vm-configuration": {
                    "console-enabled": False,
                    "secure-boot": True,
                    "tpm-enabled": True,
                    "vmUniqueId": "SIMULATED-VM",
                },
                "user-data": "00" * 64,
                **self.claims,
            },
            separators=(",", ":"),
        ).encode()

    def bound(self) -> bytes:
        """Return the 64 bytes the hardware signs."""
        if self.report_data is not None:
            return self.report_data
        digest = hashlib.new(HASHES.get(self.hash_type, "sha256"), self.runtime()).digest()
        return digest.ljust(64, b"\0")

    def world(self) -> IntelWorld:
        """Return the TDX platform, its report data that of the blob."""
        return replace(self.intel, body={**self.intel.body, "report_data": self.bound()})

    def hardware(self) -> bytes:
        """Return the hardware report of the blob: SNP, or TDREPORT."""
        if not self.tdx:
            return self.snp.report(report_data=self.bound())
        quote = self.td_quote()
        report = bytearray(1184)
        report[0:4] = b"\x81\0\0\0"
        report[128:192] = self.bound()
        report[528:576] = quote[48 + 136 : 48 + 184] if self.td_mrtd is None else self.td_mrtd
        return bytes(report)

    def td_quote(self) -> bytes:
        """Return the TD quote over the same report data."""
        return self.world().quote()

    def blob(self) -> bytes:
        """Return the HCL blob."""
        runtime = self.runtime()
        words = (1, 4 if self.tdx else 2, self.hash_type)
        size = len(runtime)
        raw = bytearray(
            b"HCLA"
            + (2 if self.tdx else 1).to_bytes(4, "little")
            + (1236 + size).to_bytes(4, "little")
            + (2).to_bytes(4, "little")
            + bytes(16)
            + self.hardware()
            + (20 + size).to_bytes(4, "little")
            + b"".join(word.to_bytes(4, "little") for word in words)
            + size.to_bytes(4, "little")
            + runtime
            + self.padding
        )
        for offset, data in self.header.items():
            raw[offset : offset + len(data)] = data
        return bytes(raw)

    def document(self, **bend: object) -> dict[str, object]:
        """Return the agents' JSON, version 1; a member with the value `...` is left out."""
        doc: dict[str, object] = {
            "version": 1,
            "hcl_report": b64url(self.blob()),
            "tpm_quote": self.tpm.quote(),
        }
        if self.tdx:
            doc["td_quote"] = b64url(self.td_quote())
        else:
            doc["vcek"] = b64encode(self.snp.vek).decode()
        return {name: value for name, value in {**doc, **bend}.items() if value is not ...}

    def evidence(self, **bend: object) -> bytes:
        """Return the evidence."""
        return json.dumps(self.document(**bend)).encode()

    def collateral(self, *more: tuple[Role, bytes]) -> Collateral:
        """Return what the hardware needs, and more."""
        if self.tdx:
            return Collateral((*self.world().collateral().items, *more))
        return Collateral((*self.snp.collateral(vek=None).items, *more))

    def roots(self) -> AzureVtpmRoots:
        """Return what a verifier of this simulated world pins."""
        verifiers: dict[EvidenceKind, Verifier] = {
            EvidenceKind.AMD_SNP: AmdSnpVerifier(self.snp.roots),
            EvidenceKind.INTEL_TDX: IntelTdxVerifier(self.intel.anchors()),
        }
        return AzureVtpmRoots(hardware=verifiers.__getitem__, ak=(pin(root()),))
