"""From lines of an identity card to its fields: what a bank does when it opens an account.

The number says who its holder is a second time: region, date of birth, sex and a check
character. A card whose number and print disagree was misread or forged. Nobody is looked up.

Source: GB 11643-1999, §4 (structure) and §5 (check character, ISO/IEC 7064 MOD 11-2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from examples.ocr.fields import FieldsError, join_rows

__all__ = ["IdentityCard", "check_character", "extract", "is_card"]

_NUMBER: Final = re.compile(r"公民身份号码\W*(\d{17}[0-9X])\b")
_BIRTH: Final = re.compile(r"出生\W*(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日")
_NAME: Final = re.compile(r"姓名\W*(\w+)")
_SEX: Final = re.compile(r"性别\W*([男女])")
_ETHNICITY: Final = re.compile(r"民族\W*(\w+)")
_ADDRESS: Final = re.compile(r"住址\W*(\w+)")
_CHARACTERS: Final = "0123456789X"
_DIGITS: Final = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCard:
    """Fields of a resident identity card; number and print agree."""

    name: str
    sex: str
    """男 or 女."""
    ethnicity: str
    birth: str
    """ISO 8601."""
    address: str
    number: str
    """18 characters; the last is a digit or X."""
    region: str
    """The number's first six digits, GB/T 2260."""


def is_card(texts: Sequence[str]) -> bool:
    """Return whether a page bears a card's own label; says nothing about its being right."""
    return any("公民身份号码" in text for text in texts)


def check_character(digits: str) -> str:
    """Return the 18th character of a number whose first 17 digits are given.

    Raises:
        ValueError: not 17 ASCII digits.
    """
    if re.fullmatch(r"[0-9]{17}", digits) is None:
        raise ValueError("need 17 digits")
    weighted = sum(int(digit) * 2 ** (_DIGITS - at) for at, digit in enumerate(digits))
    return _CHARACTERS[(1 - weighted) % 11]


def extract(texts: Sequence[str], rows: Sequence[int]) -> IdentityCard:
    """Return the fields of the card that these lines form.

    Args:
        texts: lines in reading order.
        rows: the row number of each.

    Raises:
        FieldsError: a field is missing, the check character is another, or the number says
            another date of birth or sex than the print.
    """
    page = "\n".join(join_rows(texts, rows))
    number = _found(_NUMBER, page, "number")[1]
    if check_character(number[:_DIGITS]) != number[_DIGITS]:
        raise FieldsError("the number's check character is another")
    birth = _date(*_found(_BIRTH, page, "date of birth").groups())
    if birth.strftime("%Y%m%d") != number[6:14]:
        raise FieldsError("the number says another date of birth")
    sex = _found(_SEX, page, "sex")[1]
    if sex != ("男" if int(number[16]) % 2 else "女"):
        raise FieldsError("the number says another sex")
    return IdentityCard(
        name=_found(_NAME, page, "name")[1],
        sex=sex,
        ethnicity=_found(_ETHNICITY, page, "ethnicity")[1],
        birth=birth.isoformat(),
        address=_found(_ADDRESS, page, "address")[1],
        number=number,
        region=number[:6],
    )


def _found(pattern: re.Pattern[str], page: str, what: str) -> re.Match[str]:
    if match := pattern.search(page):
        return match
    raise FieldsError(f"{what} is missing")


def _date(year: str, month: str, day: str) -> date:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise FieldsError("the date of birth is no date") from None
