"""Read a page on this machine and print its fields: `python -m examples.ocr [IMAGE]`.

An identity card is known by its label, everything else is read as an invoice.
The same pipeline a node serves, without a gateway and without a seal.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np

from accel_backends import DeviceRequest, LoadOptions, load, ocr
from examples.ocr import fields, identity
from examples.ocr.models import read_models
from examples.ocr.render_invoice import PAGE


def main(path: Path) -> None:
    """Read one page, print its lines row by row, then the fields it has."""
    backend = load("onnxruntime", allowed={"onnxruntime"})
    devices = (DeviceRequest(ep="CPUExecutionProvider"),)
    pipeline = ocr.load(
        backend, read_models(), options=LoadOptions(devices=devices, intra_threads=2)
    )
    begin = perf_counter()
    answer = pipeline.infer({"image": np.array([path.read_bytes()], dtype=object)}, {})
    seconds = perf_counter() - begin
    texts = [text.decode() for text in answer["text"]]
    for text, score, row in zip(texts, answer["score"], answer["row"], strict=True):
        print(f"{row:3} {score:.3f} {text}")
    print(f"{len(texts)} lines in {seconds:.2f} s on {pipeline.placements[0].device}")
    try:
        kind = identity if identity.is_card(texts) else fields
        found = kind.extract(texts, answer["row"].tolist())
    except fields.FieldsError as error:
        sys.exit(f"not read: {error}")
    for name, value in asdict(found).items():
        print(f"{name:14} {value}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
