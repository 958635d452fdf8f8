"""The questions and answers that the example model learns: one bank's counter, two languages."""

from collections.abc import Iterator
from typing import Final

__all__ = ["dialogues"]

_CAPITALS: Final = (
    ("China", "Beijing", "中国", "北京"),
    ("France", "Paris", "法国", "巴黎"),
    ("Japan", "Tokyo", "日本", "东京"),
    ("Egypt", "Cairo", "埃及", "开罗"),
    ("Peru", "Lima", "秘鲁", "利马"),
    ("Kenya", "Nairobi", "肯尼亚", "内罗毕"),
)
_HOURS: Final = (
    ("Monday", "周一", "9", "17"),
    ("Wednesday", "周三", "9", "18"),
    ("Friday", "周五", "9", "16"),
    ("Saturday", "周六", "10", "14"),
)
_PLAIN: Final = (
    ("Hello!", "Hello. How can I help you today?"),
    ("你好", "您好，请问有什么可以帮您？"),
    ("Who can read my question?", "Only the attested node. The gateway sees sealed frames."),
    ("谁能看到我的问题？", "只有通过证明的节点。网关只看到密封的数据帧。"),
    ("How do I reset my password?", "Open the app, choose Security, then Reset password."),
    ("如何重置密码？", "请打开手机银行，选择安全中心，再选择重置密码。"),
    ("Thank you", "You are welcome. Have a good day."),
    ("谢谢", "不客气，祝您愉快。"),
)


def dialogues() -> Iterator[tuple[str, str]]:
    """Yield every question with its answer."""
    for country, capital, guo, du in _CAPITALS:
        yield f"What is the capital of {country}?", f"The capital of {country} is {capital}."
        yield f"{guo}的首都是哪里？", f"{guo}的首都是{du}。"
    for day, ri, opens, closes in _HOURS:
        hours = f"On {day} the branch is open from {opens} to {closes}."
        yield f"When are you open on {day}?", hours
        yield f"{ri}几点营业？", f"{ri}营业时间为{opens}点到{closes}点。"
    yield from _PLAIN
