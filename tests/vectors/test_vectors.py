"""The vector files: current, and right by a second implementation and by ours."""

import json
from pathlib import Path
from typing import Any

import pytest

import policies
from attestation.bundle import Freshness
from mifeng.crypto.signatures import VerifyKey
from mifeng.crypto.suites import SUITES
from mifeng.errors import MalformedError
from mifeng.protocol import checkpoint, entries, jsonc, promise, receipt
from mifeng.protocol.bodydigest import body_digest, salted
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.envelope import ResponseOpen, SealedRequest, open_request
from mifeng.protocol.header import Header
from mifeng.protocol.keyset import Keyset, keyset_digest, verify_keys
from mifeng.protocol.merkle import SM3
from mifeng.protocol.messages import Intent, Message, MessageType, Open, Record
from mifeng.protocol.note import NoteKey
from mifeng.protocol.proof import InclusionProof, verify_included
from mifeng.protocol.session import Terms, trust
from mifeng.protocol.stream import FrameType
from tests.vectors import build_vectors, second
from tests.vectors.build_vectors import pattern
from tests.vectors.keys import material, private_key

HERE = Path(__file__).parent
SUITE_NAMES = [suite.name for suite in SUITES.values()]


def read(name: str) -> Any:
    """Return one deterministic file."""
    return json.loads((HERE / "deterministic" / f"{name}.json").read_text("utf-8"))


def test_files_are_current() -> None:
    """What the script writes today is what is in the tree: no format has drifted."""
    folder = HERE / "deterministic"
    built = build_vectors.build()
    assert {path.name for path in folder.iterdir()} == set(built)
    for name, text in built.items():
        assert (folder / name).read_text("utf-8") == text, name


def canonical_json() -> list[Any]:
    """Return (document, expectation) of every case in the text file, by its comment."""
    text = (HERE / "deterministic" / "canonical-json.txt").read_text("utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n")[1:]]
    return [
        pytest.param(
            bytes.fromhex(data.removeprefix("bytes:")),
            expect.removeprefix("expect: "),
            id=comment.removeprefix("# "),
        )
        for comment, data, expect in blocks
    ]


@pytest.mark.parametrize(("data", "expect"), canonical_json())
def test_canonical_json(data: bytes, expect: str) -> None:
    """Each document is accepted, and then the one encoding of its value, or refused."""
    if expect == "accept":
        assert jsonc.dumps(jsonc.loads(data)) == data
        return
    with pytest.raises(MalformedError):
        jsonc.loads(data)


def test_header_by_the_second_implementation() -> None:
    """Another encoder gives the same bytes, another SM3 the same name."""
    vector = read("header")
    data = second.header(vector["fields"])
    assert data.hex() == vector["bytes"]
    assert second.sm3(b"mifeng/v1/req\0" + data).hex() == vector["h"]


def test_keyset_by_the_second_implementation() -> None:
    """The digest is over the exact text; the chain starts from it."""
    vector = read("keyset")
    assert second.sm3(vector["text"].encode()).hex() == vector["digest"]
    first = second.sm3(b"mifeng/v1/chain\0" + bytes.fromhex(vector["digest"]))
    assert first.hex() == vector["first_prev"]
    canonical = json.dumps(
        json.loads(vector["text"]), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert canonical == vector["text"]


def test_statements_by_the_second_implementation() -> None:
    """Usage is a power of two of at least 256, and the chain is SM3 of what is signed."""
    vector = read("statements")
    for amount, rounded in vector["usage"].items():
        least = next(n for n in (2**p for p in range(8, 40)) if n >= int(amount))
        assert rounded == (least if int(amount) else 0)
    chain = vector["chain"]
    kind, payload = b"application/vnd.mifeng.receipt+json", chain["payload"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    assert second.sm3(signed).hex() == chain["next_prev"]


def test_bodies_by_the_second_implementation() -> None:
    """Digests at every edge of a leaf, and the salted ones."""
    vector = read("body")
    for size, digest in vector["digests_of_pattern"].items():
        assert second.body_digest(pattern(int(size))).hex() == digest
    for direction, digest in vector["salted"].items():
        text = b"mifeng/v1/salted-body\0" + direction.encode() + b"\0" + b"\2" * 32 + b"\1" * 32
        assert second.sm3(text).hex() == digest
    assert bytes.fromhex(vector["oip_request"]).endswith("密".encode())


def test_key_schedule_by_the_second_implementation() -> None:
    """Both directions of every suite."""
    vector = read("key-schedule")
    h, keyset = bytes.fromhex(vector["h"]), bytes.fromhex(vector["keyset_digest"])
    head = bytes.fromhex(vector["response_header"])
    response = b"mifeng/v1/response\0" + h + keyset + second.sm3(head)
    response += bytes.fromhex(vector["response_salt"])
    for case in vector["cases"]:
        public, ss = bytes.fromhex(case["public_key"]), bytes.fromhex(case["ss"])
        request = b"mifeng/v1/request\0" + h
        assert second.keys(case["suite"], public, ss, request) == case["request"]
        assert second.keys(case["suite"], public, ss, response) == case["response"]


def test_frames_by_the_second_implementation() -> None:
    """Every frame of every suite, byte by byte."""
    for case in read("frames")["cases"]:
        key, base = bytes.fromhex(case["key"]), bytes.fromhex(case["base_nonce"])
        for counter, each in enumerate(case["frames"]):
            data = "密封".encode() if each["final"] else pattern(each["data_bytes"])
            made = second.frame(
                case["suite"],
                key,
                base,
                counter,
                kind=each["type"],
                data=data,
                final=each["final"],
            )
            if "frame" in each:
                assert made.hex() == each["frame"]
            else:
                assert second.body_digest(made).hex() == each["frame_body_digest"]


@pytest.mark.parametrize("world", ["sm3", "sha256"])
def test_trees_by_the_second_implementation(world: str) -> None:
    """Roots and both kinds of path, by the recursive definitions."""
    vector, digest = read("merkle")[world], second.sm3 if world == "sm3" else second.sha256
    leaves = [b"entry %d" % at for at in range(65)]
    for size, root in vector["roots"].items():
        assert second.tree(digest, leaves[: int(size)]).hex() == root
    for place, path in vector["inclusion"].items():
        index, size = map(int, place.split(" of "))
        assert [each.hex() for each in second.path(digest, index, leaves[:size])] == path
    for place, path in vector["consistency"].items():
        old, new = map(int, place.split(" to "))
        assert [each.hex() for each in second.proof(digest, old, leaves[:new])] == path


def test_promise_by_the_second_implementation() -> None:
    """Domain, origin behind its length, index, leaf, two times."""
    fixed = (41).to_bytes(8, "big") + b"\1" * 32
    times = (1_800_000_000).to_bytes(8, "big") + (1_800_000_060).to_bytes(8, "big")
    body = (13).to_bytes(4, "big") + b"log.example/a" + fixed + times
    vector = read("log")
    assert vector["promise_signed_bytes"] == (b"mifeng/v1/promise\0" + body).hex()
    assert vector["promise_with_a_zero_signature"] == (body + bytes(64)).hex()


def test_binding_by_the_second_implementation() -> None:
    """The transcript sorts devices by id; report data is SM3 then SHA-256 of it."""
    vector = read("binding")
    nonce32 = second.sm3(b"mifeng/v1/freshness\0\1" + bytes.fromhex(vector["challenge"]))
    assert nonce32.hex() == vector["nonce32"]
    digest = bytes.fromhex(vector["keyset_digest"])
    text = b"mifeng/v1/report-data\0" + nonce32 + digest
    alone = text + b"\0\0"
    both = text + b"\0\2"
    for _, raw in sorted(vector["accelerators"].items()):
        both += bytes([10]) + b"nvidia-gpu" + second.sm3(bytes.fromhex(raw))
    without = second.sm3(alone) + second.sha256(alone)
    assert without.hex() == vector["report_data_without_accelerators"]
    assert (second.sm3(both) + second.sha256(both)).hex() == vector["report_data"]
    nonce = second.sha256(b"mifeng/v1/device\0" + nonce32 + digest)
    assert nonce.hex() == vector["device_nonce"]


class Recording:
    """One recorded exchange, taken apart."""

    def __init__(self, name: str) -> None:
        self.doc = json.loads((HERE / "recorded" / f"exchange-{name}.json").read_text("utf-8"))
        self.suite = int(self.doc["suite"], 16)
        self.to_node, self.to_client = (
            [Message.decode(bytes.fromhex(each)) for each in self.doc[way]]
            for way in ("to_node", "to_client")
        )
        keys = tuple(map(NoteKey.decode, self.doc["log"]["keys"]))
        origin = self.doc["log"]["origin"]
        self.pin = LogPin(origin=origin, world=SM3, keys=keys, witnesses=(), quorum=0)
        self.keyset_bytes = self.doc["keyset"].encode()
        self.keyset = Keyset.decode(self.keyset_bytes)
        alg = SUITES[self.suite].sign_alg
        self.node_key = VerifyKey(alg, self.keyset.sign[alg])
        self.open = Open.decode(self.one(self.to_node, MessageType.OPEN))

    @staticmethod
    def one(messages: list[Message], kind: MessageType) -> bytes:
        """Return the payload of the only message of a kind."""
        (payload,) = (message.payload for message in messages if message.type is kind)
        return payload

    @staticmethod
    def frames(messages: list[Message]) -> list[bytes]:
        """Return the frames."""
        return [message.payload for message in messages if message.type is MessageType.FRAME]


@pytest.fixture(params=SUITE_NAMES)
def recording(request: pytest.FixtureRequest) -> Recording:
    """Return the exchange recorded for one suite."""
    return Recording(request.param)


def opened(recording: Recording) -> tuple[bytes, bytes, bytes]:
    """Return the request, the answer and the receipt's salt, as the two ends open them."""
    doc, parts = recording.doc, recording.open
    at_node = open_request(parts.header, parts.commitment, key=private_key(recording.suite))
    frames = recording.frames(recording.to_node)
    request = b"".join(at_node.frames.open(frame).data for frame in frames)
    at_node.frames.finish()
    public = recording.keyset.suites[recording.suite]
    header = Header.decode(parts.header)
    client = SealedRequest(SUITES[recording.suite], public, bytes.fromhex(doc["ss"]), header)
    assert client.commitment == parts.commitment
    answer = ResponseOpen.decode(recording.one(recording.to_client, MessageType.ANSWER))
    opener = client.open_response(answer)
    found = [opener.open(frame) for frame in recording.frames(recording.to_client)]
    opener.finish()
    salt = b"".join(frame.data for frame in found if frame.type is FrameType.SALT)
    return request, b"".join(f.data for f in found if f.type is FrameType.DATA), salt


def test_recorded_requests_and_answers_open(recording: Recording) -> None:
    """The node's key opens the request, the client's secret the answer; the engine reverses."""
    assert material(recording.suite) == recording.doc["private_key"]
    request, answer, salt = opened(recording)
    assert request.startswith("一张发票".encode())
    assert answer == request[::-1]
    assert len(salt) == 32


def test_recorded_receipts_verify(recording: Recording) -> None:
    """Signed by the keyset's key, about these sealed and these plain bytes, first of its chain."""
    statement = recording.one(recording.to_client, MessageType.STATEMENT)
    made = receipt.verify_receipt(statement, recording.node_key)
    digest = keyset_digest(recording.keyset_bytes)
    assert (made.h.hex(), made.keyset, made.outcome) == (recording.doc["h"], digest, "completed")
    for sealed, messages in (
        (made.sealed_request, recording.to_node),
        (made.sealed_response, recording.to_client),
    ):
        assert sealed == body_digest(b"".join(recording.frames(messages)))
    request, answer, salt = opened(recording)
    assert made.salted_request == salted(body_digest(request), salt=salt, direction=b"request")
    assert made.salted_response == salted(body_digest(answer), salt=salt, direction=b"response")
    assert (made.seq, made.prev) == (0, receipt.first_prev(digest))
    first = next(iter(recording.keyset.sign))
    tally_key = VerifyKey(first, recording.keyset.sign[first])
    signed_by = {alg: VerifyKey(alg, key) for alg, key in recording.keyset.sign.items()}
    tally = receipt.verify_tally(recording.doc["tally"].encode(), signed_by.get("sm2", tally_key))
    assert (tally.count, tally.head) == (1, receipt.next_prev(statement))


def test_recorded_log_statements_verify(recording: Recording) -> None:
    """INTENT, checkpoint, promise and inclusion, all under the one pinned key."""
    pin, now = recording.pin, recording.doc["now"]
    intent = Intent.decode(recording.one(recording.to_node, MessageType.INTENT))
    said = entries.verify_intent(intent.statement, origin=pin.origin, keys=verify_keys(pin))
    assert said.h.hex() == recording.doc["h"]
    assert checkpoint.verify(intent.note, pin).checkpoint.size == said.index + 1
    record = Record.decode(recording.one(recording.to_client, MessageType.RECORD))
    leaf = SM3.leaf_hash(record.entry)
    promised = promise.verify(
        record.promise, origin=pin.origin, leaf=leaf, keys=verify_keys(pin), now=now
    )
    assert promised.index == record.index
    proof = InclusionProof.loads(jsonc.dumps(recording.doc["inclusion"]))
    assert verify_included(proof, leaf, pin).checkpoint.size == record.index + 1


def test_recorded_offers_are_trusted(recording: Recording) -> None:
    """The offer passes every check at the time it was made, for the challenge it answers."""
    policy = policies.shipped("unsafe-simulated")
    terms = Terms(policy=policy, log=recording.pin, suites=(recording.suite,))
    freshness = Freshness(kind=1, x=bytes.fromhex(recording.doc["challenge"]))
    offer, now = bytes.fromhex(recording.doc["offer"]), recording.doc["now"]
    node = trust(offer, terms, nonce32s={freshness.nonce32}, now=now)
    assert node.keyset == recording.keyset
    assert node.key.simulated
