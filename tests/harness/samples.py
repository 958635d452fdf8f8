"""One valid value of everything that has an encoding, for laws over all of them."""

from mifeng.crypto.signatures import SigningKey
from mifeng.protocol.envelope import ResponseOpen
from mifeng.protocol.header import FLAG_STREAM, Header
from mifeng.protocol.keyset import Keyset, LogIdentity, Model, Software
from mifeng.protocol.link import Hello, NodeStatus
from mifeng.protocol.messages import Intent, Message, MessageType, Open, Problem, Record
from mifeng.protocol.receipt import NotClaimed, Receipt, Tally

D = [bytes([n]) * 32 for n in range(16)]


def header() -> Header:
    """Return a header with every field set."""
    return Header(
        suite=1,
        flags=FLAG_STREAM,
        keyset_digest=D[1],
        request_id=bytes(range(16)),
        created=1_800_000_000,
        deadline=1_800_000_060,
        model_digest=D[2],
        client_policy=D[3],
        tenant="bank-a",
        model="org/ocr:v4",
        operation="oip.infer",
        ct=bytes(range(129)),
    )


def keyset() -> Keyset:
    """Return a keyset with two of everything."""
    return Keyset(
        node_id="node-1",
        epoch=7,
        suites={1: b"\x04" + bytes(64), 0x0101: bytes(32)},
        sign={"p256": b"\x04" + bytes(64), "sm2": b"\x04" + bytes(64)},
        software=Software(image=D[1], config=D[2], policy=D[3]),
        models={
            "ocr": Model(digest=D[4], idempotent=True),
            "pay": Model(digest=D[5], idempotent=False),
        },
        log=LogIdentity(origin="log.example/a", keys=(D[6], D[7]), quorum=1),
        simulated=False,
        not_before=1_800_000_000,
        not_after=1_800_003_600,
    )


def receipt() -> Receipt:
    """Return a receipt with every optional field given."""
    return Receipt(
        h=D[1],
        outcome="completed",
        reason="",
        origin="log.example/a",
        intent_index=41,
        seq=3,
        prev=D[2],
        keyset=D[3],
        model="ocr",
        model_digest=D[4],
        backend="onnxruntime/CPUExecutionProvider 1.31.1",
        device="CPUExecutionProvider:0 (cpu)",
        sealed_request=D[5],
        sealed_response=D[6],
        salted_request=D[7],
        salted_response=D[8],
        node_policy=D[9],
        client_policy=D[10],
        usage={"input_bytes": 512, "output_bytes": 0},
        client_auth=D[11],
        started=1_800_000_001,
        finished=1_800_000_002,
        log_size=42,
        log_root=D[12],
        marks=("SIMULATED", "UNWITNESSED"),
    )


def not_claimed() -> NotClaimed:
    """Return a refusal."""
    return NotClaimed(
        h=D[1],
        reason="node.busy",
        origin="log.example/a",
        intent_index=41,
        keyset=D[3],
        at=1_800_000_001,
        marks=(),
    )


def tally() -> Tally:
    """Return a tally."""
    return Tally(keyset=D[3], count=4, head=D[2], final=False, at=1_800_000_010)


def messages() -> dict[str, Message]:
    """Return one message of each structured type."""
    return {
        "open": Message(MessageType.OPEN, Open(header().encode(), D[1]).encode()),
        "answer": Message(
            MessageType.ANSWER, ResponseOpen(D[1], 1_800_000_000, D[2], D[3]).encode()
        ),
        "record": Message(MessageType.RECORD, Record(9, b"{}", b"promise").encode()),
        "intent": Message(MessageType.INTENT, Intent(b"{}", b"note", (D[1], D[2])).encode()),
        "problem": Message(MessageType.PROBLEM, Problem("node.busy", "later", 3).encode()),
    }


HELLO = Hello(node_id="node-1", capacity=8, log_size=12)
STATUS = NodeStatus(active=1, queued=0, capacity=8, draining=False, keyset=D[1])


def signing_key() -> SigningKey:
    """Return a fresh SM2 key."""
    return SigningKey.generate("sm2")
