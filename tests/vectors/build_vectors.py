"""Write every vector that has no randomness in it: `python tests/vectors/build_vectors.py`.

`make docs` runs this and fails if a file changes, so a byte format cannot drift unnoticed. The key
schedule and the frames are reached through internal classes, because no public interface takes a
secret or a nonce. See README.md for the form of the files.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent.parent))

from attestation import binding  # noqa: E402 - after the path
from attestation.bundle import Bundle, Device, Freshness  # noqa: E402
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role  # noqa: E402
from mifeng.crypto.suites import SUITES  # noqa: E402
from mifeng.protocol import jsonc, merkle, receipt  # noqa: E402
from mifeng.protocol.body import OipBody, Tensor, join_bytes  # noqa: E402
from mifeng.protocol.bodydigest import body_digest, salted  # noqa: E402
from mifeng.protocol.checkpoint import Checkpoint  # noqa: E402
from mifeng.protocol.entries import Completion, KeysetLogged  # noqa: E402
from mifeng.protocol.entries import Intent as LoggedIntent  # noqa: E402
from mifeng.protocol.envelope import ResponseOpen, _Secret  # noqa: E402
from mifeng.protocol.header import request_digest  # noqa: E402
from mifeng.protocol.keyset import keyset_digest  # noqa: E402
from mifeng.protocol.link import LinkFrame, LinkKind  # noqa: E402
from mifeng.protocol.promise import Promise  # noqa: E402
from mifeng.protocol.stream import MAX_DATA, FrameSealer, FrameType  # noqa: E402
from tests.harness import samples  # noqa: E402
from tests.vectors.json_cases import canonical_json  # noqa: E402

D: Final = samples.D
WORLDS: Final = (merkle.SM3, merkle.SHA256)
TREE_SIZES: Final = (0, 1, 2, 3, 4, 5, 7, 8, 13, 64, 65)
BODY_SIZES: Final = (0, 1, 4095, 4096, 4097, 65_536, 70_000)


def pattern(size: int) -> bytes:
    """Return `size` bytes 00, 01, …, fa, 00, …: a prime period, so that no cut repeats."""
    return bytes(at % 251 for at in range(size))


def headers() -> Any:
    """One request header, and its name."""
    made = samples.header()
    data = made.encode()
    return {"fields": asdict(made), "bytes": data, "h": request_digest(data)}


def keysets() -> Any:
    """One keyset, and its name."""
    data = samples.keyset().encode()
    digest = keyset_digest(data)
    return {"text": data.decode(), "digest": digest, "first_prev": receipt.first_prev(digest)}


def statements() -> Any:
    """Payloads of what a node signs, and the rounding of usage."""
    payloads = {
        receipt.RECEIPT_TYPE: samples.receipt().encode(),
        receipt.NOT_CLAIMED_TYPE: samples.not_claimed().encode(),
        receipt.TALLY_TYPE: samples.tally().encode(),
    }
    amounts = (0, 1, 255, 256, 257, 1000, 65_536, 65_537)
    return {
        "payloads": {name: payload.decode() for name, payload in payloads.items()},
        "usage": {str(amount): receipt.bucket_usage(amount) for amount in amounts},
        "chain": _chain(),
    }


def _chain() -> Any:
    payload, keyset = b'{"any":"payload"}', D[3]
    first = receipt.first_prev(keyset)
    return {
        "keyset": keyset,
        "first_prev": first,
        "payload": payload.decode(),
        "next_prev": receipt.link(payload),
    }


def messages() -> Any:
    """One message of each structured type, and frames of the link."""
    made = {name: message.encode() for name, message in samples.messages().items()}
    link = {
        "hello": LinkFrame(0, LinkKind.HELLO, samples.HELLO.encode()),
        "status": LinkFrame(0, LinkKind.STATUS, samples.STATUS.encode()),
        "window": LinkFrame(5, LinkKind.WINDOW, (524_288).to_bytes(4, "big")),
    }
    return {"messages": made, "link": {name: frame.encode() for name, frame in link.items()}}


def bodies() -> Any:
    """Body digests, salted digests, and one OIP body."""
    digests = {str(size): body_digest(pattern(size)) for size in BODY_SIZES}
    body = OipBody(
        id="7",
        parameters={"threshold": 1},
        tensors=(
            Tensor(name="x", datatype="FP32", shape=(1, 2), data=bytes.fromhex("0000803f00000040")),
            Tensor(name="s", datatype="BYTES", shape=(2,), data=join_bytes([b"", "密".encode()])),
        ),
    )
    return {
        "digests_of_pattern": digests,
        "salted": {
            direction: salted(D[1], salt=D[2], direction=direction.encode())
            for direction in ("request", "response")
        },
        "oip_request": body.encode(response=False),
        "oip_response": body.encode(response=True),
    }


def schedules() -> Any:
    """Keys of both directions for each suite, from a fixed secret."""
    header = samples.header().encode()
    h = request_digest(header)
    opened = ResponseOpen(h, 1_800_000_002, D[8], bytes(32))
    cases = []
    for suite in SUITES.values():
        public, ss = pattern(suite.public_key_bytes), pattern(64 if suite.id == 0x0002 else 32)
        secret = _Secret(suite, public, ss)
        cases.append(
            {
                "suite": f"{suite.id:04x}",
                "public_key": public,
                "ss": ss,
                "request": _split(secret.request(h)),
                "response": _split(secret.response(D[1], opened)),
            }
        )
    response_header = opened.header()
    return {
        "h": h,
        "keyset_digest": D[1],
        "response_header": response_header,
        "response_salt": opened.salt,
        "cases": cases,
    }


def _split(keys: tuple[bytes, bytes, bytes]) -> Any:
    return dict(zip(("key", "base_nonce", "commitment"), keys, strict=True))


def frames() -> Any:
    """Sealed frames under a fixed key and base nonce; the third one is as large as one gets."""
    plain = (
        (FrameType.CLIENT_AUTH, pattern(129), False),
        (FrameType.DATA, b"", False),
        (FrameType.DATA, pattern(MAX_DATA), False),
        (FrameType.KEEP_ALIVE, b"", False),
        (FrameType.DATA, "密封".encode(), True),
    )
    cases = []
    for suite in SUITES.values():
        key, nonce = pattern(suite.key_bytes), bytes.fromhex("fffffffffffffffffffffffe")
        sealer = FrameSealer(suite.aead(key), nonce)
        sealed = [sealer.seal(kind, data, final=final) for kind, data, final in plain]
        cases.append(
            {
                "suite": f"{suite.id:04x}",
                "key": key,
                "base_nonce": nonce,
                "frames": [
                    {"type": int(kind), "data_bytes": len(data), "final": final, **_frame(frame)}
                    for (kind, data, final), frame in zip(plain, sealed, strict=True)
                ],
            }
        )
    return {"data": "the pattern; the last one is the text 密封", "cases": cases}


def _frame(frame: bytes) -> Mapping[str, Any]:
    """Return a frame in full, or a digest of one that would fill the file."""
    return {"frame": frame} if len(frame) < 1024 else {"frame_body_digest": body_digest(frame)}


def trees() -> Any:
    """Roots, inclusion and consistency paths over the entries `entry 0` to `entry 64`."""
    return {world.name: _tree(world) for world in WORLDS}


def _tree(world: merkle.HashWorld) -> Any:
    leaves = world.leaf_hashes(b"entry %d" % at for at in range(max(TREE_SIZES)))

    def get(level: int, index: int) -> merkle.Digest:
        row = leaves[index << level : (index + 1) << level]
        while len(row) > 1:
            row = world.parents(row)
        return row[0]

    largest = max(TREE_SIZES)
    pairs = [(old, new) for new in TREE_SIZES for old in TREE_SIZES if 0 < old < new]
    return {
        "roots": {str(size): merkle.root_at(world, get, size) for size in TREE_SIZES},
        "inclusion": {
            f"{index} of {largest}": merkle.inclusion_path(world, get, index=index, size=largest)
            for index in (0, 1, 31, 63, 64)
        },
        "consistency": {
            f"{old} to {new}": merkle.consistency_path(world, get, old=old, new=new)
            for old, new in pairs[::4]
        },
    }


def log() -> Any:
    """What a log signs, before it signs it, and unsigned entries."""
    promise = Promise(
        origin="log.example/a",
        index=41,
        leaf=merkle.Digest(D[1]),
        issued=1_800_000_000,
        merge_by=1_800_000_060,
        signature=bytes(64),
    )
    intent = LoggedIntent(
        origin="log.example/a",
        index=41,
        h=D[1],
        keyset=D[2],
        attempt=1,
        tenant="bank-a",
        issued=1_800_000_000,
        deadline=1_800_000_060,
    )
    keyset = KeysetLogged(
        at=1_800_000_000,
        node="node-1",
        epoch=0,
        keyset=D[1],
        evidence=(D[2],),
        collateral=(D[3],),
        freshness=1,
        nonce=D[4],
        simulated=False,
        not_before=1_800_000_000,
        not_after=1_800_003_600,
    )
    completion = Completion(at=1_800_000_003, h=D[1], intent=41, receipt=_dsse())
    checkpoint = Checkpoint(origin="log.example/a", size=42, root=merkle.Digest(D[5]))
    return {
        "promise_signed_bytes": promise.signed_bytes(),
        "promise_with_a_zero_signature": promise.encode(),
        "intent_payload": intent.encode().decode(),
        "keyset_entry": keyset.encode().decode(),
        "completion_entry": completion.encode().decode(),
        "checkpoint_text": checkpoint.encode().decode(),
    }


def _dsse() -> bytes:
    """Return a statement of the right form; whose signature it bears does not matter here."""
    payload = jsonc.to_base64(samples.receipt().encode())
    signatures = [{"keyid": D[6].hex(), "sig": jsonc.to_base64(bytes(64))}]
    return jsonc.dumps(
        {"payload": payload, "payloadType": receipt.RECEIPT_TYPE, "signatures": signatures}
    )


def bindings() -> Any:
    """Freshness, report data, device nonce and the bundle's encoding."""
    freshness = Freshness(kind=1, x=bytes(range(32)))
    keyset = samples.keyset().encode()
    digest, nonce32 = keyset_digest(keyset), freshness.nonce32
    devices = tuple(
        Device(
            device_id=name,
            evidence=Evidence(EvidenceKind.NVIDIA_GPU, raw),
            collateral=Collateral(((Role.CERT_CHAIN, b"chain"),)),
        )
        for name, raw in (("gpu1", b"second"), ("gpu0", b"first"))
    )
    bundle = Bundle(
        keyset=keyset,
        freshness=freshness,
        cpu=Evidence(EvidenceKind.INTEL_TDX, b"quote"),
        cpu_collateral=Collateral(((Role.CERT_CHAIN, b"pem"),)),
        accelerators=devices,
    )
    return {
        "challenge": freshness.x,
        "nonce32": nonce32,
        "keyset_digest": digest,
        "accelerators": {each.device_id: each.evidence.raw for each in devices},
        "report_data_without_accelerators": binding.report_data(
            nonce32=nonce32, keyset_digest=digest, accelerators=()
        ),
        "report_data": binding.report_data(
            nonce32=nonce32, keyset_digest=digest, accelerators=devices
        ),
        "device_nonce": binding.device_nonce(nonce32=nonce32, keyset_digest=digest),
        "bundle": bundle.encode(),
        "evidence_digest": bundle.evidence_digest,
    }


FILES: Final[Mapping[str, Callable[[], Any]]] = {
    "header": headers,
    "keyset": keysets,
    "statements": statements,
    "messages": messages,
    "body": bodies,
    "key-schedule": schedules,
    "frames": frames,
    "merkle": trees,
    "log": log,
    "binding": bindings,
}


def _plain(value: Any) -> Any:
    """Return JSON for a value: bytes as lower-case hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value


def build() -> dict[str, str]:
    """Return every file of `deterministic/` by name."""
    files = {
        f"{name}.json": json.dumps(_plain(make()), indent=1, ensure_ascii=False) + "\n"
        for name, make in FILES.items()
    }
    return files | {"canonical-json.txt": canonical_json()}


def main() -> None:
    """Write them."""
    folder = HERE / "deterministic"
    folder.mkdir(exist_ok=True)
    for name, text in build().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
