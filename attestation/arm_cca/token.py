"""The CCA token: a platform token and a realm token in one collection, split into claims.

Source: Arm RMM specification 1.0 (DEN0137) §A7.2; draft-ffm-rats-cca-token; checked against
tokens of TF-RMM and of other verifiers' test suites.
"""

from dataclasses import dataclass
from typing import Final

from attestation.aws_nitro import cbor
from attestation.aws_nitro.cbor import Cbor, Tagged
from attestation.cose import sign1
from attestation.cose.sign1 import Sign1
from attestation.errors import malformed

from .claims_map import HASH_SIZES, ClaimsMap

MAX_SIZE: Final = 1 << 16
COLLECTION_TAGS: Final = frozenset({399, 907})
"""EAT collection; conceptual message wrapper of newer drafts."""
PLATFORM: Final = 44234
REALM: Final = 44241
_CODE: Final = "arm-cca"

PROFILE: Final = 265
PLATFORM_PROFILES: Final = frozenset(
    {"http://arm.com/CCA-SSD/1.0.0", "tag:arm.com,2023:cca_platform#1.0.0"}
)
REALM_PROFILE: Final = "tag:arm.com,2023:realm#1.0.0"
CHALLENGE: Final = 10
CHALLENGE_SIZE: Final = 64
_INSTANCE_ID: Final = 256
_LIFECYCLE: Final = 2395
_IMPLEMENTATION_ID: Final = 2396
_SW_COMPONENTS: Final = 2399
_SERVICE: Final = 2400
_CONFIG: Final = 2401
_PLATFORM_HASH: Final = 2402
_UEID_RANDOM: Final = 0x01
_MAX_LIFECYCLE: Final = 0x60FF
_PERSONALIZATION: Final = 44235
_REALM_HASH: Final = 44236
_REALM_KEY: Final = 44237
_RIM: Final = 44238
_REM: Final = 44239
_KEY_HASH: Final = 44240
_REMS: Final = 4
_MAX_WRAPPED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One measured part of the platform's software."""

    kind: str | None
    value: bytes
    version: str | None
    signer: bytes
    hash_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Claims of the platform token, not believed."""

    profile: str
    challenge: bytes
    implementation_id: bytes
    instance_id: bytes
    config: bytes
    lifecycle: int
    components: tuple[Component, ...]
    service: str | None
    hash_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """Claims of a realm (or confidential virtual machine) token, not believed."""

    challenge: bytes
    personalization: bytes
    hash_name: str
    key: bytes
    """As the claim has it: what the platform's challenge is the hash of."""

    key_hash_name: str
    rim: bytes
    rems: tuple[bytes, ...]


def split(raw: bytes, *, code: str) -> tuple[bytes | None, bytes]:
    """Return platform token (None if absent) and realm token of one collection.

    Raises:
        EvidenceMalformedError: not a collection of these two (codes `<code>.*`).
    """
    if len(raw) > MAX_SIZE:
        raise malformed(f"{code}.size", "token", f"<= {MAX_SIZE} bytes", len(raw))
    outer = cbor.decode(raw, what="token", code=code)
    if isinstance(outer, Tagged) and outer.tag in COLLECTION_TAGS:
        outer = outer.value
    if not isinstance(outer, dict) or REALM not in outer:
        raise malformed(f"{code}.collection", "token", "a map with a realm token", "none")
    platform = outer.get(PLATFORM)
    return (
        None if platform is None else _member(platform, code=code),
        _member(outer[REALM], code=code),
    )


def _member(value: Cbor, *, code: str) -> bytes:
    """Return a token's bytes, alone or as `[media type, bytes, …]`."""
    if isinstance(value, list) and 1 < len(value) <= _MAX_WRAPPED:
        value = value[1]
    if not isinstance(value, bytes):
        raise malformed(f"{code}.collection", "token member", "bytes", type(value).__name__)
    return value


def parse(raw: bytes) -> tuple[Sign1, Platform, Sign1, Realm]:
    """Split both tokens and all their claims.

    Raises:
        EvidenceMalformedError: a token is missing, or a claim is of another type or size (codes
            `arm-cca.*`).
    """
    platform_raw, realm_raw = split(raw, code=_CODE)
    if platform_raw is None:
        raise malformed(f"{_CODE}.collection", "token", "a platform token", "none")
    platform = sign1.parse(platform_raw, what="platform token", code=f"{_CODE}.platform")
    realm = sign1.parse(realm_raw, what="realm token", code=f"{_CODE}.realm")
    return (
        platform,
        parse_platform(platform.payload, code=f"{_CODE}.platform"),
        realm,
        parse_realm(realm.payload, code=f"{_CODE}.realm"),
    )


def parse_platform(payload: bytes, *, code: str) -> Platform:
    """Return the claims of a platform token's payload; raises as `parse`."""
    claims = ClaimsMap.decode(payload, what="platform", code=code)
    profile = claims.text(PROFILE)
    if profile not in PLATFORM_PROFILES:
        raise claims.bad(PROFILE, " or ".join(sorted(PLATFORM_PROFILES)))
    instance_id = claims.bytes(_INSTANCE_ID, (33,))
    if instance_id[0] != _UEID_RANDOM:
        raise claims.bad(_INSTANCE_ID, "a random UEID")
    components = claims.array(_SW_COMPONENTS)
    if not components:
        raise claims.bad(_SW_COMPONENTS, "at least one component")
    return Platform(
        profile=profile,
        challenge=claims.bytes(CHALLENGE, HASH_SIZES),
        implementation_id=claims.bytes(_IMPLEMENTATION_ID, (32,)),
        instance_id=instance_id,
        config=claims.bytes(_CONFIG),
        lifecycle=claims.number(_LIFECYCLE, most=_MAX_LIFECYCLE),
        components=tuple(_component(each, code=code) for each in components),
        service=claims.text(_SERVICE) if _SERVICE in claims.table else None,
        hash_name=claims.hash_name(_PLATFORM_HASH),
    )


def _component(value: Cbor, *, code: str) -> Component:
    claims = ClaimsMap.of(value, what="software component", code=code)
    return Component(
        kind=claims.text(1) if 1 in claims.table else None,
        value=claims.bytes(2, HASH_SIZES),
        version=claims.text(4) if 4 in claims.table else None,  # noqa: PLR2004 - the label
        signer=claims.bytes(5, HASH_SIZES),
        hash_name=claims.hash_name(6) if 6 in claims.table else None,  # noqa: PLR2004
    )


def parse_realm(payload: bytes, *, code: str) -> Realm:
    """Return the claims of a realm token's payload; raises as `parse`."""
    claims = ClaimsMap.decode(payload, what="realm", code=code)
    if PROFILE in claims.table and claims.text(PROFILE) != REALM_PROFILE:
        raise claims.bad(PROFILE, REALM_PROFILE)
    rems = ClaimsMap(dict(enumerate(claims.array(_REM))), "realm REM", code)
    if len(rems.table) != _REMS:
        raise claims.bad(_REM, f"{_REMS} values")
    return Realm(
        challenge=claims.bytes(CHALLENGE, (CHALLENGE_SIZE,)),
        personalization=claims.bytes(_PERSONALIZATION, (64,)),
        hash_name=claims.hash_name(_REALM_HASH),
        key=claims.bytes(_REALM_KEY),
        key_hash_name=claims.hash_name(_KEY_HASH),
        rim=claims.bytes(_RIM, HASH_SIZES),
        rems=tuple(rems.bytes(index, HASH_SIZES) for index in range(_REMS)),
    )
