"""Flip bytes of a pack, one at a time, and see that each is detected and what it names.

python -m tests.unit.audit.flip_bytes 2000
"""

import random
import sys
import tempfile
from pathlib import Path

from mifeng.audit.container import Container, PackMalformedError
from mifeng.audit.pack import Pack
from mifeng.audit.report import Report
from mifeng.audit.verify import verify
from mifeng.crypto.signatures import SigningKey
from mifeng.protocol import entries
from tests.unit.audit.made import Made


def sample(directory: Path) -> tuple[Made, Path]:
    """Make a pack with something of everything in it."""
    made = Made()
    made.work(3)
    made.refuse(made.intent())
    middle = made.note()
    made.orphan(made.intent())
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    made.tally(final=True)
    signer = SigningKey.generate("sm2")
    return made, made.pack(directory / "good.zip", middle, made.note(), signer=signer)


def places(path: Path) -> dict[int, tuple[str, int]]:
    """Return for each byte of content its member and, in an entry, the entry's index (or -1)."""
    found: dict[int, tuple[str, int]] = {}
    with Container(path) as container, Pack(path) as pack:
        for name, member in container.members.items():
            for at in range(member.offset, member.offset + member.size):
                found[at] = (name, -1)
            if name.startswith("entries/"):
                at = member.offset
                for index, data in pack.entries(int(name.removeprefix("entries/"))):
                    for place in range(at + 12, at + 12 + len(data)):
                        found[place] = (name, index)
                    at += 12 + len(data)
    return found


def judge(path: Path, made: Made) -> Report | str:
    """Return the report about a pack, or why it is none."""
    try:
        return verify(path, made.trust, now=made.now)
    except PackMalformedError as exc:
        return str(exc)


def missed(outcome: Report | str, member: str, index: int) -> str | None:
    """Return what is wrong with the outcome for a flip in that member, in that entry."""
    if isinstance(outcome, str):
        return None if not member or "/" not in member or member in outcome else outcome
    errors = [f for f in outcome.findings if f.severity.value == "error"]
    if not errors:
        return "not detected"
    if index >= 0 and not any(index in f.indexes and f.code == "entry.altered" for f in errors):
        return f"does not name entry {index}"
    if index < 0 and not any(member in f.subject for f in errors):
        return f"does not name {member}"
    return None


def flip(count: int, *, seed: int) -> tuple[int, list[str]]:
    """Flip `count` bytes and return how many were caught, and what was wrong with the rest."""
    choose = random.Random(seed)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        made, good = sample(Path(name))
        data, bent = good.read_bytes(), Path(name) / "bent.zip"
        where = places(good)
        for at in sorted(choose.sample(range(len(data)), min(count, len(data)))):
            changed = bytearray(data)
            changed[at] ^= 1 << choose.randrange(8)
            bent.write_bytes(changed)
            member, index = where.get(at, ("", -1))
            fault = missed(judge(bent, made), member, index)
            if fault:
                wrong.append(f"byte {at} of {member or 'the container'}: {fault}")
    return count - len(wrong), wrong


if __name__ == "__main__":
    caught, faults = flip(int(sys.argv[1]), seed=1)
    print(f"{caught} caught, {len(faults)} not")
    print("\n".join(faults[:20]))
    sys.exit(bool(faults))
