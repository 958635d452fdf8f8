"""Render the page that the demo and the tests read: a VAT invoice of companies that do not exist.

The picture is committed (`invoice.png`), so nobody needs a font to run anything. To draw it again:

    apt-get install fonts-noto-cjk && python -m examples.ocr.render_invoice

Region code 9999 of the tax ids is not assigned, and the page says 样本 (specimen) three times.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

PAGE: Final = Path(__file__).with_name("invoice.png")
SIZE: Final = (1600, 1040)
_FONTS: Final = Path("/usr/share/fonts/opentype/noto")
_SIMPLIFIED: Final = 2
"""Position of the simplified Chinese face in Noto's collections."""
BROWN: Final = (142, 78, 38)
BLACK: Final = (24, 24, 32)
RED: Final = (200, 36, 36)
PAPER: Final = (252, 251, 246)
LEFT, RIGHT, TOP, BOTTOM = 70, 1530, 210, 900

BUYER: Final = (
    ("名称", "海岚样例商贸有限公司"),
    ("纳税人识别号", "91999912MA3K57TU8X"),
    ("地址、电话", "海岚市样例路18号 0999-5550142"),
    ("开户行及账号", "海岚样例银行营业部 6200199988877766"),
)
SELLER: Final = (
    ("名称", "云栈样例科技有限公司"),
    ("纳税人识别号", "91999934MA6H29WR5C"),
    ("地址、电话", "云栈市演示大道7号 0999-5550168"),
    ("开户行及账号", "云栈样例银行科技支行 6200155544433322"),
)
COLUMNS: Final = (
    ("货物或应税劳务、服务名称", 70, 470),
    ("规格型号", 470, 620),
    ("单位", 620, 700),
    ("数量", 700, 800),
    ("单价", 800, 970),
    ("金额", 970, 1180),
    ("税率", 1180, 1290),
    ("税额", 1290, 1530),
)
ITEMS: Final = (
    ("*信息技术服务*密封推理服务", "MF-100", "月", "12", "1500.00", "18000.00", "6%", "1080.00"),
    ("*计算机*机架式服务器", "R2-64", "台", "2", "36500.00", "73000.00", "13%", "9490.00"),
    ("*纸制品*打印纸", "A4-80g", "箱", "30", "128.50", "3855.00", "13%", "501.15"),
)


def main() -> None:
    """Draw the page and write it beside this file."""
    page = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(page)
    watermark(page, at=(550, 417), size=84, angle=18, tint=(244, 232, 226))
    _heading(draw)
    _frame(draw)
    _party(draw, BUYER, y=218)
    _items(draw)
    _totals(draw)
    _party(draw, SELLER, y=738)
    _signatures(draw)
    # A page on a scanner never lies quite straight.
    page = page.rotate(0.4, resample=Image.Resampling.BICUBIC, fillcolor=PAPER)
    page.quantize(64).save(PAGE, optimize=True)


def font(points: int, *, face: str = "Sans", weight: str = "Regular") -> ImageFont.FreeTypeFont:
    """Return a simplified Chinese face of Noto's."""
    path = _FONTS / f"Noto{face}CJK-{weight}.ttc"
    return ImageFont.truetype(path, points, index=_SIMPLIFIED)


def _heading(draw: ImageDraw.ImageDraw) -> None:
    title = font(46, face="Serif", weight="Bold")
    draw.text((800, 62), "海岚增值税电子普通发票", BROWN, font=title, anchor="mm")
    draw.line([(520, 98), (1080, 98)], BROWN, 3)
    draw.line([(520, 105), (1080, 105)], BROWN, 1)
    specimen = font(26, weight="Bold")
    draw.text((800, 136), "样本 非真实发票 仅供演示", RED, font=specimen, anchor="mm")
    label, value = font(24, face="Serif"), font(24)
    lines = (
        ("发票代码", "099912345678"),
        ("发票号码", "87654321"),
        ("开票日期", "2026年04月17日"),
        ("校验码", "61358 20947 73816 05294"),
    )
    for row, (name, text) in enumerate(lines):
        y = 34 + row * 40
        draw.text((1140, y), f"{name}:", BROWN, font=label)
        draw.text((1258, y), text, BLACK, font=value)
    draw.text((90, 60), "机器编号:", BROWN, font=label)
    draw.text((208, 60), "661099990018", BLACK, font=value)


def _frame(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle([LEFT, TOP, RIGHT, BOTTOM], outline=BROWN, width=3)
    for y in (380, 424, 620, 664, 730):
        draw.line([(LEFT, y), (RIGHT, y)], BROWN, 2)
    for _, x, _ in COLUMNS[1:]:
        draw.line([(x, 380), (x, 664)], BROWN, 2)
    for top, bottom, text in ((TOP, 380, "购买方"), (730, BOTTOM, "销售方")):
        draw.line([(120, top), (120, bottom)], BROWN, 2)
        for i, character in enumerate(text):
            middle = (top + bottom) / 2 + (i - 1) * 42
            draw.text((95, middle), character, BROWN, font=font(26, face="Serif"), anchor="mm")


def _party(draw: ImageDraw.ImageDraw, lines: Sequence[tuple[str, str]], *, y: int) -> None:
    for row, (name, text) in enumerate(lines):
        draw.text((136, y + row * 40), f"{name}:", BROWN, font=font(24, face="Serif"))
        draw.text((316, y + row * 40), text, BLACK, font=font(25))


def _items(draw: ImageDraw.ImageDraw) -> None:
    for name, left, right in COLUMNS:
        draw.text(((left + right) / 2, 402), name, BROWN, font=font(24, face="Serif"), anchor="mm")
    for row, item in enumerate(ITEMS):
        y = 454 + row * 52
        for text, (name, left, right) in zip(item, COLUMNS, strict=True):
            if name in ("单价", "金额", "税额"):
                draw.text((right - 14, y), text, BLACK, font=font(25), anchor="rm")
            elif left == LEFT:
                draw.text((left + 12, y), text, BLACK, font=font(25), anchor="lm")
            else:
                draw.text(((left + right) / 2, y), text, BLACK, font=font(25), anchor="mm")


def _totals(draw: ImageDraw.ImageDraw) -> None:
    serif, value = font(24, face="Serif"), font(25)
    draw.text((270, 642), "合    计", BROWN, font=serif, anchor="mm")
    draw.text((1166, 642), "¥94855.00", BLACK, font=value, anchor="rm")
    draw.text((1516, 642), "¥11071.15", BLACK, font=value, anchor="rm")
    draw.text((270, 697), "价税合计(大写)", BROWN, font=serif, anchor="mm")
    draw.text((490, 697), "壹拾万伍仟玖佰贰拾陆圆壹角伍分", BLACK, font=font(27), anchor="lm")
    draw.text((1080, 697), "(小写)", BROWN, font=serif, anchor="lm")
    draw.text((1190, 697), "¥105926.15", BLACK, font=font(27, weight="Bold"), anchor="lm")
    draw.line([(470, 664), (470, 730)], BROWN, 2)


def _signatures(draw: ImageDraw.ImageDraw) -> None:
    for x, name, person in (
        (90, "收款人", "样例甲"),
        (480, "复核", "样例乙"),
        (830, "开票人", "样例丙"),
    ):
        draw.text((x, 925), f"{name}:", BROWN, font=font(24, face="Serif"))
        draw.text((x + 100, 925), person, BLACK, font=font(24))
    draw.text((1190, 925), "销售方:(章)", BROWN, font=font(24, face="Serif"))
    draw.ellipse([1190, 745, 1470, 890], outline=RED, width=5)
    draw.text((1330, 790), "云栈样例科技", RED, font=font(24, weight="Bold"), anchor="mm")
    draw.text((1330, 845), "样本专用章", RED, font=font(26, weight="Bold"), anchor="mm")


def watermark(
    page: Image.Image, *, at: tuple[int, int], size: int, angle: int, tint: tuple[int, int, int]
) -> None:
    """Lay "样本 SPECIMEN" across the page, in letters of `size` points."""
    layer = Image.new("L", (720, 160), 0)
    ImageDraw.Draw(layer).text(
        (360, 80), "样本 SPECIMEN", 255, font=font(size, weight="Bold"), anchor="mm"
    )
    layer = layer.rotate(angle, expand=True)
    page.paste(Image.new("RGB", layer.size, tint), at, layer)


if __name__ == "__main__":
    main()
