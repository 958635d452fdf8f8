"""Arm CCA: from the bytes of a token to claims.

It proves which realm runs on which platform firmware, if the platform's key is what the caller
says it is. The realm's key is certified by nothing but the platform token's challenge: without
that link a realm token proves nothing.

Source: Arm RMM specification 1.0 §A7.2; docs/attestation/arm-cca.md.
"""

from hmac import compare_digest
from typing import Final

from attestation.claims import Claims, Tier
from attestation.cose import keys, sign1
from attestation.errors import Finding, malformed, untrusted, unverified
from attestation.evidence import Collateral, EvidenceKind, Role

from .claims_map import HASHES
from .endorsement import Endorsement, load
from .token import Platform, Realm, parse

_CODE: Final = "arm-cca"
NO_END: Final = (1 << 63) - 1
"""A key the caller vouches for has no expiry of its own."""
_SECURED: Final = range(0x3000, 0x3100)
_DEBUG: Final = range(0x4000, 0x5100)
"""Debug of the platform, recoverable or not."""


class ArmCcaVerifier:
    """Verifies tokens under platform keys that the caller vouches for."""

    def __init__(self, roots: tuple[()]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`; nothing in this format depends on `now`.

        Collateral: `cpak`, the platform's public key (JWK, PEM, DER, or a list by platform).
        """
        del now
        # (1) Parse everything, before anything is believed.
        platform_token, platform, realm_token, realm = parse(raw)
        endorsements: list[Endorsement] = []
        for role, data in collateral.items:
            if role is not Role.CPAK:
                raise malformed(f"{_CODE}.collateral", "collateral role", "cpak", role)
            endorsements += load(data)

        # (2) Link: the realm token is signed by a key that the platform token names.
        realm_key = keys.token_key(realm.key, what="realm key", code=f"{_CODE}.realm")
        sign1.verify(realm_token, realm_key, what="realm token", code=f"{_CODE}.realm")
        expected = HASHES[realm.key_hash_name](realm.key).digest()
        if not compare_digest(expected, platform.challenge):
            found = platform.challenge.hex()
            raise untrusted(f"{_CODE}.link", "platform challenge", expected.hex(), found)

        # (3) Authenticate the platform token.
        ids = (platform.implementation_id, platform.instance_id)
        fitting = [each for each in endorsements if each.covers(*ids)]
        if not fitting:
            found = f"{len(endorsements)} for other platforms"
            raise unverified(f"{_CODE}.cpak.missing", "platform key", "of this platform", found)
        signing = fitting[0]
        for each in fitting[1:]:
            if each.key.public_numbers() != signing.key.public_numbers():
                raise malformed(f"{_CODE}.cpak", "platform key", "one for this platform", "two")
        sign1.verify(platform_token, signing.key, what="platform token", code=f"{_CODE}.platform")

        # (4) Claims, with what is refused under every policy.
        return _claims(platform, realm)


def _claims(platform: Platform, realm: Realm) -> Claims:
    debug = platform.lifecycle in _DEBUG
    refused: tuple[Finding, ...] = ()
    if platform.lifecycle not in _SECURED:
        code = f"{_CODE}.debug" if debug else f"{_CODE}.lifecycle"
        found = f"{platform.lifecycle:#06x}"
        refused = (Finding(code, "platform lifecycle", "secured (0x30..)", found),)
    names: dict[str, bytes] = {}
    for index, component in enumerate(platform.components):
        name = f"platform:{component.kind or index}"
        names[name if name not in names else f"{name}:{index}"] = component.value
    return Claims(
        kind=EvidenceKind.ARM_CCA,
        report_data=realm.challenge,
        hardware_id=platform.instance_id.hex(),
        measurements={
            "rim": realm.rim,
            **{f"rem{index}": value for index, value in enumerate(realm.rems)},
            "rpv": realm.personalization,
            "platform_config": platform.config,
            **names,
        },
        debug=debug,
        tier=Tier.ENDORSED_BY_CALLER,
        valid_until=NO_END,
        details={
            "profile": platform.profile,
            "implementation_id": platform.implementation_id.hex(),
            "instance_id": platform.instance_id.hex(),
            "lifecycle": platform.lifecycle,
            "platform_hash": platform.hash_name,
            "realm_hash": realm.hash_name,
            "realm_key": realm.key.hex(),
            "service": platform.service,
            "sw_components": [
                {
                    "type": each.kind,
                    "value": each.value.hex(),
                    "version": each.version,
                    "signer": each.signer.hex(),
                    "hash": each.hash_name,
                }
                for each in platform.components
            ],
        },
        refused=refused,
    )
