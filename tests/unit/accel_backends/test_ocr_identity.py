"""An identity card, read by the real graphs, and what its number says."""

from collections.abc import Sequence

import numpy as np
import pytest

from accel_backends import DeviceRequest, LoadOptions, ocr
from accel_backends.ort import OrtBackend
from examples.ocr import identity
from examples.ocr.fields import FieldsError
from examples.ocr.identity import IdentityCard, check_character, extract
from examples.ocr.models import ModelsMissingError, read_models
from examples.ocr.render_identity import ADDRESS, ETHNICITY, NAME, NUMBER, PAGE, SEX
from tests.unit.accel_backends.conftest import CPU

PRINTED = (
    ("姓名", "样例丁"),
    ("性别", "女", "民族", "汉"),
    ("出生", "1992年2月29日"),
    ("住址", "海岚市样例路18号2单元301室"),
    ("公民身份号码", "99991219920229010X"),
)
"""Rows of the card as printed."""


def read(rows: Sequence[Sequence[str]]) -> IdentityCard:
    """Return the card that these rows form."""
    texts = [text for row in rows for text in row]
    return extract(texts, [at for at, row in enumerate(rows) for _ in row])


def bent(old: str, new: str) -> list[list[str]]:
    """Return the printed rows with one text replaced."""
    return [[text.replace(old, new) for text in row] for row in PRINTED]


def test_the_page_is_read_by_the_pipeline(backend: OrtBackend) -> None:
    """Every field of the committed page is found, and its number agrees with its print."""
    try:
        models = read_models()
    except ModelsMissingError as error:
        pytest.skip(f"PP-OCR models: {error}")
    options = LoadOptions(devices=(DeviceRequest(ep=CPU),), intra_threads=2)
    pipeline = ocr.load(backend, models, options=options)
    answer = pipeline.infer({"image": np.array([PAGE.read_bytes()], dtype=object)}, {})
    pipeline.close()
    texts = [text.decode() for text in answer["text"]]
    assert identity.is_card(texts)
    assert extract(texts, answer["row"].tolist()) == IdentityCard(
        name=NAME,
        sex=SEX,
        ethnicity=ETHNICITY,
        birth="1992-02-29",
        address=ADDRESS,
        number=NUMBER,
        region="999912",
    )
    assert any("样本" in text for text in texts), "the page says that it is a specimen"


@pytest.mark.parametrize("number", ["11010519491231002X", "440524188001010014"])
def test_check_character_is_the_standards(number: str) -> None:
    """The examples printed in GB 11643-1999 come out."""
    assert check_character(number[:17]) == number[17]


@pytest.mark.parametrize("digits", ["", "1" * 16, "1" * 18, "1" * 16 + "X", "１" * 17])
def test_only_seventeen_digits_have_one(digits: str) -> None:
    """Anything else is the caller's error."""
    with pytest.raises(ValueError, match="17 digits"):
        check_character(digits)


def test_any_digit_misread_is_noticed() -> None:
    """Each digit of the number, replaced by each other one, is refused."""
    for at in range(17):
        for other in set("0123456789") - {NUMBER[at]}:
            with pytest.raises(FieldsError, match="check character"):
                read(bent(NUMBER, NUMBER[:at] + other + NUMBER[at + 1 :]))


@pytest.mark.parametrize("at", range(16))
def test_neighbours_exchanged_are_noticed(at: int) -> None:
    """Two digits that differ and change places are refused."""
    swapped = NUMBER[:at] + NUMBER[at + 1] + NUMBER[at] + NUMBER[at + 2 :]
    if swapped == NUMBER:
        assert read(PRINTED).number == NUMBER
        return
    with pytest.raises(FieldsError, match="check character"):
        read(bent(NUMBER, swapped))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2月29日", "2月28日", "another date of birth"),
        ("1992年", "1993年", "no date"),
        ("2月29日", "13月29日", "no date"),
        ("女", "男", "another sex"),
        ("姓名", "", "name is missing"),
        ("性别", "", "sex is missing"),
        ("民族", "", "ethnicity is missing"),
        ("出生", "", "birth is missing"),
        ("住址", "", "address is missing"),
        ("公民身份号码", "", "number is missing"),
        (NUMBER, NUMBER[:-1], "number is missing"),
        (NUMBER, NUMBER + "0", "number is missing"),
    ],
)
def test_print_and_number_must_agree(old: str, new: str, said: str) -> None:
    """A card that was altered in one place is refused, and what for is said."""
    with pytest.raises(FieldsError, match=said):
        read(bent(old, new))


def test_labels_and_values_in_one_line_are_read_too() -> None:
    """Where the reader joins a label to what follows, the fields are the same."""
    assert read([["".join(row)] for row in PRINTED]) == read(PRINTED)


def test_an_invoice_is_no_card() -> None:
    """Kinds are told apart by the card's own label."""
    assert not identity.is_card(["发票号码", "87654321"])
