"""Timestamps by `openssl ts`, verified offline at their own instant."""

import asyncio
import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.anchors.config import AnchorsConfig
from gateway.anchors.kinds import Anchor, AnchorRefusedError, AnchorUnavailableError, Note
from mifeng.audit.anchors import stamp
from mifeng.audit.anchors.pins import AnchorsDocument
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.audit.anchors.stamp import Authority
from mifeng.audit.verify import verify
from mifeng.errors import MalformedError, PeerError
from tests.harness.anchoring import Carrier, StampServer, stamp_server
from tests.unit.audit.made import Made, codes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StampServer]:
    """Return a running authority."""
    with stamp_server(tmp_path_factory.mktemp("stamp") / "tsa") as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StampServer]:
    """Return another authority."""
    with stamp_server(tmp_path_factory.mktemp("stamp") / "tsa") as running:
        yield running


@pytest.fixture
def log() -> Made:
    """Return a log of now: the authority's clock is this machine's."""
    made = Made(now=int(time.time()) - 60)
    made.work(3)
    return made


def anchor(server: StampServer, *, pinned: StampServer | None = None) -> Anchor:
    """Return an anchor from its configuration."""
    member: dict[str, object] = {"name": "tsa", "kind": "rfc3161", "url": server.url}
    if pinned:
        member |= {"certificate": str(pinned.certificate), "chain": [str(pinned.root)]}
    config = AnchorsConfig.model_validate({"directory": "unused", "members": [member]})
    return config.anchors()[0]


def document(server: StampServer, require: object = None) -> AnchorsDocument:
    """Return what an auditor pins."""
    trusted = {"name": "tsa", "kind": "rfc3161", "certificate": str(server.certificate)}
    trusted["chain"] = [str(server.root)]  # type: ignore[assignment]
    return AnchorsDocument.model_validate({"trusted": [trusted], "require": require})


def authority(server: StampServer) -> Authority:
    """Return the authority as pinned."""
    pin = document(server).pins(Path()).trusted["tsa"]
    assert isinstance(pin, Authority)
    return pin


async def test_a_checkpoint_is_stamped_and_verified_offline(
    server: StampServer, log: Made, tmp_path: Path
) -> None:
    """After two refusals of the authority, the record vouches with the authority's own time."""
    server.refuse = [503, 429]
    carrier = Carrier(tmp_path / "anchors", log.note)
    (data,) = await carrier.carry(anchor(server, pinned=server))
    pins = document(server, {"count": 1, "within_s": 1}).pins(tmp_path)
    path = log.pack(tmp_path / "pack.zip", anchors=[data])
    report = verify(path, replace(log.trust, anchors=pins), now=log.now + 120)
    assert report.stands
    (anchored,) = report.anchors
    assert anchored.vouches
    assert anchored.at is not None
    assert abs(anchored.at - time.time()) < 120


def test_an_entry_dated_after_its_timestamp_is_found(server: StampServer, tmp_path: Path) -> None:
    """A log written later than the authority saw it cannot have been seen."""
    log = Made(now=int(time.time()) + 7200)
    log.work(1)
    carrier = Carrier(tmp_path / "anchors", log.note)
    (data,) = asyncio.run(carrier.carry(anchor(server)))
    path = log.pack(tmp_path / "pack.zip", anchors=[data])
    trust = replace(log.trust, anchors=document(server).pins(tmp_path))
    assert "time.after-anchor" in codes(verify(path, trust, now=log.now))


def test_another_authority_or_note_is_refused(
    server: StampServer, other: StampServer, log: Made
) -> None:
    """The pinned certificate counts, the imprint counts, and so does the certificate's life."""
    note = Note.of(log.note())
    made = anchor(server)
    record = AnchorRecord(
        kind="rfc3161",
        name="tsa",
        note=note.data,
        at=0,
        proof=made.submit(note, made.prepare(note, b"")),
    )
    response = stamp.response_of(record)
    stamp.verify(response, note.data, authority(server))
    with pytest.raises(PeerError):
        stamp.verify(response, note.data, authority(other))
    with pytest.raises(PeerError):
        stamp.verify(response, log.note(3), authority(server))
    for at in range(0, len(response), 3):
        bent = bytearray(response)
        bent[at] ^= 1
        try:
            instant = stamp.verify(bytes(bent), note.data, authority(server))
        except PeerError:
            continue
        assert instant == stamp.verify(response, note.data, authority(server))
    with pytest.raises(MalformedError):
        stamp.verify(b"\x30\x00", note.data, authority(server))


def read(data: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each element that stands in DER one after another."""
    found, at = [], 0
    while at < len(data):
        tag, size, start = data[at], data[at + 1], at + 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[at + 2 : start], "big")
        at = start + size
        found.append((tag, data[start:at]))
    return found


def written(tag: int, content: bytes) -> bytes:
    """Return one element of DER."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def bringing(response: bytes, certificate: bytes) -> bytes:
    """Return an answer whose token brings a certificate along: no signature covers that."""
    ((_, body),) = read(response)
    status, (_, token) = read(body)
    kind, (_, content) = read(token)
    ((_, signed),) = read(content)
    parts = read(signed)
    parts.insert(3, (0xA0, certificate))
    signed = written(0x30, b"".join(written(*part) for part in parts))
    token = written(0x30, written(*kind) + written(0xA0, signed))
    return written(0x30, written(*status) + token)


def test_a_certificate_that_a_token_brings_does_not_stop_the_auditor(
    server: StampServer, log: Made, tmp_path: Path
) -> None:
    """Whoever hands the pack on may put any certificate into a token, also one of no version."""
    note = Note.of(log.note())
    made = anchor(server)
    response = made.submit(note, made.prepare(note, b""))["response"]
    good = authority(server).certificate.public_bytes(Encoding.DER)
    version = b"\xa0\x03\x02\x01\x02"
    assert version in good
    raw = base64.b64decode(str(response))
    stamp.verify(bringing(raw, good), note.data, authority(server))
    bent = bringing(raw, good.replace(version, b"\xa0\x03\x02\x01\x09", 1))
    with pytest.raises(MalformedError):
        stamp.verify(bent, note.data, authority(server))
    record = AnchorRecord(
        kind="rfc3161", name="tsa", note=note.data, at=0, proof=stamp.document(bent)
    )
    path = log.pack(tmp_path / "pack.zip", anchors=[record.encode()])
    trust = replace(log.trust, anchors=document(server).pins(tmp_path))
    assert "anchor.malformed" in codes(verify(path, trust, now=log.now + 120))


def test_the_gateway_keeps_no_timestamp_it_cannot_verify(
    server: StampServer, other: StampServer, log: Made
) -> None:
    """With the authority pinned, another one's answer is refused; so is an answer to another."""
    note = Note.of(log.note())
    made = anchor(server, pinned=other)
    with pytest.raises(AnchorRefusedError):
        made.submit(note, made.prepare(note, b""))
    plain = anchor(server)
    ticket = plain.prepare(Note.of(log.note(3)), b"")
    with pytest.raises(AnchorUnavailableError):
        plain.submit(note, ticket)
    server.refuse = [404]
    with pytest.raises(AnchorUnavailableError):
        plain.submit(note, plain.prepare(note, b""))
