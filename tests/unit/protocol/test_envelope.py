"""The envelope: whose key opens it, what is refused unread, what answers are bound to."""

from dataclasses import replace

import pytest

from mifeng.crypto import sm3
from mifeng.crypto.suites import SUITES, Suite
from mifeng.errors import EnvelopeRejectedError, MalformedError, StreamRejectedError
from mifeng.protocol.envelope import (
    OpenedRequest,
    ResponseOpen,
    SealedRequest,
    encapsulate,
    open_request,
    seal,
)
from mifeng.protocol.stream import FrameType
from tests.harness import samples

ALL = pytest.mark.parametrize("suite", list(SUITES.values()), ids=lambda suite: suite.name)
NOW = 1_800_000_002


def exchange(suite: Suite) -> tuple[SealedRequest, OpenedRequest]:
    """Return both ends of one request."""
    key = suite.generate()
    ct, ss = encapsulate(suite.id, key.public_bytes)
    header = replace(samples.header(), suite=suite.id, ct=ct)
    sealed = seal(header, public=key.public_bytes, ss=ss)
    return sealed, open_request(sealed.header, sealed.commitment, key=key)


@ALL
def test_both_directions(suite: Suite) -> None:
    """The node opens what the client sealed, and the other way round."""
    client, node = exchange(suite)
    assert (node.h, node.header.encode()) == (client.h, client.header)
    assert node.frames.open(client.frames.seal(FrameType.DATA, b"ask", final=True)).data == b"ask"
    answer, sealer = node.seal_response(now=NOW)
    decoded = ResponseOpen.decode(answer.encode())
    assert decoded == answer
    opener = client.open_response(decoded)
    assert opener.open(sealer.seal(FrameType.DATA, b"answer", final=True)).data == b"answer"


@ALL
def test_the_wrong_key_or_commitment_opens_nothing(suite: Suite) -> None:
    """One error for another key, another commitment, and one of another length."""
    key, other = suite.generate(), suite.generate()
    ct, ss = encapsulate(suite.id, key.public_bytes)
    header = replace(samples.header(), suite=suite.id, ct=ct)
    sealed = seal(header, public=key.public_bytes, ss=ss)
    bent = bytes([sealed.commitment[0] ^ 1]) + sealed.commitment[1:]
    for commitment, used in (
        (sealed.commitment, other),
        (bent, key),
        (b"", key),
        (sealed.commitment + b"\0", key),
    ):
        with pytest.raises(EnvelopeRejectedError, match="does not open"):
            open_request(sealed.header, commitment, key=used)


@ALL
def test_the_header_and_the_key_must_be_of_one_suite(suite: Suite) -> None:
    """An unknown suite, a key of another one, an encapsulation of another length."""
    key = suite.generate()
    ct, _ = encapsulate(suite.id, key.public_bytes)
    other = next(each for each in SUITES if each != suite.id)
    for changes in (
        {"suite": 0x7777, "ct": ct},
        {"suite": other, "ct": ct},
        {"suite": other, "ct": bytes(SUITES[other].ct_bytes)},
        {"suite": suite.id, "ct": ct + b"\0"},
        {"suite": suite.id, "ct": ct[:-1]},
    ):
        header = replace(samples.header(), **changes)  # type: ignore[arg-type]
        with pytest.raises(EnvelopeRejectedError):
            open_request(header.encode(), bytes(32), key=key)


def test_a_header_that_does_not_parse_is_said_to_be_malformed() -> None:
    """It is public, so this tells nobody anything."""
    with pytest.raises(MalformedError):
        open_request(b"\1", bytes(32), key=SUITES[1].generate())


def test_an_encapsulation_to_nobody_is_rejected_like_any_other() -> None:
    """A point off the curve gives the same error as a wrong key."""
    header = replace(samples.header(), suite=1, ct=b"\4" + bytes(128))
    with pytest.raises(EnvelopeRejectedError):
        open_request(header.encode(), bytes(32), key=SUITES[1].generate())


def test_every_part_of_an_answers_opening_counts() -> None:
    """Another time, salt, commitment or request, and the client refuses it."""
    client, node = exchange(SUITES[1])
    answer, _ = node.seal_response(now=NOW)
    for changes in (
        {"h": sm3(answer.h)},
        {"created": NOW + 1},
        {"salt": bytes(32)},
        {"commitment": bytes(32)},
    ):
        with pytest.raises(StreamRejectedError):
            client.open_response(replace(answer, **changes))


def test_a_node_cannot_answer_under_another_requests_name() -> None:
    """Even with keys derived and committed to for that name."""
    client, node = exchange(SUITES[1])
    blank = ResponseOpen(sm3(node.h), NOW, bytes(32), bytes(32))
    _, _, commitment = node._secret.response(node.header.keyset_digest, blank)
    with pytest.raises(StreamRejectedError):
        client.open_response(replace(blank, commitment=commitment))


def test_each_answer_has_its_own_salt() -> None:
    """Two openings of one request never share keys."""
    _, node = exchange(SUITES[1])
    first, second = (node.seal_response(now=NOW)[0] for _ in range(2))
    assert first.salt != second.salt
    assert first.commitment != second.commitment


def test_an_opening_of_another_version_is_refused() -> None:
    """There is one version."""
    data = ResponseOpen(bytes(32), NOW, bytes(32), bytes(32)).encode()
    for wrong in (b"\2" + data[1:], data[:-1], data + b"\0"):
        with pytest.raises(MalformedError):
            ResponseOpen.decode(wrong)
