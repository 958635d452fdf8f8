"""Read an invoice through any Open Inference Protocol server: an ordinary program."""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from examples.ocr.fields import FieldsError, extract
from examples.oip import infer

PAGE = Path(__file__).with_name("invoice.png")


def main(url: str, page: Path = PAGE) -> int:
    """Print the fields of one page; return 1 if it was not read as an invoice."""
    answer = infer(url, "ocr", {"image": np.array([page.read_bytes()], dtype=object)})
    texts = [text.decode() for text in answer.outputs["text"]]
    print(f"{len(texts)} lines, verified: {answer.headers.get('mifeng-verified')}")
    try:
        fields = extract(texts, answer.outputs["row"].tolist())
    except FieldsError as error:
        print(f"not read as an invoice: {error}")
        return 1
    for name, value in asdict(fields).items():
        print(f"  {name:14} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(Path, sys.argv[2:])))
