"""Every CCA sample of the evidence collection: emulator tokens, and others' claims vectors."""

import binascii
import json
from base64 import b64decode
from pathlib import Path

import pytest

from attestation.arm_cca.token import parse_platform, parse_realm
from attestation.cose.keys import token_key
from attestation.errors import EvidenceMalformedError
from tests.harness.tee.nitro import encode
from tests.vendor.runner import DIRECTORY, Row, check, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".") / "arm-cca"


def cca(evidence: str, cpak: str | None, verdict: str, code: str, nonce: str | None = None) -> Row:
    """Return a row."""
    return Row(
        kind="arm-cca",
        evidence=f"arm-cca/{evidence}",
        at="2026-01-01T00:00:00Z",
        verdict=verdict,
        code=code,
        collateral=(("cpak", f"arm-cca/{cpak}"),) if cpak else (),
        nonce=nonce,
    )


TOKENS = ("trustee/cca-example-token.cbor", "secgear/cca-token-01.cbor", "veraison/cca_token.cbor")
ROWS = (
    *(
        cca(token, cpak, "accepted", "accepted")
        for token in TOKENS
        for cpak in ("trustee/cpak-pub.json", "secgear/cpak.json", "trustee/tastore.json")
    ),
    *(cca(token, None, "unverified", "arm-cca.cpak.missing") for token in TOKENS),
    cca(TOKENS[0], "trustee/rak-priv.json", "untrusted", "arm-cca.platform.signature"),
    cca(TOKENS[1], "secgear/cpak.json", "accepted", "accepted", nonce="ab" * 64),
    cca(TOKENS[1], "secgear/cpak.json", "untrusted", "binding.nonce", nonce="ab" * 32),
    cca("trustee/rvstore.json", None, "malformed", "arm-cca.container.json"),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_samples_get_their_verdict(row: Row) -> None:
    """Verdict, code and exit status; what is accepted is so on the caller's word only."""
    answer = check(row)
    if row.verdict == "accepted":
        assert answer["tier"] == "endorsed-by-caller"


def test_the_example_token_says_what_its_owners_say() -> None:
    """Software components of the example token are those of the published reference values."""
    claims = check(ROWS[0])["claims"]
    assert isinstance(claims, dict)
    store = json.loads((HOME / "trustee/rvstore.json").read_text())
    reference = {
        (each["component-type"], each["measurement-value"], each["signer-id"])
        for each in store["platform"][0]["sw-components"]
    }
    details = claims["details"]
    assert details["implementation_id"] == store["platform"][0]["implementation-id"]
    found = {(each["type"], each["value"], each["signer"]) for each in details["sw_components"]}
    assert found == reference


PLATFORM_LABELS = {
    "cca-platform-profile": 265,
    "cca-platform-challenge": 10,
    "cca-platform-implementation-id": 2396,
    "cca-platform-instance-id": 256,
    "cca-platform-config": 2401,
    "cca-platform-lifecycle": 2395,
    "cca-platform-sw-components": 2399,
    "cca-platform-service-indicator": 2400,
    "cca-platform-hash-algo-id": 2402,
}
REALM_LABELS = {
    "cca-realm-challenge": 10,
    "cca-realm-personalization-value": 44235,
    "cca-realm-hash-algo-id": 44236,
    "cca-realm-public-key": 44237,
    "cca-realm-initial-measurement": 44238,
    "cca-realm-extensible-measurements": 44239,
    "cca-realm-public-key-hash-algo-id": 44240,
}
COMPONENT_LABELS = {
    "measurement-type": 1,
    "measurement-value": 2,
    "version": 4,
    "signer-id": 5,
    "hash-algo-id": 6,
}
TEXTS = {1, 4, 6, 265, 2400, 2402, 44236, 44240}


def as_cbor(value: object, labels: dict[str, int], label: int = 0) -> object:
    """Return others' JSON claims in the encoding of a token."""
    if isinstance(value, dict):
        return {labels[k]: as_cbor(v, labels, labels[k]) for k, v in value.items() if k in labels}
    if isinstance(value, list):
        inner = COMPONENT_LABELS if label == 2399 else labels
        return [as_cbor(each, inner, label) for each in value]
    if isinstance(value, str) and label not in TEXTS:
        return b64decode(value, validate=True)
    return value


def vectors(folder: str) -> list[Path]:
    """Return the vectors of one folder."""
    return sorted((HOME / "veraison" / folder).glob("*.json")) if DIRECTORY else []


PLATFORMS, REALMS = vectors("platform-json"), vectors("realm-json")


@pytest.mark.parametrize("path", PLATFORMS, ids=lambda path: path.stem)
def test_platform_claims_are_judged_as_others_judge_them(path: Path) -> None:
    """Valid claims parse; what another implementation refuses, we refuse."""
    value = json.loads(path.read_text())
    if "valid-full" in path.name:
        payload = encode(as_cbor(value, PLATFORM_LABELS))
        assert parse_platform(payload, code="t").lifecycle == 0x3000
        return
    # One vector is wrong in its base64 already, before there is a claim to look at.
    with pytest.raises((EvidenceMalformedError, binascii.Error)):
        parse_platform(encode(as_cbor(value, PLATFORM_LABELS)), code="t")


@pytest.mark.parametrize("path", REALMS, ids=lambda path: path.stem)
def test_realm_claims_are_judged_as_others_judge_them(path: Path) -> None:
    """Valid claims parse; what another implementation refuses, we refuse."""
    payload = encode(as_cbor(json.loads(path.read_text()), REALM_LABELS))
    if "all-valid" in path.name:
        assert len(parse_realm(payload, code="t").challenge) == 64
        return
    with pytest.raises(EvidenceMalformedError):
        token_key(parse_realm(payload, code="t").key, what="key", code="t")
