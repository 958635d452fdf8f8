"""The fixed words of a report, in Chinese and English.

Source: docs/compliance.md.
"""

from typing import Final

from .items import Words

NOTICE: Final[Words] = (
    (
        "本报告是证据汇总，不是测评结论。密码应用安全性评估与网络安全等级测评只能由具备资质的机构实施；"
        "本工具不作出任何“符合”判断。"
    ),
    (
        "This report gathers evidence; it is not an assessment. Assessments of cryptography"
        " applications and of classified protection are done by licensed bodies only; this tool"
        " states no conformity."
    ),
)
FOOTNOTES: Final[dict[str, Words]] = {
    "S2": (
        "条款编号与表述来自二手资料，请对照标准原文核实。",
        "Numbering and wording come from a secondary source: verify against the standard's text.",
    ),
    "K": (
        "条款编号与表述来自一般知识，请对照标准原文核实。",
        "Numbering and wording come from general knowledge: verify against the standard's text.",
    ),
}
LABELS: Final[dict[str, Words]] = {
    "items": ("逐项证据", "Evidence, item by item"),
    "item": ("条款", "Item"),
    "title": ("要求（简述）", "Asks for (in short)"),
    "strength": ("强度", "Strength"),
    "support": ("证据情况", "Evidence"),
    "held": ("本日志与配置所持证据", "What this log and configuration hold"),
    "missing": ("缺少", "What is missing"),
    "reach": ("工具无法触及", "Out of reach"),
    "findings": ("核验结果", "Findings of the verification"),
    "none": ("没有发现", "None"),
    "charts": ("概览", "At a glance"),
    "stands": ("核验通过：证据成立", "Verified: the evidence stands"),
    "refuted": ("核验未通过：证据不成立", "Refuted: the evidence does not stand"),
    "log": ("日志", "Log"),
    "pack": ("证据包 SM3", "Pack, SM3"),
    "head": ("检查点", "Checkpoint"),
    "period": ("时段", "Period"),
    "entries": ("条目", "Entries"),
    "entries-of": ("{count} 条，日志共 {size} 条", "{count} of the log's {size}"),
    "witnesses": ("见证者", "Witnesses"),
    "nobody": ("无 (UNWITNESSED)", "none (UNWITNESSED)"),
    "configuration": ("网关配置 SM3", "Gateway configuration, SM3"),
    "no-configuration": (
        "未提供（--config），仅据日志",
        "not given (--config): the log alone was read",
    ),
    "made-at": ("报告生成", "Report made"),
    "tool": (
        "由 mifeng {version} 离线核验后生成",
        "by mifeng {version}, after offline verification",
    ),
    "simulated": (
        "SIMULATED：本日志含模拟证明，不证明任何硬件",
        "SIMULATED: this log holds simulated evidence, which proves no hardware",
    ),
    "kinds": ("条目类型", "Types of entries"),
    "kind": ("类型", "Type"),
    "count": ("数量", "Number"),
    "caveats": ("说明", "Remarks"),
    "footnotes": ("脚注", "Footnotes"),
    "error": ("错误", "error"),
    "warning": ("警告", "warning"),
    "note": ("提示", "note"),
    "prepared": ("编制", "Prepared by"),
    "reviewed": ("复核", "Reviewed by"),
    "date": ("日期", "Date"),
    "page": ("第 {page} 页，共 {pages} 页", "page {page} of {pages}"),
    "short-notice": ("证据汇总，非测评结论", "evidence, not an assessment"),
}


def label(key: str, at: int) -> str:
    """Return a label; `at` is 0 for Chinese, 1 for English."""
    return LABELS[key][at]
