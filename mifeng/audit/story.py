"""Tell the whole story of one request, in plain Chinese or English.

Told from the entries of a pack that was verified in the same run; what the verification found
about these entries stands at the end. Digests are shortened for people; the JSON form has them all.

Source: docs/auditing.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from attestation.bundle import Bundle
from attestation.errors import AttestationError
from mifeng.crypto import sm3
from mifeng.errors import MalformedError, UsageError
from mifeng.protocol import dsse, entries
from mifeng.protocol.entries import Entry, SignedIntent
from mifeng.protocol.receipt import Receipt

from .findings import Finding, Severity
from .pack import Pack
from .report import Report
from .wording import moment, printable, text

_MIN_PREFIX: Final = 8
_WORDS: Final[dict[str, tuple[str, str]]] = {
    "asked": (
        (
            "{at}，租户 {tenant} 的请求 {h} 被许可执行一次（"
            "第 {attempt} 次尝试），截止 {deadline}。"
            "许可先于派发写入日志第 {index} 条，并由日志密钥签名。"
        ),
        (
            "At {at} the log permitted request {h} of tenant"
            " {tenant} to run once (attempt {attempt},"
            " until {deadline}). The permission is entry {index}, signed by the log's key, and was"
            " durable before anything was sent."
        ),
    ),
    "node": (
        (
            "请求只对节点 {node} 的密钥集 {keyset} 加密；该密钥集见日志第 {index} 条，"
            "有效期 {not_before} 至 {not_after}。"
        ),
        (
            "The request was sealed to keyset {keyset} of"
            " node {node}, which is entry {index} of the"
            " log and lived from {not_before} to {not_after}."
        ),
    ),
    "machine": (
        "该节点的远程证明：{kinds}；网关于 {at} 按策略 {policy} 评估，等级 {tier}。{verdict}",
        (
            "The node's evidence: {kinds}. The gateway appraised"
            " it at {at} under policy {policy}, tier"
            " {tier}. {verdict}"
        ),
    ),
    "machine-ok": ("本次离线重新评估得到同样结论。", "Appraised again offline: the same verdict."),
    "machine-bad": ("本次离线重新评估未通过。", "Appraised again offline: not accepted."),
    "machine-open": (
        "本次离线无法重新评估（材料或策略缺失）。",
        "It could not be appraised again offline (evidence or policy missing).",
    ),
    "completed": (
        (
            "{at}，节点签署回执：结果 {outcome}{reason}，模型 {model}（摘要 {digest}），"
            "后端 {backend}，设备 {device}。回执是该密钥集的第 {seq} 个，写入日志第 {index} 条。"
        ),
        (
            "At {at} the node signed a receipt: {outcome}{reason}, model {model} (digest {digest}),"
            " backend {backend}, device {device}. It is receipt"
            " {seq} of that keyset and entry {index}"
            " of the log."
        ),
    ),
    "bodies": (
        "密文请求摘要 {request}，密文应答摘要 {response}；明文仅以加盐摘要记录，盐只有客户端持有。",
        (
            "Digest of the sealed request {request}, of the"
            " sealed answer {response}; plaintexts are"
            " recorded as salted digests only, and only the client has the salt."
        ),
    ),
    "refused": (
        "{at}，请求被{by}拒绝（{reason}），没有执行；见日志第 {index} 条。",
        "At {at} the request was refused by the {by} ({reason}) and not executed; entry {index}.",
    ),
    "orphaned": (
        (
            "{at}，请求被宣布为孤立（{reason}）：无人能说明它如何结束，"
            "内容可能已送达；见日志第 {index} 条。"
        ),
        (
            "At {at} the request was declared orphaned ({reason}): nobody can say how it ended, and"
            " content may have been delivered; entry {index}."
        ),
    ),
    "late": (
        "其回执后来补记于日志第 {index} 条。",
        "Its receipt came to light later, as entry {index}.",
    ),
    "open": (
        "证据包中没有它的结束记录。",
        "This pack holds no end of it.",
    ),
    "person": (
        (
            "租户声明该请求涉及一个个人主体（承诺 {subject}，日志第 {index} 条）；"
            "日志中没有其身份，只有持有其密钥者能打开。"
        ),
        (
            "The tenant said that it is about a person (commitment {subject}, entry {index}); the"
            " log does not say who, and only the person's key opens it."
        ),
    ),
    "erased": (
        (
            "该主体的密钥已于 {at} 销毁（日志第 {index} 条）：其私密字段再也无法打开，"
            "日志的每一项证明不变。"
        ),
        (
            "That person's key was destroyed at {at} (entry {index}): nobody can open the private"
            " fields any more, and every proof of the log is as before."
        ),
    ),
    "covered": (
        "这些条目在 {size} 条规模的检查点之下，该检查点由日志密钥签名，{witnesses}。",
        (
            "These entries are under the checkpoint of {size} entries, signed by the log's key and"
            " {witnesses}."
        ),
    ),
    "witnessed": ("由 {count} 个见证者联署", "cosigned by {count} witnesses"),
    "unwitnessed": ("没有见证者联署 (UNWITNESSED)", "by no witness (UNWITNESSED)"),
    "uncovered": (
        "这些条目不在任何可信检查点之下。",
        "No trusted checkpoint covers these entries.",
    ),
    "simulated": (
        "注意：SIMULATED，该节点的证明是模拟的，不证明任何硬件。",
        "Note: SIMULATED. The node's evidence is simulated and proves no hardware.",
    ),
    "sound": (
        "对这些条目的核验没有发现问题。",
        "The verification found nothing wrong with these entries.",
    ),
    "finding": ("核验发现（{severity}）：{words}", "Finding ({severity}): {words}"),
    "node-word": ("节点", "node"),
    "gateway-word": ("网关", "gateway"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One request: sentences for people and every fact for programs."""

    h: bytes
    sentences: tuple[str, ...]
    facts: dict[str, Any]


def tell(path: Path, report: Report, wanted: str, *, lang: str) -> Story:
    """Return the story of one request.

    Args:
        path: the pack that `report` is about.
        report: of verifying it, just now.
        wanted: the request digest H in hex, a beginning of it of at least 8 digits, or the index
            of any entry about the request.
        lang: `zh` or `en`.

    Raises:
        UsageError: the pack holds no such request, or more than one.
    """
    with Pack(path) as pack:
        h = _find(pack, wanted)
        about = [(index, e) for index, e in _walk(pack) if _request(e) == h]
        teller = _Teller(pack, report, 0 if lang == "zh" else 1, h)
        for index, entry in about:
            teller.entry(index, entry)
        teller.end([index for index, _ in about])
        return Story(h=h, sentences=tuple(teller.said), facts=teller.facts)


def _walk(pack: Pack) -> Iterator[tuple[int, Entry]]:
    for number in pack.chunks:
        for index, data in pack.entries(number):
            try:
                yield index, entries.decode(data)
            except MalformedError:
                continue


def _request(entry: Entry) -> bytes | None:
    if isinstance(entry, SignedIntent):
        return entry.intent.h
    if isinstance(entry, entries.Completion | entries.Refusal | entries.Orphaned | entries.Late):
        return entry.h
    return entry.h if isinstance(entry, entries.Subject) else None


def _find(pack: Pack, wanted: str) -> bytes:
    text_ = wanted.lower()
    if text_.isdecimal() and len(text_) < _MIN_PREFIX * 2:
        for index, entry in _walk(pack):
            if index == int(text_) and (h := _request(entry)) is not None:
                return h
        if len(text_) < _MIN_PREFIX:
            raise UsageError(f"no request at entry {wanted} of this pack")
    if len(text_) < _MIN_PREFIX or text_.strip("0123456789abcdef"):
        raise UsageError("need an index, or at least 8 hex digits of a request digest (H)")
    found = {h for _, e in _walk(pack) if (h := _request(e)) and h.hex().startswith(text_)}
    if len(found) != 1:
        raise UsageError(f"{len(found)} requests in this pack begin with {wanted}")
    return found.pop()


def _short(digest: bytes) -> str:
    return digest.hex()[:16] + "…"


class _Teller:
    def __init__(self, pack: Pack, report: Report, lang: int, h: bytes) -> None:
        self._pack, self._report, self._lang = pack, report, lang
        self._closed = False
        self._simulated = False
        self.said: list[str] = []
        self.facts: dict[str, Any] = {"h": h.hex(), "entries": []}

    def word(self, key: str) -> str:
        return _WORDS[key][self._lang]

    def say(self, key: str, **values: object) -> None:
        shown = {name: printable(value) for name, value in values.items()}
        self.said.append(self.word(key).format(**shown))

    def entry(self, index: int, entry: Entry) -> None:
        self.facts["entries"].append({"index": index, "type": entries.entry_type(entry)})
        match entry:
            case SignedIntent():
                self.intent(index, entry.intent)
            case entries.Completion():
                self._closed = True
                self.receipt(index, entry.receipt)
            case entries.Late():
                self.say("late", index=index)
                self.receipt(index, entry.receipt)
            case entries.Refusal():
                self._closed = True
                by = self.word(f"{entry.by}-word")
                values = {"at": moment(entry.at), "by": by, "reason": entry.reason}
                self.say("refused", index=index, **values)
            case entries.Orphaned():
                self._closed = True
                self.say("orphaned", at=moment(entry.at), reason=entry.reason, index=index)
            case entries.Subject():
                self.person(index, entry)
            case _:
                return

    def person(self, index: int, entry: entries.Subject) -> None:
        self.facts["subject"] = entry.subject.hex()
        self.say("person", subject=_short(entry.subject), index=index)
        for at, other in _walk(self._pack):
            if isinstance(other, entries.Erasure) and other.subject == entry.subject:
                self.facts["erased"] = at
                self.say("erased", at=moment(other.at), index=at)
                return

    def intent(self, index: int, intent: entries.Intent) -> None:
        self.facts |= {"tenant": intent.tenant, "keyset": intent.keyset.hex()}
        self.say(
            "asked",
            at=moment(intent.issued),
            tenant=intent.tenant,
            h=_short(intent.h),
            attempt=intent.attempt,
            deadline=moment(intent.deadline),
            index=index,
        )
        admitted = None
        for at, entry in _walk(self._pack):
            if isinstance(entry, entries.NodeAdmitted) and entry.keyset == intent.keyset:
                admitted = entry
            if isinstance(entry, entries.KeysetLogged) and entry.keyset == intent.keyset:
                self.keyset(at, entry, admitted)
                return

    def keyset(
        self, index: int, entry: entries.KeysetLogged, admitted: entries.NodeAdmitted | None
    ) -> None:
        self._simulated = self._simulated or entry.simulated
        self.facts |= {"node": entry.node, "simulated": entry.simulated}
        self.say(
            "node",
            node=entry.node,
            keyset=_short(entry.keyset),
            index=index,
            not_before=moment(entry.not_before),
            not_after=moment(entry.not_after),
        )
        if admitted is None:
            return
        codes = {f.code for f in self._report.findings if index in f.indexes}
        verdict = "machine-ok"
        if codes & {"evidence.refused", "evidence.other", "evidence.own-policy"}:
            verdict = "machine-bad"
        elif codes & {"evidence.missing", "policy.unknown"}:
            verdict = "machine-open"
        kinds = self.kinds(entry.keyset)
        self.facts |= {"evidence": kinds, "tier": admitted.tier, "policy": admitted.policy.hex()}
        self.say(
            "machine",
            kinds=" + ".join(kinds) or "?",
            at=moment(admitted.at),
            policy=_short(admitted.policy),
            tier=admitted.tier,
            verdict=self.word(verdict),
        )

    def kinds(self, keyset: bytes) -> list[str]:
        for digest in self._pack.blobs:
            raw = self._pack.blob(digest) or b""
            if raw.startswith(b"mifeng/v1/bundle\0"):
                try:
                    bundle = Bundle.decode(raw)
                except AttestationError:
                    continue
                if sm3(bundle.keyset) == keyset:
                    parts = (bundle.cpu, *(device.evidence for device in bundle.accelerators))
                    return [part.kind.value for part in parts]
        return []

    def receipt(self, index: int, statement: bytes) -> None:
        try:
            made = Receipt.decode(dsse.parse(statement).payload)
        except MalformedError:
            return
        self.facts |= {
            "outcome": made.outcome,
            "model": made.model,
            "model_digest": made.model_digest.hex(),
            "backend": made.backend,
            "device": made.device,
            "sealed_request": made.sealed_request.hex(),
            "sealed_response": made.sealed_response.hex(),
        }
        self.say(
            "completed",
            at=moment(made.finished),
            outcome=made.outcome,
            reason=f" ({made.reason})" if made.reason else "",
            model=made.model,
            digest=_short(made.model_digest),
            backend=made.backend,
            device=made.device,
            seq=made.seq,
            index=index,
        )
        request, response = _short(made.sealed_request), _short(made.sealed_response)
        self.say("bodies", request=request, response=response)

    def end(self, indexes: list[int]) -> None:
        if not self._closed:
            self.say("open")
        heads = [head for head in self._report.heads if head.size > max(indexes)]
        if heads:
            head = heads[0]
            count = len(head.witnesses)
            key = "witnessed" if count else "unwitnessed"
            self.say("covered", size=head.size, witnesses=self.word(key).format(count=count))
            self.facts["checkpoint"] = {"size": head.size, "witnesses": count}
        else:
            self.say("uncovered")
        if self._simulated:
            self.say("simulated")
        ours = [f for f in self._report.findings if _concerns(f, indexes)]
        self.facts["findings"] = [finding.code for finding in ours]
        if not ours:
            self.say("sound")
        lang = "en" if self._lang else "zh"
        for finding in ours:
            self.say("finding", severity=finding.severity.value, words=text(finding, lang))


def _concerns(finding: Finding, indexes: list[int]) -> bool:
    """Whether a finding is about these entries, or so grave that it is about all."""
    if set(finding.indexes) & set(indexes):
        return True
    return finding.severity is Severity.ERROR and not finding.indexes
