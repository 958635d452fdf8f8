"""Many at once is one by one, with any provider: same results, same refusals, entry by entry."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from mifeng.crypto import KeyFormatError, sm2_many
from mifeng.crypto.errors import CryptoError
from mifeng.crypto.signatures import SIGN_ALGS, SigningKey, failing
from mifeng.crypto.suites import SUITES, Suite

if TYPE_CHECKING:
    from types import ModuleType

SIZES = (0, 1, 2, 3, 7, 8, 9, 16, 19)
"""Around what lanes take, and around where they begin to pay."""


class Many:
    """The four operations of one provider: its own batches, or the loops for those without."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.sign: Any = getattr(module, "sm2_sign_batch", sm2_many._sign)
        self.verify: Any = getattr(module, "sm2_verify_batch", sm2_many._verify)
        self.encrypt: Any = getattr(module, "sm2_encrypt_batch", sm2_many._encrypt)
        self.decrypt: Any = getattr(module, "sm2_decrypt_batch", sm2_many._decrypt)


@pytest.fixture
def many(sm2_provider: ModuleType) -> Many:
    """Return each provider."""
    return Many(sm2_provider)


@pytest.mark.parametrize("count", SIZES)
def test_signatures_are_those_of_their_digests(many: Many, count: int) -> None:
    """Each signature verifies over its own digest and no other; nonces differ."""
    key = many.module.Sm2PrivateKey.generate()
    public = key.public_key()
    digests = [bytes([at]) * 32 for at in range(count)]
    made = many.sign(key, digests)
    assert len(set(made)) == count
    for signature, digest in zip(made, digests, strict=True):
        public.verify_digest(signature, digest)
    entries = [(public, signature, digest) for signature, digest in zip(made, digests, strict=True)]
    assert many.verify(entries) == [True] * count


def test_a_bad_signature_is_named(many: Many) -> None:
    """Of nineteen, the bent, the short and the swapped ones fail, and no other."""
    keys = [many.module.Sm2PrivateKey.generate() for _ in range(3)]
    digests = [bytes([at]) * 32 for at in range(19)]
    entries = [
        (keys[at % 3].public_key(), keys[at % 3].sign_digest(digest), digest)
        for at, digest in enumerate(digests)
    ]
    entries[4] = (entries[4][0], bytes(64), digests[4])
    entries[9] = (entries[9][0], entries[9][1][:63], digests[9])
    entries[17] = (entries[17][0], entries[18][1], digests[17])
    verdicts = many.verify(entries)
    assert [at for at, good in enumerate(verdicts) if not good] == [4, 9, 17]


def test_digests_of_another_length_are_the_callers_mistake(many: Many) -> None:
    """31 bytes are a ValueError in any place, signing and verifying."""
    key = many.module.Sm2PrivateKey.generate()
    with pytest.raises(ValueError, match="32"):
        many.sign(key, [bytes(32), bytes(31)])
    with pytest.raises(ValueError, match="32"):
        many.verify([(key.public_key(), bytes(64), bytes(31))])


@pytest.mark.parametrize("count", SIZES)
def test_ciphertexts_open_and_a_spoilt_one_is_none(many: Many, count: int) -> None:
    """Each opens to its own plaintext; one that is spoilt opens to None and spoils no other."""
    key = many.module.Sm2PrivateKey.generate()
    texts = [bytes([at + 1]) * (at + 1) for at in range(count)]
    sent = many.encrypt([(key.public_key(), text) for text in texts])
    assert [key.decrypt(each) for each in sent] == texts
    assert many.decrypt(key, sent) == texts
    seed = random.Random(count)
    for wrong in range(count):
        spoilt = list(sent)
        at = seed.randrange(len(sent[wrong]))
        bent = bytearray(sent[wrong])
        bent[at] ^= 1 << seed.randrange(8)
        spoilt[wrong] = seed.choice([bytes(bent), b"", sent[wrong][:97]])
        expected = [None if place == wrong else text for place, text in enumerate(texts)]
        assert many.decrypt(key, spoilt) == expected


def test_an_empty_plaintext_is_the_callers_mistake(many: Many) -> None:
    """As for a single call."""
    public = many.module.Sm2PrivateKey.generate().public_key()
    with pytest.raises(ValueError, match="at least one byte"):
        many.encrypt([(public, b"x"), (public, b"")])


@pytest.mark.parametrize("alg", SIGN_ALGS)
@pytest.mark.parametrize("count", SIZES)
def test_signing_keys_sign_many(alg: str, count: int) -> None:
    """Each signature is one `verify` accepts; `failing` names exactly what it refuses."""
    key = SigningKey.generate(alg)
    messages = [b"message %d" % at * at for at in range(count)]
    made = key.sign_many(messages)
    entries = [
        (key.verify_key(), signature, message)
        for signature, message in zip(made, messages, strict=True)
    ]
    for verify_key, signature, message in entries:
        verify_key.verify(signature, message)
    assert failing(entries) == []


def test_failing_names_places_across_algorithms() -> None:
    """Places count over the whole list, whichever algorithm failed there."""
    keys = [SigningKey.generate(alg) for alg in ("sm2", "p256", "sm2", "p256")]
    entries = [
        (keys[at % 4].verify_key(), keys[at % 4].sign(b"%d" % at), b"%d" % at) for at in range(12)
    ]
    for wrong in (2, 5, 11):
        entries[wrong] = (*entries[wrong][:2], b"other")
    entries[8] = (entries[8][0], b"", entries[8][2])
    assert failing(entries) == [2, 5, 8, 11]


@pytest.fixture(params=SUITES.values(), ids=lambda suite: suite.name)
def suite(request: pytest.FixtureRequest) -> Suite:
    """Return each suite."""
    chosen: Suite = request.param
    return chosen


@pytest.mark.parametrize("count", SIZES)
def test_many_encapsulations_are_as_many_secrets(suite: Suite, count: int) -> None:
    """All differ; each opens alone and with the others to its own secret."""
    key = suite.generate()
    pairs = suite.encap_many(key.public_bytes, count)
    assert len({ss for _, ss in pairs}) == len({ct for ct, _ in pairs}) == count
    assert all(len(ct) == suite.ct_bytes for ct, _ in pairs)
    assert [suite.decap(key, ct) for ct, _ in pairs] == [ss for _, ss in pairs]
    assert suite.decap_many(key, [ct for ct, _ in pairs]) == [ss for _, ss in pairs]


def test_one_bad_encapsulation_fails_alone(suite: Suite) -> None:
    """Of another length, or zero: None in its place, the secrets of the others in theirs."""
    key = suite.generate()
    pairs = suite.encap_many(key.public_bytes, 9)
    cts: list[bytes] = [ct for ct, _ in pairs]
    cts[2], cts[7] = cts[2][:-1], bytes(suite.ct_bytes)
    found = suite.decap_many(key, cts)
    assert [at for at, each in enumerate(found) if each is None] == [2, 7]
    assert all(found[at] == pairs[at][1] for at in range(9) if at not in {2, 7})


def test_keys_of_another_suite_are_refused(suite: Suite) -> None:
    """As for a single call, before anything is opened."""
    other = next(each for each in SUITES.values() if each.id != suite.id)
    with pytest.raises(CryptoError, match="another suite"):
        suite.decap_many(other.generate(), [bytes(suite.ct_bytes)])
    with pytest.raises(KeyFormatError):
        suite.encap_many(bytes(suite.public_key_bytes), 3)
