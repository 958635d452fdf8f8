"""Signed notes: the specification's example, four signature types, every byte counted."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, PeerError, UsageError
from mifeng.protocol import note
from mifeng.protocol.note import (
    Cosigner,
    Ed25519NoteSigner,
    NoteKey,
    NoteSigner,
    SignatureType,
    Sm2NoteSigner,
)
from tests.unit.protocol.bend import bent

# c2sp.org/signed-note, "Example".
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXm"
    "RKuwHjG1Yu72IneyaQM=\n"
).encode()
# c2sp.org/signed-note, "Note": only its form, the key is not given.
POEM = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0\
xMcXxj99ihAQwaqP3ZekRwNtIc=
""".encode()

TEXT = b"log.example\n1\nAAAA\n"
SM2_KEY = SigningKey.generate("sm2")
ED_KEY = Ed25519PrivateKey.generate()
SIGNERS: tuple[NoteSigner, ...] = (
    Sm2NoteSigner("log.example", SM2_KEY),
    Ed25519NoteSigner("log.example", ED_KEY),
    Cosigner("witness.example", ED_KEY, 1_700_000_000),
    Cosigner("witness.example", SM2_KEY, 1_700_000_000),
)
EACH = pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.key.type.name)


def test_the_specifications_example_verifies() -> None:
    """The verifier key and the signed note printed in the specification agree."""
    key = NoteKey.decode(EXAMPLE_KEY)
    assert (key.name, key.type, key.key_id.hex()) == (
        "example.com/foo",
        SignatureType.ED25519,
        "530d903a",
    )
    assert key.encode() == EXAMPLE_KEY
    parsed = note.parse(EXAMPLE_NOTE)
    assert [line.key for line in note.verify(parsed, [key])] == [key]
    assert parsed.text == b"This is an example message.\n"


def test_text_may_hold_empty_lines() -> None:
    """The text ends at the last empty line, as in the specification's poem."""
    parsed = note.parse(POEM)
    assert parsed.text.endswith("ed è subito sera.\n".encode())
    assert parsed.signatures[0].name == "quasimodo.example/salvatore"
    assert parsed.encode() == POEM


@EACH
def test_each_type_signs_and_verifies(signer: NoteSigner) -> None:
    """A line by any of the four types verifies under its verifier key."""
    signed = note.sign(TEXT, [signer])
    (line,) = note.verify(note.parse(signed), [NoteKey.decode(signer.key.encode())])
    assert line.key == signer.key
    assert line.time == (1_700_000_000 if signer.key.type.timestamped else None)


@EACH
def test_every_bent_byte_of_a_note_is_refused(signer: NoteSigner) -> None:
    """Text, name, key id and signature: nothing can change."""
    valid = note.sign(TEXT, [signer])
    for wrong in bent(valid):
        with pytest.raises(PeerError):
            note.verify(note.parse(wrong), [signer.key])


@EACH
def test_every_bent_character_of_a_verifier_key_is_refused_or_another_key(
    signer: NoteSigner,
) -> None:
    """A mistyped pin is noticed by its key id."""
    valid = signer.key.encode().encode()
    for wrong in bent(valid):
        try:
            text = wrong.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(MalformedError):
            NoteKey.decode(text)


def test_types_do_not_stand_in_for_each_other() -> None:
    """One key under four types has four key ids, and a signature counts as its own type only."""
    assert len({signer.key.key_id for signer in SIGNERS}) == len(SIGNERS)
    for signer in SIGNERS:
        signed = note.parse(note.sign(TEXT, [signer]))
        for other in SIGNERS:
            if other is not signer:
                with pytest.raises(PeerError):
                    note.verify(signed, [other.key])


def test_unknown_lines_are_skipped_and_pinned_ones_must_verify() -> None:
    """A stranger's line is ignored; a bad line by a pinned key refuses the whole note."""
    log, twin, witness, _ = SIGNERS
    signed = note.parse(note.sign(TEXT, SIGNERS))
    assert [line.key for line in note.verify(signed, [witness.key])] == [witness.key]
    assert len(note.verify(signed, [signer.key for signer in SIGNERS])) == len(SIGNERS)
    forged = note.add(note.Note(text=b"other\n", signatures=()), [twin]).signatures
    mixed = note.Note(text=TEXT, signatures=(*signed.signatures[:1], *forged))
    assert note.verify(mixed, [log.key])[0].key == log.key
    with pytest.raises(PeerError):
        note.verify(mixed, [log.key, twin.key])


def test_a_key_that_signed_twice_is_refused() -> None:
    """Two lines by one pinned key are never two votes."""
    log = SIGNERS[0]
    signed = note.parse(note.sign(TEXT, [log, log]))
    with pytest.raises(MalformedError):
        note.verify(signed, [log.key])


def test_a_cosignature_is_over_time_and_text() -> None:
    """The cosigned message is the one tlog-cosignature prints."""
    body = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert note.cosigned_message(body, 1679315147) == (b"cosignature/v1\ntime 1679315147\n" + body)


def test_a_cosignatures_time_cannot_change() -> None:
    """Moving the timestamp of a cosignature breaks it; an absurd one is malformed."""
    signer = SIGNERS[2]
    good = note.parse(note.sign(TEXT, [signer])).signatures[0]
    for time in (1_700_000_001, 2**53, 2**64 - 1):
        blob = time.to_bytes(8, "big") + good.blob[8:]
        line = note.Signature(name=good.name, key_id=good.key_id, blob=blob)
        with pytest.raises(PeerError):
            note.verify(note.Note(text=TEXT, signatures=(line,)), [signer.key])


@EACH
def test_a_pinned_keys_signature_of_another_length_is_malformed(signer: NoteSigner) -> None:
    """One byte more or less than the type says is no signature."""
    good = note.parse(note.sign(TEXT, [signer])).signatures[0]
    for blob in (good.blob[:-1], good.blob + b"\0", good.blob[:3]):
        line = note.Signature(name=good.name, key_id=good.key_id, blob=blob)
        with pytest.raises(MalformedError):
            note.verify(note.Note(text=TEXT, signatures=(line,)), [signer.key])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"\n\n",
        b"\n" + "— a AAAAAAA=\n".encode(),
        b"t\r\n\n" + "— a AAAAAAA=\n".encode(),
        b"t\xff\n\n" + "— a AAAAAAA=\n".encode(),
        b"t\n\n" + b"- a AAAAAAA=\n",
        b"t\n\n" + "—  a AAAAAAA=\n".encode(),
        b"t\n\n" + "— a AAAAAAA=".encode(),
        b"t\n\n" + "— a AAAAAAA= \n".encode(),
        b"t\n\n" + "— a+b AAAAAAA=\n".encode(),
        b"t\n\n" + "— a\u2003b AAAAAAA=\n".encode(),
        b"t\n\n" + "— a AAAAAA==\n".encode(),
        b"t\n\n" + "— a AAAAAAB=\n".encode(),
        b"t\n\n" + "— a \n".encode(),
        b"t\n\n" + "— a AAAAAAA=\n".encode() * (note.MAX_SIGNATURES + 1),
        b"t\n\n\xff\n",
        b"t" * note.MAX_NOTE + b"\n\n" + "— a AAAAAAA=\n".encode(),
    ],
)
def test_other_spellings_are_malformed(data: bytes) -> None:
    """Missing parts, control characters, slack base64 and too much of anything are refused."""
    with pytest.raises(MalformedError):
        note.parse(data)


def test_the_shape_these_differ_from_parses() -> None:
    """The table above is refused for what each row changes."""
    data = b"t\n\n" + "— a AAAAAAA=\n".encode() * note.MAX_SIGNATURES
    assert note.parse(data).encode() == data


@given(data=st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_parse_is_total_and_canonical(data: bytes) -> None:
    """Any bytes are malformed, or the one encoding of what they parse to."""
    for candidate in (data, b"t\n\n" + data, b"t\n\n" + "— ".encode() + data + b"\n"):
        try:
            assert note.parse(candidate).encode() == candidate
        except MalformedError:
            continue


@given(text=st.text(max_size=60))
def test_verifier_keys_are_total_and_canonical(text: str) -> None:
    """Any string is malformed, or the one encoding of a key."""
    for candidate in (text, EXAMPLE_KEY + text, text + EXAMPLE_KEY):
        try:
            assert NoteKey.decode(candidate).encode() == candidate
        except MalformedError:
            continue


@pytest.mark.parametrize(
    "key",
    ["a", "a++", "a+00000000+AA==", "a b" + EXAMPLE_KEY[15:], "x" * 300 + EXAMPLE_KEY[15:]],
)
def test_other_verifier_keys_are_malformed(key: str) -> None:
    """Unknown types, bad names and key ids of another name are refused."""
    with pytest.raises(MalformedError):
        NoteKey.decode(key)


def test_impossible_notes_are_the_callers_fault() -> None:
    """Control characters, no newline, no signer, odd names and lengths are usage errors."""
    with pytest.raises(UsageError):
        note.sign(b"a\tb\n", SIGNERS)
    with pytest.raises(UsageError):
        note.sign(b"a", SIGNERS)
    with pytest.raises(UsageError):
        note.sign(TEXT, [])
    with pytest.raises(UsageError):
        NoteKey(name="a+b", type=SignatureType.ED25519, public=bytes(32))
    with pytest.raises(UsageError):
        NoteKey(name="a", type=SignatureType.SM2, public=bytes(64))
    with pytest.raises(UsageError):
        Cosigner("w", ED_KEY, -1).sign(TEXT)
