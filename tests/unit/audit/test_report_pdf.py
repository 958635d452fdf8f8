"""The PDF report: real Chinese in an embedded font, evidence and not an assessment on its cover."""

import re
from pathlib import Path

import pytest

from mifeng.audit.compliance import fonts, pdf
from mifeng.audit.compliance.profiles import PROFILES
from mifeng.audit.compliance.words import NOTICE
from mifeng.errors import UsageError
from tests.unit.audit.made import NOW, Made
from tests.unit.audit.test_compliance import busy, signals

pdfium = pytest.importorskip("pypdfium2", reason="reads the PDF back; requirements/dev.txt")


@pytest.fixture(scope="module", autouse=True)
def _font() -> None:
    try:
        fonts.find()
    except UsageError as exc:
        pytest.skip(str(exc))


def pages(data: bytes) -> list[str]:
    """Return the text of each page, as a reader that is not ours extracts it."""
    document = pdfium.PdfDocument(data)
    try:
        texts = []
        for page in document:
            text = page.get_textpage()
            texts.append(re.sub(r"\s+", "", text.get_text_range()))
            text.close()
            page.close()
        return texts
    finally:
        document.close()


def written(made: Made, path: Path, *, key: str = "gbt39786", lang: str = "zh") -> bytes:
    """Return a report's PDF."""
    return pdf.to_pdf(PROFILES[key], signals(made, path), lang=lang, now=NOW)


@pytest.fixture(scope="module")
def report(_font: None, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A report in Chinese, made once."""
    return written(busy(), tmp_path_factory.mktemp("report") / "a.zip")


def test_the_cover_says_what_it_is_in_chinese(report: bytes) -> None:
    """Notice, state, marks and log are on page 1, as text that can be searched."""
    first, *rest = pages(report)
    assert re.sub(r"\s", "", NOTICE[0]) in first
    assert "核验通过" in first
    assert "SIMULATED" in first
    assert "log.example/audit" in first
    everything = "".join(rest)
    for item in PROFILES["gbt39786"].items:
        assert re.sub(r"\s", "", item.title[0]) in everything
    assert "请对照标准原文核实" in everything
    assert "<b>&tenant" in everything
    assert all(f"第{number}页" in page for number, page in enumerate([first, *rest], 1))


def test_english_and_a_refuted_log(tmp_path: Path) -> None:
    """A log that does not stand says so on the cover; the English report is in English."""
    made = busy()
    made.complete(made.intent(), prev=bytes(32))
    made.refuse(made.intent(tenant="租户🐝"))
    first, *rest = pages(written(made, tmp_path / "a.zip", key="gbt22239", lang="en"))
    assert "notanassessment" in first
    assert "Refuted:theevidencedoesnotstand" in first
    assert "租户?" in "".join(rest)


def test_glyphs_are_drawn_not_boxes(report: bytes) -> None:
    """Rendered, the cover has as much ink as a page of Chinese has: glyphs are really there."""
    document = pdfium.PdfDocument(report)
    page = document[0]
    picture = page.render(scale=1, grayscale=True)
    pixels = bytes(picture.buffer)
    dark = sum(value < 128 for value in pixels) / len(pixels)
    page.close()
    document.close()
    assert 0.01 < dark < 0.2


def test_fonts_are_embedded_and_the_form_is_archival(report: bytes) -> None:
    """Each font carries its program; the file says it is PDF/A-2u; nothing refers elsewhere."""
    assert report.startswith(b"%PDF-1.7")
    assert report.count(b"/FontFile3") + report.count(b"/FontFile2") == 2
    assert b"pdfaid:part" in report
    assert b"/JavaScript" not in report
    assert b"/URI" not in report
    assert b"/EmbeddedFile" not in report


def test_a_font_without_chinese_is_refused(tmp_path: Path) -> None:
    """What is no font, or has no Chinese, is refused by name."""
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"\x00\x01\x00\x00 and no more")
    with pytest.raises(UsageError, match="no font that can be read"):
        fonts.find(broken)
    latin = tmp_path / "latin.ttf"
    _latin(latin)
    with pytest.raises(UsageError, match="no Chinese characters"):
        fonts.find(latin)
    _latin(latin, restricted=True)
    with pytest.raises(UsageError, match="forbids embedding"):
        fonts.find(latin)


def _latin(path: Path, *, restricted: bool = False) -> None:
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib.tables._g_l_y_f import Glyph

    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "A"])
    builder.setupCharacterMap({65: "A"})
    builder.setupGlyf({".notdef": Glyph(), "A": Glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "A": (500, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Latin", "styleName": "Regular"})
    builder.setupOS2(fsType=2 if restricted else 0)
    builder.setupPost()
    builder.save(path)
