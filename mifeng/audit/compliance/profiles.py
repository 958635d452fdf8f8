"""The profiles: which items, in the order of their standard.

Source: docs/compliance.md; items and marks as explained in `items`.
"""

from collections.abc import Callable
from typing import Final

from .items import (
    Item,
    Profile,
    Words,
    administrators,
    attested,
    entrusted,
    erasures,
    forwarded,
    heartbeat_gaps,
    heartbeats,
    integrity,
    no_administrators,
    no_client_signature,
    no_plaintext,
    no_policy_entries,
    no_roles_configured,
    no_witness,
    not_forwarded,
    not_national,
    nothing,
    policies_logged,
    receipts,
    retention,
    retention_configured,
    roles_configured,
    sealed,
    simulated,
    subjects_private,
    tenants,
    too_short,
)
from .signals import Signals

Source = Callable[[Signals], list[Words]]

_HOST: Final = (
    "主机、机房、人员与制度层面的证据不在日志内",
    "Evidence about hosts, premises, people and procedures is not in a log",
)
_HANDSHAKE: Final = (
    "外层 TLS/TLCP 通道由反向代理终止，其握手记录不在本日志内",
    "The outer TLS/TLCP channel ends at the reverse proxy; its handshakes are not in this log",
)
_PRIVATE: Final = (
    "告知、同意、影响评估与合同由运营者另行提供",
    "Notices, consent, impact assessments and contracts are the operator's to show",
)


def _all(*sources: Source) -> Source:
    return lambda signals: [words for source in sources for words in source(signals)]


GBT39786: Final = Profile(
    key="gbt39786",
    title=(
        "GB/T 39786-2021 信息系统密码应用基本要求（第三级）证据对照",
        "Evidence by item of GB/T 39786-2021, cryptography application, level 3",
    ),
    caveats=(
        (
            (
                "第三级通常要求采用经认证的密码产品（GB/T 37092 二级及以上）；"
                "纯软件 SM2 密钥不满足密钥管理评分要求。"
            ),
            (
                "Level 3 usually asks for certified products (GB/T 37092 level 2 or above); an"
                " SM2 key"
                " in software alone does not satisfy the scoring of key management."
            ),
        ),
    ),
    items=(
        Item(
            id=("8.2 a", "8.2 a"),
            title=("通信实体身份鉴别", "Authentication of communicating entities"),
            strength="应",
            mark="K",
            held=attested,
            missing=simulated,
            reach=_HANDSHAKE,
        ),
        Item(
            id=("8.2 b/c", "8.2 b/c"),
            title=("通信数据完整性、机密性", "Integrity and confidentiality in transit"),
            strength="宜/应",
            mark="K",
            held=sealed,
            missing=not_national,
            reach=_HANDSHAKE,
        ),
        Item(
            id=("8.2 d", "8.2 d"),
            title=("边界访问控制信息完整性", "Integrity of boundary access control information"),
            strength="宜",
            mark="K",
            held=policies_logged,
            missing=no_policy_entries,
        ),
        Item(
            id=("8.2 e", "8.2 e"),
            title=("接入设备认证", "Authentication of devices that join"),
            strength="可",
            mark="K",
            held=attested,
            missing=simulated,
        ),
        Item(
            id=("8.3 a/b", "8.3 a/b"),
            title=("登录设备用户鉴别、远程管理通道", "Administrators' login and channel"),
            strength="应",
            mark="K",
            held=_all(administrators, roles_configured),
            missing=_all(no_administrators, no_roles_configured),
            reach=_HOST,
        ),
        Item(
            id=("8.3 e", "8.3 e"),
            title=("日志记录完整性", "Integrity of log records"),
            strength="宜",
            mark="K",
            held=integrity,
            missing=no_witness,
        ),
        Item(
            id=("8.3 f", "8.3 f"),
            title=("重要可执行程序完整性与来源真实性", "Integrity and origin of executables"),
            strength="宜",
            mark="K",
            held=attested,
            missing=simulated,
        ),
        Item(
            id=("8.4 a", "8.4 a"),
            title=("登录用户身份鉴别", "Authentication of users"),
            strength="应",
            mark="S2",
            held=tenants,
            missing=no_client_signature,
        ),
        Item(
            id=("8.4 b/c", "8.4 b/c"),
            title=("访问控制信息、安全标记完整性", "Integrity of access control and labels"),
            strength="宜",
            mark="S2",
            held=policies_logged,
            missing=no_policy_entries,
        ),
        Item(
            id=("8.4 d", "8.4 d"),
            title=("重要数据传输机密性", "Confidentiality of important data in transit"),
            strength="应",
            mark="S2",
            held=sealed,
            missing=not_national,
        ),
        Item(
            id=("8.4 e", "8.4 e"),
            title=("重要数据存储机密性", "Confidentiality of important data at rest"),
            strength="应",
            mark="S2",
            held=_all(no_plaintext, subjects_private),
            missing=lambda _: [
                (
                    "业务数据与模型在主机上的存储加密不在日志内",
                    "Encryption at rest of business data and models on hosts is not in the log",
                )
            ],
            reach=_HOST,
        ),
        Item(
            id=("8.4 f/g", "8.4 f/g"),
            title=("重要数据传输、存储完整性", "Integrity in transit and at rest"),
            strength="宜",
            mark="S2",
            held=_all(receipts, integrity),
            missing=nothing,
        ),
        Item(
            id=("8.4 h", "8.4 h"),
            title=("不可否认性", "Non-repudiation"),
            strength="宜",
            mark="K",
            held=receipts,
            missing=_all(no_client_signature, no_witness),
        ),
        Item(
            id=("附录 B", "Annex B"),
            title=("密钥管理", "Key management"),
            strength="",
            mark="K",
            held=lambda s: [
                (
                    (
                        f"密钥集 {s.type('KEYSET')} 个，有效期与启用时刻均在日志中；"
                        f"日志密钥变更 {max(0, s.type('KEY') - 1)} 次，形成签名链"
                    ),
                    (
                        f"{s.type('KEYSET')} keysets with their lives in the log;"
                        f" {max(0, s.type('KEY') - 1)} changes of the log's key, in a signed chain"
                    ),
                )
            ],
            missing=lambda _: [
                (
                    "日志不能证明密钥存放在经认证的硬件中",
                    "The log cannot show that keys are kept in certified hardware",
                )
            ],
        ),
    ),
)

GBT22239: Final = Profile(
    key="gbt22239",
    title=(
        "GB/T 22239-2019 网络安全等级保护基本要求（第三级）证据对照",
        "Evidence by item of GB/T 22239-2019, classified protection, level 3",
    ),
    caveats=(),
    items=(
        Item(
            id=("8.1.4.3 a", "8.1.4.3 a"),
            title=("启用安全审计，覆盖到每个用户", "Security audit covers every user"),
            strength="应",
            mark="S2",
            held=tenants,
            missing=no_administrators,
        ),
        Item(
            id=("8.1.4.3 b", "8.1.4.3 b"),
            title=("记录日期时间、用户、类型、是否成功", "Time, user, type and success recorded"),
            strength="应",
            mark="S2",
            held=lambda s: [
                (
                    f"条目格式强制包含时间、主体、类型与结果；{len(s.report.types)} 种类型在用",
                    (
                        "The entry format makes time, subject, type and outcome mandatory;"
                        f" {len(s.report.types)} types in use"
                    ),
                )
            ],
            missing=nothing,
        ),
        Item(
            id=("8.1.4.3 c", "8.1.4.3 c"),
            title=("审计记录的保护与备份", "Protection and backup of audit records"),
            strength="应",
            mark="S2",
            held=integrity,
            missing=_all(
                no_witness,
                lambda _: [
                    (
                        "备份与恢复演练记录由运营者另行提供",
                        "Records of backups and restore drills are the operator's to show",
                    )
                ],
            ),
        ),
        Item(
            id=("8.1.4.3 d", "8.1.4.3 d"),
            title=("保护审计进程，防止未授权中断", "The audit process cannot be interrupted"),
            strength="应",
            mark="K",
            held=heartbeats,
            missing=heartbeat_gaps,
        ),
        Item(
            id=("8.1.3.5 d", "8.1.3.5 d"),
            title=("远程访问行为单独审计", "Separate audit of remote access"),
            strength="应",
            mark="K",
            held=tenants,
            missing=nothing,
            reach=_HOST,
        ),
        Item(
            id=("8.1.4.6", "8.1.4.6"),
            title=("可信验证并形成审计记录", "Trusted verification leaves audit records"),
            strength="可",
            mark="K",
            held=_all(attested, forwarded),
            missing=_all(simulated, not_forwarded),
        ),
        Item(
            id=("8.1.5.2", "8.1.5.2"),
            title=("审计管理员鉴别与操作审计", "Auditors are authenticated and audited"),
            strength="应",
            mark="K",
            held=_all(administrators, roles_configured),
            missing=_all(no_administrators, no_roles_configured),
        ),
        Item(
            id=("8.1.5.4", "8.1.5.4"),
            title=("集中管控：留存期限与时钟", "Central control: retention and clocks"),
            strength="应",
            mark="K",
            held=_all(retention, retention_configured),
            missing=too_short,
            reach=_HOST,
        ),
        Item(
            id=("网络安全法", "Cybersecurity Law"),
            title=("网络日志留存不少于六个月", "Network logs kept for at least six months"),
            strength="",
            mark="S2",
            held=_all(retention, retention_configured),
            missing=too_short,
        ),
    ),
)

PIPL: Final = Profile(
    key="pipl",
    title=(
        "个人信息保护法及相关规定 证据对照",
        "Evidence under the Personal Information Protection Law and related rules",
    ),
    caveats=(
        (
            "提供推理服务者通常是受托人；个人信息处理者自身的义务不因使用本产品而转移。",
            (
                "Whoever offers inference is usually entrusted; the duties of the personal"
                " information"
                " handler stay where they are."
            ),
        ),
    ),
    items=(
        Item(
            id=("PIPL 第21条", "PIPL Art. 21"),
            title=("委托处理的监督", "Supervision of entrusted processing"),
            strength="",
            mark="K",
            held=entrusted,
            missing=nothing,
            reach=_PRIVATE,
        ),
        Item(
            id=("PIPL 第47条", "PIPL Art. 47"),
            title=("删除", "Deletion"),
            strength="",
            mark="K",
            held=_all(subjects_private, erasures),
            missing=nothing,
            reach=(
                "是否有人提出过删除请求，日志不能说明",
                "Whether anybody asked for deletion, a log cannot say",
            ),
        ),
        Item(
            id=("PIPL 第51条", "PIPL Art. 51"),
            title=("安全措施：加密、去标识化", "Measures: encryption, de-identification"),
            strength="",
            mark="K",
            held=_all(sealed, no_plaintext, subjects_private, attested),
            missing=simulated,
        ),
        Item(
            id=("PIPL 第54/64条", "PIPL Art. 54, 64"),
            title=("合规审计", "Compliance audits"),
            strength="",
            mark="K",
            held=integrity,
            missing=no_witness,
            reach=_PRIVATE,
        ),
        Item(
            id=("PIPL 第55-56条", "PIPL Art. 55–56"),
            title=(
                "影响评估；处理情况记录至少保存三年",
                "Impact assessment; records of processing kept for three years",
            ),
            strength="",
            mark="S2",
            held=_all(retention, retention_configured),
            missing=lambda s: (
                [("尚不足三年", "Less than three years yet")] if s.span_days < 3 * 365 else []
            ),
            reach=_PRIVATE,
        ),
        Item(
            id=("网络数据安全管理条例", "Network Data Security Regulations"),
            title=(
                "提供、委托处理的记录至少保存三年",
                "Records of providing and entrusting kept for three years",
            ),
            strength="",
            mark="K",
            held=_all(entrusted, retention, retention_configured),
            missing=lambda s: (
                [("尚不足三年", "Less than three years yet")] if s.span_days < 3 * 365 else []
            ),
        ),
        Item(
            id=("生成合成内容标识办法 第5条", "Measures on labelling generated content, Art. 5"),
            title=("隐式标识中的内容编号", "Content number in implicit labels"),
            strength="",
            mark="S2",
            held=lambda s: [
                (
                    (
                        "日志序号可作内容编号：每个完成的请求对应唯一条目"
                        f"（共 {s.report.ends.get('COMPLETION', 0)} 条）"
                    ),
                    (
                        "The log index can serve as content number: one entry for each completed"
                        f" request ({s.report.ends.get('COMPLETION', 0)} of them)"
                    ),
                )
            ],
            missing=nothing,
            reach=_PRIVATE,
        ),
    ),
)

PROFILES: Final = {profile.key: profile for profile in (GBT39786, GBT22239, PIPL)}
