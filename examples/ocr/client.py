"""Read pages through any Open Inference Protocol server: an ordinary program."""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from examples.ocr import fields, identity
from examples.oip import infer

PAGES = tuple(Path(__file__).with_name(name) for name in ("invoice.png", "identity.png"))


def main(url: str, *pages: Path) -> int:
    """Print the fields of pages, the two specimens without any; return how many had none."""
    return sum(_read(url, page) for page in pages or PAGES)


def _read(url: str, page: Path) -> int:
    answer = infer(url, "ocr", {"image": np.array([page.read_bytes()], dtype=object)})
    texts = [text.decode() for text in answer.outputs["text"]]
    verified = answer.headers.get("mifeng-verified")
    print(f"{page.name}: {len(texts)} lines, verified: {verified}")
    try:
        kind = identity if identity.is_card(texts) else fields
        found = kind.extract(texts, answer.outputs["row"].tolist())
    except fields.FieldsError as error:
        print(f"not read: {error}")
        return 1
    for name, value in asdict(found).items():
        print(f"  {name:14} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(Path, sys.argv[2:])))
