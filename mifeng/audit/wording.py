"""Findings in words, Chinese and English. The codes are what programs read.

Source: docs/spec/audit-pack.md §5.
"""

from datetime import UTC, datetime
from typing import Final, Literal

from .findings import Finding

Lang = Literal["zh", "en"]
LANGS: Final[tuple[Lang, ...]] = ("zh", "en")

WORDS: Final[dict[str, tuple[str, str]]] = {
    # The pack itself.
    "pack.other-log": (
        "证据包声称属于另一个日志",
        "the pack says that it is of another log",
    ),
    "pack.signature": ("证据包签名无效", "the pack's signature is not valid"),
    "pack.unsigned": (
        "证据包未签名，而信任文件要求签名",
        "the pack is unsigned, and the trust file asks for a signature",
    ),
    "pack.signer-unknown": (
        "证据包由信任文件未列出的密钥签名",
        "the pack is signed by a key that the trust file does not list",
    ),
    "pack.count": (
        "条目数或规模与清单不符",
        "the number of entries, or the size, is not what the manifest says",
    ),
    "pack.partial": (
        "证据包只含部分条目；缺失类规则无法全部判定",
        "the pack holds a part of the log; not every rule about absence can be decided",
    ),
    "member.altered": (
        "文件内容与清单摘要不符",
        "a file is not what the manifest's digest says",
    ),
    "member.malformed": ("文件无法解析", "a file does not parse"),
    "leaves.count": (
        "叶哈希个数与条目数不符",
        "there are not as many leaf hashes as entries",
    ),
    "document.altered": (
        "附件 (证据、策略等) 已被改动",
        "a document (evidence, policy, keyset) was altered",
    ),
    "document.missing": (
        "条目引用的附件不在证据包中",
        "a document that an entry names is not in the pack",
    ),
    # Entries.
    "entry.altered": (
        "条目与其叶哈希不符，已被改动",
        "the entry does not have its leaf hash: it was altered",
    ),
    "entry.malformed": ("条目不是规范格式", "the entry is not in its canonical form"),
    "entry.uncovered": (
        "条目未被任何检查点覆盖",
        "the entry is covered by no checkpoint",
    ),
    "statement.malformed": (
        "条目内的签名声明无法解析",
        "the signed statement in the entry does not parse",
    ),
    "statement.unverifiable": (
        "签名无法核验：节点密钥集不在证据包中",
        "the signature cannot be checked: the node's keyset is not in the pack",
    ),
    "signature.wrong": ("签名不正确", "the signature does not verify"),
    "time.backwards": ("时间倒退超过五分钟", "time goes back by more than five minutes"),
    "time.future": ("条目时间晚于核验时间", "entries are dated after this verification"),
    "time.after-witness": (
        "条目时间晚于见证者已看到它的时间",
        "the entry is dated after a witness had seen it",
    ),
    # The log's keys and heads.
    "key.signature": ("日志密钥变更的签名无效", "a change of the log's key is not signed rightly"),
    "key.chain": ("日志密钥链断裂", "the chain of the log's keys is broken"),
    "key.not-pinned": (
        "日志密钥链中没有审计方信任的密钥",
        "no key in the log's chain is one that the auditor pins",
    ),
    "checkpoint.none": ("没有可信的检查点", "there is no checkpoint that the pinned log signed"),
    "checkpoint.signature": ("检查点签名无效", "a checkpoint is not signed by the pinned log"),
    "checkpoint.name": ("检查点规模与文件名不符", "a checkpoint has another size than its name"),
    "checkpoint.unwitnessed": (
        "见证者联署数量不足",
        "too few of the pinned witnesses cosigned the newest checkpoint",
    ),
    "checkpoint.twin-unknown": (
        "日志未声明 SHA-256 副树的密钥",
        "the log names no key for its SHA-256 twin",
    ),
    "tree.root": (
        "按条目重建的树与检查点不符：有条目被改动、删除或插入",
        (
            "the tree rebuilt from the entries is not the checkpoint's: entries were altered,"
            " removed or inserted"
        ),
    ),
    "tree.incomplete": ("无法重建树", "the tree cannot be rebuilt"),
    "head.ahead": (
        "节点回执声明的日志规模大于其自身位置",
        "a node states a log larger than the place of its own receipt",
    ),
    "head.other-history": (
        "节点见到的日志与本日志不是同一历史 (分叉)",
        "a node was shown another history of this log (fork)",
    ),
    "subject.after-erasure": (
        "个人主体在删除之后仍有新记录：其密钥未被销毁",
        "a person is named after the erasure: the key was not destroyed",
    ),
    "subject.no-intent": (
        "个人主体记录没有对应的许可",
        "an entry about a person refers to no such INTENT",
    ),
    "erasure.twice": ("同一主体被重复删除", "one person was erased twice"),
    "heartbeat.gap": (
        "心跳间断：其间日志服务停止或被停止",
        "a gap between heartbeats: the log did not run, or was stopped",
    ),
    # Intents and how they end.
    "intent.elsewhere": (
        "许可条目的序号或日志名与所在位置不符",
        "an intent says another index or log than where it stands",
    ),
    "intent.signature": (
        "许可条目由未受信任的密钥签名",
        "an intent is signed by a key that is not the log's",
    ),
    "intent.repeated": (
        "同一请求同一次尝试有两个许可",
        "the same attempt of a request was permitted twice",
    ),
    "intent.retry-unfounded": (
        "重试没有前一次的拒绝作为依据",
        "a further attempt without a refusal of the one before",
    ),
    "intent.unclosed": (
        "许可没有结束记录：请求可能已执行而未留痕",
        "an intent without an end: the request may have run without a record",
    ),
    "intent.under-way": ("请求仍在进行", "a request was still under way"),
    "intent.end-outside": (
        "结束记录在证据包范围之外",
        "its end lies outside of this pack",
    ),
    "intent.orphaned": (
        "无人能说明请求如何结束；内容可能已送达",
        "nobody can say how the request ended; content may have been delivered",
    ),
    "end.no-intent": ("结束记录没有对应的许可", "an end without an intent"),
    "end.before-intent": ("结束记录先于许可", "an end before its intent"),
    "end.other-request": (
        "结束记录与许可不是同一请求",
        "an end names another request than its intent",
    ),
    "end.twice": ("同一许可结束了两次", "the same intent ended twice"),
    "late.unfounded": (
        "迟到回执没有对应的孤立记录",
        "a late receipt without the ORPHANED entry it corrects",
    ),
    "late.twice": ("同一许可有两个迟到回执", "a second late receipt for one intent"),
    "receipt.type": ("回执类型不对", "a receipt of another type"),
    "receipt.other-request": (
        "回执属于另一个请求或日志",
        "the receipt is about another request or log",
    ),
    "receipt.other-keyset": (
        "回执的节点密钥集不是许可所指的",
        "the receipt is by another keyset than the intent names",
    ),
    "receipt.signature": (
        "回执不是该节点密钥签名",
        "the receipt is not signed by a key of that node",
    ),
    "receipt.time": ("回执时间不合理", "the receipt's times do not fit"),
    "receipt.witnessed-late": (
        "密钥到期之后才有见证者看到这些回执：不能排除是用泄露的旧密钥补签",
        (
            "no witness saw these receipts before their keys were over: they could have been signed"
            " later with keys that leaked"
        ),
    ),
    "receipt.mark": (
        "回执的 SIMULATED 标记与密钥集不符",
        "the receipt's SIMULATED mark is not what the keyset says",
    ),
    "refusal.statement": (
        "拒绝记录缺少或多出节点声明",
        "a refusal lacks the node's statement, or has one it should not",
    ),
    "refusal.other-request": (
        "节点的拒绝声明属于另一个请求",
        "the node's refusal is about another request",
    ),
    "refusal.signature": (
        "拒绝声明不是该节点密钥签名",
        "the refusal is not signed by a key of that node",
    ),
    # Node chains.
    "tally.statement": ("计数声明与条目不符", "a tally is not what its entry says"),
    "tally.signature": (
        "计数声明不是该节点密钥签名",
        "the tally is not signed by a key of that node",
    ),
    "tally.ahead": (
        "证据包末尾：计数所指回执尚未入日志",
        "at the end of the pack a tally names a receipt that is not logged yet",
    ),
    "tally.missing": (
        "最后一次计数之后还有回执：计数声明可能被扣留",
        "receipts after the last tally: tallies may have been withheld",
    ),
    "tally.no-final": (
        "密钥集已过期而没有最终计数：不能排除其后有未记录的执行",
        (
            "a keyset ended without a final tally: unlogged executions after the last one"
            " cannot be excluded"
        ),
    ),
    "execution.unlogged": (
        "节点链有缺口：有执行未入日志",
        "a gap in the node's chain: something was executed and not logged",
    ),
    "execution.forked": (
        "节点链分叉：同一序号有两种历史",
        "the node's chain forks: two histories at one place",
    ),
    "execution.after-final": (
        "最终计数之后仍有回执",
        "a receipt after the node's final tally",
    ),
    # Nodes and evidence.
    "keyset.unlogged": (
        "请求发往日志中没有的密钥集",
        "requests went to a keyset that is not in the log",
    ),
    "keyset.not-admitted": (
        "密钥集入日志前没有准入记录",
        "a keyset was logged without an admission before it",
    ),
    "keyset.use-before-logged": (
        "密钥集在入日志之前已被使用",
        "a keyset was used before it was logged",
    ),
    "keyset.use-outside-life": (
        "密钥集在有效期之外被使用",
        "a keyset was used outside of its life",
    ),
    "keyset.malformed": ("密钥集无法解析", "a keyset does not parse"),
    "keyset.entry-differs": (
        "密钥集条目与密钥集或证据不符",
        "the KEYSET entry is not what keyset and evidence say",
    ),
    "keyset.other-log": (
        "该节点服从另一个日志",
        "the node obeys another log",
    ),
    "admission.expired": (
        "日志所载准入过期后仍向该节点派发",
        "a request was sent to a node after the admission that is logged had run out",
    ),
    "expiry.not-admitted": (
        "日志称某密钥集停用，但此前没有它的准入记录",
        "a keyset is said to be used no longer that was never admitted",
    ),
    "keyset.use-after-expiry": (
        "日志载明密钥集停用之后仍向其派发请求",
        "a request was sent under a keyset after the log said that it is used no longer",
    ),
    "admission.verdict-differs": (
        "准入记录与重新评估的结论不符",
        "the admission is not what appraising again gives",
    ),
    "evidence.missing": (
        "密钥集的远程证明材料不在证据包中",
        "the evidence of a keyset is not in the pack",
    ),
    "evidence.other": (
        "远程证明材料不是条目所指的",
        "the evidence is not the one that the entry names",
    ),
    "evidence.refused": (
        "按当时策略、当时时刻重新评估：不通过",
        "appraised again at its instant under its policy: refused",
    ),
    "evidence.own-policy": (
        "按审计方自己的策略评估：不通过",
        "appraised under the auditor's own policy: refused",
    ),
    "freshness.note": (
        "证据的新鲜性所依据的检查点没有受信见证者联署，或联署过早",
        "the note that the evidence answers was not cosigned lately by witnesses we trust",
    ),
    "policy.unknown": (
        "准入所用策略文件不可得，无法重放",
        "the policy that the admission used is not available; it cannot be replayed",
    ),
    # Marks.
    "mark.simulated": (
        "SIMULATED：部分或全部证据为模拟，不证明任何硬件",
        "SIMULATED: some or all evidence is simulated and proves no hardware",
    ),
    "mark.unwitnessed": (
        "UNWITNESSED：信任文件未要求见证者，运营者可能向他人出示另一份历史",
        (
            "UNWITNESSED: the trust file asks for no witness; the operator may have shown another"
            " history to somebody else"
        ),
    ),
    # Promises.
    "promise.invalid": ("承诺不是该日志签发", "not a promise of this log"),
    "promise.broken": (
        "承诺未兑现：该位置是另一个条目，或到期仍没有条目",
        "a broken promise: another entry stands there, or none does and its time is over",
    ),
    "promise.pending": (
        "承诺的条目尚未到期入日志",
        "the promised entry is not due at the end of this pack",
    ),
    "promise.outside": (
        "承诺的条目不在证据包范围内",
        "the promised entry is outside of this pack",
    ),
    # Anchors.
    "anchor.malformed": ("锚定记录无法解析", "an anchor record does not parse"),
    "anchor.name": (
        "锚定记录与其文件名不符",
        "an anchor record is of another checkpoint or kind than its name says",
    ),
    "anchor.unrelated": (
        "锚定的检查点不在证据包中",
        "the checkpoint that was anchored is not one of the pack's",
    ),
    "anchor.invalid": (
        "锚定记录不能证明该检查点已交第三方保存",
        "an anchor record does not show that a third party holds this checkpoint",
    ),
    "anchor.untrusted": (
        "信任文件未列出该锚定方，不予采信",
        "the trust file does not list this anchor: it counts for nothing",
    ),
    "anchor.unpinned": (
        "记录自洽，但区块或交易尚未由审计方在链上核对",
        (
            "the record holds, but the auditor has not seen its block or transaction on the chain:"
            " look it up and pin it"
        ),
    ),
    "anchor.unverifiable": (
        "缺少时间戳核验库，未核验",
        "not verified: the library for timestamps is not installed",
    ),
    "anchor.required": (
        "信任文件要求的锚定数量或时限未满足",
        "fewer anchors vouch for these entries than the trust file requires",
    ),
    "time.after-anchor": (
        "条目时间晚于第三方已锚定它的时间",
        "the entry is dated after a third party had anchored it",
    ),
    # Releases.
    "release.measurement": (
        "节点的度量值此前未在日志中发布，而信任文件要求",
        "a node's measurement was not released in the log before, as the trust file requires",
    ),
    "release.model": (
        "节点所提供模型的摘要此前未在日志中发布，而信任文件要求",
        "a model's digest was not released in the log before, as the trust file requires",
    ),
    "release.withdrawn": (
        "节点投入使用时，其度量值或模型的发布已被撤回",
        "what a node ran had been withdrawn when it came into use",
    ),
    "release.unsigned": (
        "发布条目没有信任文件所列发布密钥的签名文件",
        "no release key of the trust file signed the document of a release",
    ),
    # Watching.
    "watch.forked": (
        "日志自相矛盾：两个已签名检查点不属于同一历史",
        "the log contradicts itself: two signed checkpoints of no one history",
    ),
    "watch.rolled-back": ("日志变短：已回滚", "the log is shorter than it was: rolled back"),
    "watch.stale": ("检查点不再更新", "no fresh checkpoint is published"),
    "watch.unsigned": (
        "检查点不是受信日志签名",
        "the checkpoint is not signed by the pinned log",
    ),
    "watch.unwitnessed": ("见证者联署数量不足", "too few witnesses cosigned"),
    "watch.unreachable": ("日志无法访问", "the log cannot be reached"),
    "watch.entry": (
        "条目与其包含证明不符，或不是规范格式",
        "an entry does not fit its proof, or is not in its form",
    ),
}


def moment(at: int) -> str:
    """Return a time as people read it, UTC."""
    if at > 253_402_300_799:  # noqa: PLR2004 - the last second of the year 9999
        return str(at)
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def printable(value: object) -> str:
    """Return text that cannot steer a terminal: what a log says is a stranger's word."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(value))


def text(finding: Finding, lang: str) -> str:
    """Return a finding in words, with what it is about."""
    zh, en = WORDS.get(finding.code, (finding.code, finding.code))
    parts = [zh if lang == "zh" else en]
    if finding.subject:
        parts.append(f"[{finding.subject}]")
    if finding.detail:
        shown = ", ".join(f"{name}={value}" for name, value in finding.detail.items())
        parts.append(f"({shown})")
    return printable(" ".join(parts))


def place(finding: Finding, lang: str) -> str:
    """Return which entries a finding is about."""
    if not finding.indexes:
        return "" if finding.count == 1 else f"×{finding.count}"
    shown = ", ".join(map(str, finding.indexes))
    more = finding.count - len(finding.indexes)
    if more > 0:
        shown += f" … (+{more})"
    return f"{'条目' if lang == 'zh' else 'entry'} {shown}"
