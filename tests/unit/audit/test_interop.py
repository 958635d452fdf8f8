"""The SHA-256 twin is a log like any other: other people's tools agree with ours, both ways."""

import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mifeng.crypto.signatures import SigningKey
from mifeng.protocol import checkpoint, merkle
from mifeng.protocol.checkpoint import Checkpoint, LogPin
from mifeng.protocol.merkle import SHA256, Digest
from mifeng.protocol.note import Cosigner, Ed25519NoteSigner, NoteKey, Sm2NoteSigner

ORIGIN = "log.example/interop/sha256"
ENTRIES = [b"entry %d" % n for n in range(37)]
GOPATH = Path("/usr/share/gocode")


def get(level: int, index: int) -> Digest:
    """Return a subtree hash of the entries."""
    leaves = SHA256.leaf_hashes(ENTRIES[index << level : (index + 1) << level])
    return merkle.root(SHA256, merkle.extend(SHA256, (), 0, leaves)[0])


def inclusion(index: int) -> list[Digest]:
    """Return our inclusion proof of an entry in the whole tree."""
    return merkle.inclusion_path(SHA256, get, index=index, size=len(ENTRIES))


def consistency(old: int) -> list[Digest]:
    """Return our consistency proof to the whole tree."""
    return merkle.consistency_path(SHA256, get, old=old, new=len(ENTRIES))


def roots() -> list[Digest]:
    """Return our roots at sizes 1 … n."""
    return [merkle.root_at(SHA256, get, size) for size in range(1, len(ENTRIES) + 1)]


def test_pymerkle_agrees() -> None:
    """Its roots are ours, and its proofs hold the digests that ours hold."""
    pymerkle = pytest.importorskip("pymerkle", reason="pymerkle is not installed")
    tree: Any = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in ENTRIES:
        tree.append_entry(entry)
    size = len(ENTRIES)
    assert [tree.get_root(n) for n in range(1, size + 1)] == roots()
    for index, entry in enumerate(ENTRIES):
        leaf = SHA256.leaf_hash(entry)
        proof = tree.prove_inclusion(index + 1, size)
        pymerkle.verify_inclusion(leaf, roots()[-1], proof)
        assert sorted(proof.path) == sorted([leaf, *inclusion(index)])
        implied = merkle.root_from_inclusion(
            SHA256, leaf, index=index, size=size, path=inclusion(index)
        )
        assert implied == tree.get_root(size)


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """What golang.org/x/mod/sumdb answers."""
    go = shutil.which("go")
    if go is None or not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("golang and golang-golang-x-mod-dev are not installed")
    signer = Ed25519NoteSigner(ORIGIN, Ed25519PrivateKey.generate())
    sm2 = SigningKey.generate("sm2")
    head = Checkpoint(origin=ORIGIN, size=len(ENTRIES), root=roots()[-1])
    others = (Sm2NoteSigner(ORIGIN, sm2), Cosigner("witness.example/w1", sm2, 1_800_000_000))
    signed = checkpoint.sign(head, [signer, *others])
    question = {
        "Entries": [b64encode(entry).decode() for entry in ENTRIES],
        "Note": signed.decode(),
        "Verifier": signer.key.encode(),
        "Records": [_encoded(inclusion(index)) for index in range(len(ENTRIES))],
        "Trees": [_encoded(consistency(old)) for old in range(1, len(ENTRIES))],
    }
    env = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    ran = subprocess.run(
        [go, "run", str(Path(__file__).parent / "interop" / "main.go")],
        input=json.dumps(question),
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")} | env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return {"head": head, "answer": json.loads(ran.stdout)}


def _encoded(path: list[Digest]) -> list[str]:
    return [b64encode(digest).decode() for digest in path]


def test_go_sumdb_agrees(theirs: dict[str, Any]) -> None:
    """It accepts our note beside lines it cannot read, and every proof; its own are ours."""
    answer = theirs["answer"]
    assert answer["Text"].encode() == theirs["head"].encode()
    assert [b64decode(root) for root in answer["Roots"]] == roots()
    assert answer["Records"] == [_encoded(inclusion(index)) for index in range(len(ENTRIES))]
    assert answer["Trees"] == [_encoded(consistency(old)) for old in range(1, len(ENTRIES))]


def test_we_accept_a_note_that_go_signed(theirs: dict[str, Any]) -> None:
    """Its verifier key decodes and its signature verifies under it."""
    answer = theirs["answer"]
    key = NoteKey.decode(answer["Verifier"])
    pin = LogPin(origin=ORIGIN, world=SHA256, keys=(key,), witnesses=(), quorum=0)
    assert checkpoint.verify(answer["Note"].encode(), pin).checkpoint == theirs["head"]
