"""Find a font with Chinese characters to embed in a PDF.

None is shipped: a CJK font is larger than all of this product. Distributions package them (Debian:
`fonts-noto-cjk`), and desktops have one. A font whose licence bits forbid embedding is refused.

Source: docs/compliance.md; OpenType OS/2 `fsType`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mifeng.errors import UsageError

PROBE: Final = "密封证据核验签名“”，。"
_RESTRICTED: Final = 0x0002
_FOLDERS: Final = (
    "/usr/share/fonts/opentype/noto",
    "/usr/share/fonts/noto-cjk",
    "/usr/share/fonts/google-noto-cjk",
    "/usr/share/fonts/google-noto-sans-cjk-fonts",
    "/usr/share/fonts/truetype/wqy",
    "/usr/share/fonts/wqy-microhei",
    "/usr/local/share/fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "C:/Windows/Fonts",
)
_NAMES: Final = (
    ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"),
    ("NotoSansCJKsc-Regular.otf", "NotoSansCJKsc-Bold.otf"),
    ("SourceHanSansSC-Regular.otf", "SourceHanSansSC-Bold.otf"),
    ("wqy-microhei.ttc", "wqy-microhei.ttc"),
    ("msyh.ttc", "msyhbd.ttc"),
    ("simhei.ttf", "simhei.ttf"),
    ("STHeiti Light.ttc", "STHeiti Medium.ttc"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One face in a font file."""

    path: Path
    number: int
    """Its position in a collection; 0 in a file of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What a report is set in."""

    regular: Face
    bold: Face


def find(chosen: Path | None = None) -> Family:
    """Return a font that has Chinese and may be embedded.

    Args:
        chosen: the file to use, for both weights; None to look where fonts usually are.

    Raises:
        UsageError: there is none, or the chosen one cannot serve.
    """
    if chosen is not None:
        face = _face(chosen)
        return Family(regular=face, bold=face)
    for folder in map(Path, _FOLDERS):
        for regular, bold in _NAMES:
            if not (folder / regular).is_file():
                continue
            light = _face(folder / regular)
            heavy = _face(folder / bold) if (folder / bold).is_file() else light
            return Family(regular=light, bold=heavy)
    raise UsageError(
        "pdf: no Chinese font found: install one (Debian: fonts-noto-cjk) or name one with --font"
    )


def _face(path: Path) -> Face:
    """Return the face of a file that is made for simplified Chinese, else its first."""
    try:
        from fontTools.ttLib import TTCollection, TTFont, TTLibError
    except ImportError as exc:
        raise UsageError("pdf: install mifeng[pdf]") from exc
    try:
        with path.open("rb") as file:
            if path.suffix.lower() in {".ttc", ".otc"}:
                fonts = list(TTCollection(file, lazy=True))
            else:
                fonts = [TTFont(file, lazy=True)]
            names = [str(font["name"].getDebugName(4)) for font in fonts]
            number = next((i for i, name in enumerate(names) if " SC" in name), 0)
            restricted = fonts[number]["OS/2"].fsType & _RESTRICTED
            covered = fonts[number].getBestCmap()
    except (OSError, TTLibError, KeyError, AttributeError, IndexError, AssertionError) as exc:
        raise UsageError(f"pdf: {path} is no font that can be read") from exc
    if restricted:
        raise UsageError(f"pdf: the licence of {path} forbids embedding")
    if not covered or any(ord(char) not in covered for char in PROBE):
        raise UsageError(f"pdf: {path} has no Chinese characters")
    return Face(path=path, number=number)
