"""Render the other page that the demo and the tests read: an identity card of nobody.

The picture is committed (`identity.png`), so nobody needs a font to run anything. To draw it again:

    apt-get install fonts-noto-cjk && python -m examples.ocr.render_identity

Region code 999912 is not assigned, so the number is nobody's; it bears no emblem and no
portrait, and the card says 样本 (specimen) three times.
"""

from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from examples.ocr.identity import check_character
from examples.ocr.render_invoice import BLACK, RED, font, watermark

PAGE: Final = Path(__file__).with_name("identity.png")
SIZE: Final = (1120, 720)
BLUE: Final = (40, 84, 140)
PAPER: Final = (246, 250, 252)
GREY: Final = (198, 206, 214)

NAME: Final = "样例丁"
SEX: Final = "女"
ETHNICITY: Final = "汉"
BIRTH: Final = (1992, 2, 29)
ADDRESS: Final = "海岚市样例路18号2单元301室"
_DIGITS: Final = "999912{:04}{:02}{:02}".format(*BIRTH) + "010"
NUMBER: Final = _DIGITS + check_character(_DIGITS)


def main() -> None:
    """Draw the card and write it beside this file."""
    page = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(page)
    watermark(page, at=(190, 240), size=88, angle=16, tint=(238, 228, 230))
    draw.rounded_rectangle([24, 24, 1096, 696], radius=36, outline=BLUE, width=4)
    _heading(draw)
    _fields(draw)
    _portrait(draw)
    # A card on a scanner never lies quite straight.
    page = page.rotate(-0.6, resample=Image.Resampling.BICUBIC, fillcolor=PAPER)
    page.quantize(64).save(PAGE, optimize=True)


def _heading(draw: ImageDraw.ImageDraw) -> None:
    draw.text((560, 74), "海岚居民身份证", BLUE, font=font(38, weight="Bold"), anchor="mm")
    specimen = font(26, weight="Bold")
    draw.text((560, 124), "样本 SPECIMEN 非真实证件", RED, font=specimen, anchor="mm")


def _fields(draw: ImageDraw.ImageDraw) -> None:
    year, month, day = BIRTH
    for x, y, label, text in (
        (80, 200, "姓名", NAME),
        (80, 280, "性别", SEX),
        (360, 280, "民族", ETHNICITY),
        (80, 360, "出生", f"{year}年{month}月{day}日"),
        (80, 440, "住址", ADDRESS),
    ):
        draw.text((x, y), label, BLUE, font=font(28), anchor="lm")
        draw.text((x + 110, y), text, BLACK, font=font(32), anchor="lm")
    draw.text((80, 610), "公民身份号码", BLUE, font=font(28), anchor="lm")
    draw.text((330, 610), NUMBER, BLACK, font=font(38, weight="Bold"), anchor="lm")


def _portrait(draw: ImageDraw.ImageDraw) -> None:
    """Where a portrait would be: an outline of nobody."""
    draw.rectangle([790, 180, 1040, 500], outline=GREY, width=3)
    draw.ellipse([860, 220, 970, 340], fill=GREY)
    draw.pieslice([820, 350, 1010, 560], 180, 360, fill=GREY)
    draw.text((915, 478), "样本", RED, font=font(28, weight="Bold"), anchor="mm")


if __name__ == "__main__":
    main()
