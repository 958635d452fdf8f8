"""What a stranger does with an audit pack: without network, in a folder that holds nothing else."""

import json
import re
import socket
from typing import Any

from .offline import Offline
from .table import Findings, Step

FLIPS = 200
PROFILE = "gbt39786"
_PACK = ("pack.zip", "--trust", "trust.yaml")


def judge(away: Offline, found: Findings, *, h: str, witnesses: int) -> None:
    """Verify, bend, explain and report, and note what came of it.

    Args:
        away: a folder that holds pack.zip, trust.yaml and promise-*.
        found: where to note it.
        h: a request that was answered, in hex.
        witnesses: how many must have cosigned.
    """
    with found.step("network") as step, socket.create_server(("127.0.0.1", 0)) as listening:
        step.fact(away.how)
        gone = away.unreachable(listening.getsockname()[1])
        step.must("unreachable" if gone else "REACHABLE", hold=gone)
    with found.step("verify offline, in a fresh folder") as step:
        files = sorted(path.name for path in away.folder.glob("promise-*"))
        promises = [argument for name in files for argument in ("--promise", name)]
        done = _audit(away, "verify", *_PACK, *promises, "--json")
        step.fact(f"{len(files)} promises of clients held against it")
        _verdict(json.loads(done.stdout or "{}"), step, done.stderr, witnesses)
    with found.step("explain one request, in Chinese and in English") as step:
        for lang, words in (("zh", "租户 bank-a"), ("en", "tenant bank-a")):
            done = _audit(away, "explain", _PACK[0], h, *_PACK[1:], "--lang", lang)
            told = done.returncode == 0 and words in done.stdout
            step.must(f"{lang}: {len(done.stdout.splitlines())} sentences", hold=told)
    with found.step(f"{FLIPS} sampled bytes of the pack flipped, one at a time") as step:
        done = away.run("-m", "tests.drills.audit_flips", *_PACK[:1], _PACK[2], str(FLIPS))
        wrong = json.loads(done.stdout)["wrong"] if done.returncode == 0 else [done.stderr[-300:]]
        step.must(f"{FLIPS - len(wrong)} caught, each named", hold=not wrong)
        for fault in wrong[:5]:
            step.must(fault, hold=False)
    with found.step(f"report ({PROFILE}), HTML and PDF") as step:
        _report(away, step)


def _audit(away: Offline, *arguments: str) -> Any:
    return away.run("-m", "mifeng.cli", "audit", *arguments)


def _report(away: Offline, step: Step) -> None:
    for form, magic in (("html", b"<!doctype html"), ("pdf", b"%PDF-")):
        out = away.folder / f"report.{form}"
        options = ("--profile", PROFILE, "--format", form, "--out", out.name)
        done = _audit(away, "report", *_PACK, *options)
        data = out.read_bytes() if out.exists() else b""
        good = done.returncode == 0 and data[:40].lower().startswith(magic.lower())
        if form == "pdf" and not good and re.search("font", done.stderr):
            step.skip("no font with Chinese for the PDF (Debian package fonts-noto-cjk)")
            continue
        size = f"{form} {len(data) / 1000:.0f} kB"
        step.must(size if good else f"{form}: {done.stderr[-300:]}", hold=good)


def _verdict(report: dict[str, Any], step: Step, stderr: str, witnesses: int) -> None:
    """Say what the verification came to; every error is named."""
    if not report:
        step.must(f"no report: {stderr[-400:]}", hold=False)
        return
    step.must("it stands" if report["stands"] else "REFUTED", hold=report["stands"])
    whole = f"{report['entries']} entries, {report['signatures']} signatures"
    step.must(whole, hold=report["whole"])
    ends = ", ".join(f"{n} {kind}" for kind, n in sorted(report["ends"].items()))
    closed = sum(report["ends"].values()) == report["intents"] > 0
    step.must(f"{report['intents']} intents, each ended once: {ends}", hold=closed)
    heads = [head for head in report["checkpoints"] if head["world"] == "sm3"]
    cosigned = heads and all(len(head["witnesses"]) >= witnesses for head in heads)
    step.must(f"checkpoint cosigned by {witnesses} witnesses", hold=cosigned)
    unwitnessed = report["marks"]["UNWITNESSED"]
    step.must(f"{unwitnessed} receipts UNWITNESSED", hold=not unwitnessed)
    for kind in sorted({each["kind"] for each in report["anchors"]}):
        sizes = [each["size"] for each in report["anchors"] if each["kind"] == kind]
        vouch = all(each["vouches"] for each in report["anchors"] if each["kind"] == kind)
        told = "vouch" if vouch else "are NOT PINNED"
        step.must(f"{len(sizes)} {kind} anchors {told}, newest at {max(sizes)}", hold=vouch)
    again = report["evidence"]["passed"]
    step.must(f"{again} × evidence appraised again", hold=again >= 4)
    for each in report["findings"]:
        if each["severity"] == "note":
            continue
        where = f" at {each['indexes'][:3]}" if each["severity"] == "error" else ""
        text = f"{each['severity']} {each['code']} × {each['count']}{where}"
        step.must(text, hold=each["severity"] != "error")
