"""Control items, and what of a log bears on each: held, missing, out of a tool's reach.

Titles are our own short words. `mark` says where we have an item from: `S2` a secondary source, `K`
general knowledge; both are printed as a footnote to verify against the standard's text. What we
could not verify at all is not in here.

Source: GB/T 39786-2021, GB/T 22239-2019, 个人信息保护法 and regulations; docs/compliance.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from .signals import Signals

Words = tuple[str, str]
"""Chinese, English."""

RETENTION_FLOOR_DAYS: Final = 180


class Support(Enum):
    """How far this log's evidence reaches. Not whether the item is met."""

    HELD = "held"
    PARTLY = "partly"
    MISSING = "missing"
    OUT_OF_REACH = "out-of-reach"


SUPPORT_WORDS: Final[dict[Support, Words]] = {
    Support.HELD: ("有证据", "evidence held"),
    Support.PARTLY: ("部分证据", "partly held"),
    Support.MISSING: ("缺证据", "evidence missing"),
    Support.OUT_OF_REACH: ("工具无法触及", "out of the tool's reach"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One control item."""

    id: Words
    title: Words
    strength: str
    """应, 宜, 可 at level 3, or empty."""
    mark: Literal["S2", "K"]
    held: Callable[[Signals], list[Words]]
    missing: Callable[[Signals], list[Words]]
    reach: Words | None = None
    """What a log can never show here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An item with what this log has for it."""

    item: Item
    support: Support
    held: list[Words]
    missing: list[Words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A standard or law, as far as this product can bear on it."""

    key: str
    title: Words
    items: tuple[Item, ...]
    caveats: tuple[Words, ...]


def judge(profile: Profile, signals: Signals) -> list[Judged]:
    """Return what the log has for each item. A refuted log supports nothing."""
    judged = []
    for item in profile.items:
        held, missing = item.held(signals), item.missing(signals)
        if not signals.report.stands:
            missing = [_REFUTED, *missing]
        judged.append(
            Judged(item=item, support=_support(item, held, missing), held=held, missing=missing)
        )
    return judged


_REFUTED: Final = (
    "核验发现错误，本日志不能作为证据，见“核验结果”",
    "The verification found errors: this log cannot serve as evidence; see the findings",
)


def _support(item: Item, held: list[Words], missing: list[Words]) -> Support:
    if held and _REFUTED not in missing:
        return Support.PARTLY if missing else Support.HELD
    if missing or not item.reach:
        return Support.MISSING
    return Support.OUT_OF_REACH


def nothing(_: Signals) -> list[Words]:
    """Return that there is nothing."""
    return []


def some(condition: object, zh: str, en: str) -> list[Words]:
    """Return one sentence if there is something to say."""
    return [(zh, en)] if condition else []


# What logs hold, said once.


def integrity(s: Signals) -> list[Words]:
    """The log proves its own integrity."""
    heads = len(s.report.heads)
    count = s.report.entries
    return some(
        heads,
        f"仅追加的 SM3 默克尔树：{count} 条已逐条核验，{heads} 个由 SM2 签名的检查点，"
        f"{s.report.heads_compared} 个日志头一致",
        f"Append-only SM3 Merkle tree: {count} entries verified one by one, {heads} checkpoints"
        f" signed with SM2, {s.report.heads_compared} heads of one history",
    ) + some(
        s.witnesses,
        f"独立见证者联署：{'、'.join(sorted(s.witnesses))}",
        f"Cosigned by independent witnesses: {', '.join(sorted(s.witnesses))}",
    )


def no_witness(s: Signals) -> list[Words]:
    """Nobody but the operator vouches for the log."""
    return some(
        not s.witnesses,
        "没有独立见证者联署 (UNWITNESSED)",
        "No independent witness has cosigned (UNWITNESSED)",
    )


def attested(s: Signals) -> list[Words]:
    """Machines proved what they run."""
    done = s.report.appraisals
    kinds = "、".join(f"{k}×{n}" for k, n in sorted(s.kinds.items()))
    kinds_en = ", ".join(f"{k}×{n}" for k, n in sorted(s.kinds.items()))
    return some(
        done.passed,
        f"{done.passed} 份节点远程证明按记录时刻、记录附件和记录策略离线重新评估通过（{kinds}）；"
        f"节点：{'、'.join(sorted(s.nodes))}",
        f"{done.passed} node attestations appraised again offline at their recorded instant, with"
        f" recorded collateral and policy ({kinds_en}); nodes: {', '.join(sorted(s.nodes))}",
    )


def simulated(s: Signals) -> list[Words]:
    """The hardware was not real."""
    lacking = some(
        s.report.appraisals.simulated,
        f"{s.report.appraisals.simulated} 份证明为 SIMULATED，不证明任何硬件",
        f"{s.report.appraisals.simulated} attestations are SIMULATED and prove no hardware",
    )
    open_ = s.report.appraisals.refused + s.report.appraisals.undecided
    return lacking + some(
        open_ or not s.report.appraisals.passed,
        f"{open_} 份证明未能重新评估通过",
        f"{open_} attestations did not pass, or could not be appraised again",
    )


def sealed(s: Signals) -> list[Words]:
    """Requests were encrypted to attested keys."""
    suites = "、".join(f"{k}×{n}" for k, n in sorted(s.suites.items()))
    suites_en = ", ".join(f"{k}×{n}" for k, n in sorted(s.suites.items()))
    return some(
        s.report.intents,
        f"{s.report.intents} 个请求全部端到端密封后传输（网关没有明文接口）；"
        f"密钥集提供的密码套件：{suites}",
        f"All {s.report.intents} requests travelled sealed end to end (the gateway has no way to"
        f" take plaintext); suites offered by keysets: {suites_en}",
    )


def not_national(s: Signals) -> list[Words]:
    """Some keysets offer international algorithms."""
    return some(
        s.suites.get("intl"),
        f"{s.suites['intl']} 个密钥集同时提供国际算法套件 intl；"
        "日志不记录单个请求所用套件，只记录回执签名算法",
        f"{s.suites['intl']} keysets also offer the international suite; the log does not record"
        " which suite one request used, only the receipt's signature algorithm",
    )


def receipts(s: Signals) -> list[Words]:
    """Nodes signed what they did."""
    algorithms = "、".join(f"{k}×{n}" for k, n in sorted(s.signatures.items()))
    return some(
        s.report.receipts,
        f"{s.report.receipts} 个节点签名回执（{algorithms}），成链且逐一核验；"
        f"其中 {s.client_auth} 个请求带机构自身的 SM2 签名",
        f"{s.report.receipts} receipts signed by nodes ({algorithms.replace('、', ', ')}), chained"
        f" and verified; {s.client_auth} of the requests bear the institution's own SM2 signature",
    )


def no_client_signature(s: Signals) -> list[Words]:
    """Requests were not signed by who asked."""
    rest = s.report.receipts - s.client_auth
    return some(
        rest,
        f"{rest} 个请求没有机构的 SM2 签名（client_auth），请求方抗抵赖不足",
        f"{rest} requests bear no SM2 signature of the institution (client_auth): origin can be"
        " denied",
    )


def policies_logged(s: Signals) -> list[Words]:
    """Policies in force are bound by digest."""
    count = s.type("POLICY")
    return some(
        count or s.report.appraisals.passed,
        f"每次准入记录所用策略的 SM3 摘要；{count} 条策略变更记录",
        f"Each admission names the SM3 digest of its policy; {count} policy changes logged",
    )


def no_policy_entries(s: Signals) -> list[Words]:
    """Policy changes are not logged."""
    return some(
        not s.type("POLICY"),
        "日志中没有策略变更（POLICY）条目",
        "The log has no POLICY entries: changes of policy are not recorded",
    )


def administrators(s: Signals) -> list[Words]:
    """Administrators' actions were logged."""
    roles = "、".join(f"{k}×{n}" for k, n in sorted(s.roles.items()))
    return some(
        s.roles,
        f"管理操作记录：{roles}",
        f"Actions of administrators logged: {roles.replace('、', ', ')}",
    )


def no_administrators(s: Signals) -> list[Words]:
    """Roles without any record."""
    absent = [role for role in ("system", "security", "audit") if not s.roles.get(role)]
    return some(
        absent,
        f"没有以下角色的操作记录：{'、'.join(absent)}",
        f"No actions of these roles are logged: {', '.join(absent)}",
    )


def heartbeats(s: Signals) -> list[Words]:
    """The log was alive."""
    return some(
        s.type("HEARTBEAT"),
        f"{s.type('HEARTBEAT')} 条心跳；日志不可用时服务拒绝一切请求",
        f"{s.type('HEARTBEAT')} heartbeats; while the log is down the service refuses everything",
    )


def heartbeat_gaps(s: Signals) -> list[Words]:
    """The log was silent for a while."""
    return some(
        s.has("heartbeat.gap"),
        "心跳有间断，见“核验结果”",
        "There are gaps between heartbeats; see the findings",
    ) + some(not s.type("HEARTBEAT"), "没有心跳条目", "There are no heartbeat entries")


def retention(s: Signals) -> list[Words]:
    """How far back the log reaches."""
    return some(
        s.report.entries,
        f"本证据包最早与最新条目相隔 {s.span_days} 天",
        f"The oldest and the newest entry of this pack are {s.span_days} days apart",
    )


def too_short(s: Signals) -> list[Words]:
    """Not yet six months."""
    return some(
        s.span_days < RETENTION_FLOOR_DAYS,
        f"尚不足 {RETENTION_FLOOR_DAYS} 天，不能据此证明留存期限",
        f"Less than {RETENTION_FLOOR_DAYS} days: retention cannot be shown from it yet",
    )


def tenants(s: Signals) -> list[Words]:
    """Who asked how often."""
    shown = "、".join(f"{k}×{n}" for k, n in sorted(s.tenants.items())[:20])
    return some(
        s.tenants,
        f"覆盖 {len(s.tenants)} 个租户（{shown}），每个请求有许可与结束两条记录",
        f"{len(s.tenants)} tenants covered ({shown.replace('、', ', ')}); each request has a"
        " permission and an end",
    )


def erasures(s: Signals) -> list[Words]:
    """Deletions are provable."""
    return some(
        s.type("ERASURE"),
        f"{s.type('ERASURE')} 条删除记录（销毁密钥），不影响任何证明",
        f"{s.type('ERASURE')} erasures (destruction of a subject's key); proofs are unaffected",
    )


def no_plaintext(_: Signals) -> list[Words]:
    """What the log never holds."""
    return [
        (
            "条目格式不容纳明文与未加盐的个人信息；正文只以加盐摘要出现",
            (
                "Entries have no room for plaintext or unsalted personal data; bodies appear as"
                " salted digests only"
            ),
        )
    ]


def entrusted(s: Signals) -> list[Words]:
    """Who processed what for whom."""
    models = "、".join(f"{k}×{n}" for k, n in sorted(s.models.items())[:20])
    return tenants(s) + some(
        s.models,
        f"受托处理方（节点）{'、'.join(sorted(s.nodes))}；所用模型及次数：{models}",
        f"Entrusted parties (nodes): {', '.join(sorted(s.nodes))}; models used:"
        f" {models.replace('、', ', ')}",
    )


# What the configuration states, said as such.


def retention_configured(s: Signals) -> list[Words]:
    """How long the operator means to keep it."""
    stated = s.configuration
    if stated is None or stated.retention_days is None:
        return []
    return [
        (
            f"配置声明：已发布的日志保留 {stated.retention_days} 天",
            f"Stated by the configuration: what is published is kept {stated.retention_days} days",
        )
    ]


def roles_configured(s: Signals) -> list[Words]:
    """Which roles somebody holds."""
    stated = s.configuration
    held = [role for role, count in stated.roles.items() if count] if stated else []
    return some(
        held,
        f"配置声明：三权分立角色 {'、'.join(held)}；一个令牌只属于一个角色",
        f"Stated by the configuration: separate roles {', '.join(held)}; one token holds one role",
    )


def no_roles_configured(s: Signals) -> list[Words]:
    """Roles nobody holds."""
    stated = s.configuration
    absent = [role for role, count in stated.roles.items() if not count] if stated else []
    return some(
        absent,
        f"配置中无人担任：{'、'.join(absent)}",
        f"Nobody holds, by the configuration: {', '.join(absent)}",
    )


def forwarded(s: Signals) -> list[Words]:
    """Events go to a security centre."""
    centres = s.configuration.forwarding if s.configuration else ()
    return some(
        centres,
        f"配置声明：证明结论与安全事件转发至安全管理中心（{'、'.join(centres)}）",
        f"Stated by the configuration: verdicts and security events go to a security centre"
        f" ({', '.join(centres)})",
    )


def not_forwarded(s: Signals) -> list[Words]:
    """Nothing goes to a security centre."""
    return some(
        s.configuration is None or not s.configuration.forwarding,
        "没有关于转发至安全管理中心的配置",
        "No forwarding to a security centre is shown by a configuration",
    )


def subjects_private(s: Signals) -> list[Words]:
    """Subjects appear only as commitments."""
    return some(
        s.type("SUBJECT"),
        f"{s.type('PRIVATE')} 条个人主体字段：加盐承诺与 SM4-GCM 密文，密钥按主体分立，可单独销毁",
        f"{s.type('PRIVATE')} entries with fields about a subject: salted commitment and SM4-GCM"
        " ciphertext, under a key for each subject that can be destroyed",
    )
