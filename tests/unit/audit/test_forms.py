"""The quick reader of common entries takes a part of what the strict one takes, alike."""

import random

import pytest

from mifeng.audit import forms
from mifeng.protocol import dsse, entries, jsonc
from mifeng.protocol.receipt import MAX_STATEMENT_BYTES
from tests.fuzz.drive import mutate
from tests.unit.audit.fuzz import fuzz, same_completion, same_intent, same_receipt
from tests.unit.audit.made import Made


@pytest.fixture(scope="module")
def made() -> Made:
    """Return a log with some work in it."""
    made = Made()
    made.work(2)
    return made


def entry(made: Made, mark: bytes) -> bytes:
    """Return the first entry that has these bytes in it."""
    return next(data for data in made.source.log if mark in data)


def payload_of(made: Made) -> bytes:
    """Return the payload of a receipt."""
    done = entries.decode(entry(made, b'"type":"COMPLETION"'))
    assert isinstance(done, entries.Completion)
    return dsse.parse(done.receipt).payload


def test_what_an_honest_log_is_full_of_is_read_quickly(made: Made) -> None:
    """INTENT, COMPLETION and receipt are recognised, and mean the same to both readers."""
    assert same_intent(entry(made, b"vnd.mifeng.intent")) == "same"
    assert same_completion(entry(made, b'"type":"COMPLETION"')) == "same"
    assert same_receipt(payload_of(made)) == "same"


def test_every_byte_of_a_receipt_bent_is_read_alike(made: Made) -> None:
    """For each byte, each bit: refused or left by the quick reader, or the same to both."""
    payload = payload_of(made)
    found = {
        same_receipt(bytes((*payload[:at], payload[at] ^ 1 << bit, *payload[at + 1 :])))
        for at in range(len(payload))
        for bit in range(8)
    }
    assert found == {"same", "left to the strict reader"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"at":1', b'"at":01'),
        (b'"intent":', b'"intent":-'),
        (b'"v":1}', b'"v":1 }'),
        (b'"v":1}', b'"v":1}\n'),
        (b'"type":"COMPLETION"', b'"type":"\\u0043OMPLETION"'),
        (b'=="}]', b'"}]'),
    ],
)
def test_other_spellings_are_not_taken(made: Made, old: bytes, new: bytes) -> None:
    """Leading zeros, signs, blanks, escapes and short base64 are left to the strict reader."""
    data = entry(made, b'"type":"COMPLETION"')
    assert old in data
    assert forms.completion(data.replace(old, new)) is None


def test_base64_has_one_spelling(made: Made) -> None:
    """Bits that decoding would drop are not taken."""
    data = bytearray(entry(made, b'"type":"COMPLETION"'))
    at = data.rindex(b'=="}]') - 1
    data[at] = data[at] + 1 if data[at] not in b"Zz9" else data[at] - 1
    assert forms.completion(bytes(data)) is None


def test_a_receipt_longer_than_any_is_left_to_the_strict_reader(made: Made) -> None:
    """A name of thousands of letters among its usage, which fits into an entry all the same."""
    said = jsonc.loads(payload_of(made))
    assert isinstance(said, dict)
    payload = jsonc.dumps({**said, "usage": {"a" * MAX_STATEMENT_BYTES: 256}})
    assert forms.receipt(payload) is None
    same_receipt(payload)


def test_mutations_are_read_alike(made: Made) -> None:
    """Two thousand random edits of each; a longer run is `python -m tests.unit.audit.fuzz`."""
    chance = random.Random(3)
    cases = (
        (entry(made, b"vnd.mifeng.intent"), same_intent),
        (entry(made, b'"type":"COMPLETION"'), same_completion),
        (payload_of(made), same_receipt),
    )
    for valid, read in cases:
        for _ in range(2000):
            read(mutate(valid, chance))


def test_nothing_but_our_errors_comes_out_of_an_auditor() -> None:
    """A short run of the fuzzer over every parser of packs."""
    assert fuzz(400, 7) == 0
