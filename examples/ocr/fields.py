"""From lines of an invoice to its fields: what an expense-claims system does with OCR output.

The lines come from `accel_backends.ocr` (texts and rows). A field is found by its printed label;
amounts are checked against each other in fen, because a page whose sums do not add up was
misread or forged.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["FieldsError", "Invoice", "extract", "join_rows"]

_AMOUNT: Final = re.compile(r"[¥￥]\s*(\d+)\.(\d\d)")
_DATE: Final = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日")
_TAX_ID: Final = re.compile(r"\b[0-9A-HJ-NP-RTUWXY]{18}\b")
"""GB 32100-2015: 18 characters, without I, O, S, V and Z."""


class FieldsError(ValueError):
    """The lines are not an invoice we can read, or its sums do not add up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """Fields of a VAT invoice. Amounts are integers, in fen."""

    code: str
    number: str
    date: str
    """ISO 8601."""
    buyer: str
    buyer_tax_id: str
    seller: str
    seller_tax_id: str
    net: int
    tax: int
    total: int


def extract(texts: Sequence[str], rows: Sequence[int]) -> Invoice:
    """Return the fields of the invoice that these lines form.

    Args:
        texts: lines in reading order.
        rows: the row number of each.

    Raises:
        FieldsError: a field is missing, or net + tax is not the total.
    """
    joined = join_rows(texts, rows)
    names = [_after(row, "名称") for row in joined if re.search(r"^\W*名称", row)]
    tax_ids = [match[0] for row in joined for match in _TAX_ID.finditer(row)]
    amounts = [int(yuan) * 100 + int(fen) for row in joined for yuan, fen in _AMOUNT.findall(row)]
    date = next((match for row in joined if (match := _DATE.search(row))), None)
    if len(names) != 2 or len(tax_ids) != 2 or len(amounts) != 3 or date is None:  # noqa: PLR2004
        raise FieldsError("a name, tax id, amount or date is missing")
    net, tax, total = amounts
    if net + tax != total:
        raise FieldsError("net and tax do not add up to the total")
    return Invoice(
        code=_labelled(joined, "发票代码", r"\d{12}"),
        number=_labelled(joined, "发票号码", r"\d{8}"),
        date=f"{int(date[1]):04}-{int(date[2]):02}-{int(date[3]):02}",
        buyer=names[0],
        buyer_tax_id=tax_ids[0],
        seller=names[1],
        seller_tax_id=tax_ids[1],
        net=net,
        tax=tax,
        total=total,
    )


def join_rows(texts: Sequence[str], rows: Sequence[int]) -> list[str]:
    """Return each row's lines, joined by a space, in reading order."""
    joined: dict[int, list[str]] = {}
    for text, row in zip(texts, rows, strict=True):
        joined.setdefault(row, []).append(text)
    return [" ".join(parts) for parts in joined.values()]


def _after(row: str, label: str) -> str:
    """Return what follows a label, without the punctuation between."""
    return row.partition(label)[2].strip(" :：")


def _labelled(rows: Sequence[str], label: str, pattern: str) -> str:
    for row in rows:
        if match := re.search(rf"{label}\W*({pattern})\b", row):
            return match[1]
    raise FieldsError(f"{label} is missing")
