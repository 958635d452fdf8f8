"""Document OCR as one served model: detect lines, turn them upright, read them.

Three graphs (PP-OCR's detection, angle classification and recognition, in ONNX form) run as
sessions of a backend; everything between them is here. The caller reads the model files and
hands over bytes. Left out: what the text *means*; that is the application's business.

| tensor | datatype, shape | |
| --- | --- | --- |
| in `image` | BYTES [1] | one PNG or JPEG |
| out `text` | BYTES [n] | UTF-8, in reading order |
| out `box` | FP32 [n, 4, 2] | corners (x, y) in pixels, clockwise from top left |
| out `score` | FP32 [n] | mean probability of the characters, 0 … 1 |
| out `row` | INT32 [n] | lines of one row of the page share a number, from 0 |

Parameter `min_score` (0 … 1, default 0.5): lines read with less are left out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from accel_backends.base import Backend, LoadOptions, Placement, Session
from accel_backends.errors import InputError, ModelError
from accel_backends.pipeline import reject_parameters
from accel_backends.tensors import DYNAMIC, Tensor, TensorSpec, check_inputs

from . import detect, image, layout, recognise

__all__ = ["OcrModels", "OcrPipeline", "load"]

_MIN_SCORE: Final = 0.5
_UPSIDE_DOWN: Final = 1
"""Class index of the angle network: 0 upright, 1 turned by 180°."""
_SURE: Final = 0.9
"""A line is turned only if the angle network is this sure."""
_MAX_IMAGE_BYTES: Final = 64 << 20
_ANGLE_BATCH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OcrModels:
    """The three ONNX files, as bytes."""

    detect: bytes
    classify: bytes
    recognise: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    quad: Tensor
    reading: recognise.Reading


def load(backend: Backend, models: OcrModels, *, options: LoadOptions) -> "OcrPipeline":
    """Load the three graphs, all on the same device list.

    Raises:
        BackendError: as `Backend.load`; `ModelError` also if a graph is not of its kind.
    """
    return OcrPipeline(
        detector=backend.load(models.detect, options=options),
        classifier=backend.load(models.classify, options=options),
        recogniser=backend.load(models.recognise, options=options),
    )


class OcrPipeline:
    """See `accel_backends.pipeline.Pipeline`."""

    platform: Final = "mifeng_ocr"
    inputs: Final = (TensorSpec(name="image", datatype="BYTES", shape=(1,)),)
    outputs: Final = (
        TensorSpec(name="text", datatype="BYTES", shape=(DYNAMIC,)),
        TensorSpec(name="box", datatype="FP32", shape=(DYNAMIC, 4, 2)),
        TensorSpec(name="score", datatype="FP32", shape=(DYNAMIC,)),
        TensorSpec(name="row", datatype="INT32", shape=(DYNAMIC,)),
    )

    def __init__(self, *, detector: Session, classifier: Session, recogniser: Session) -> None:
        self._detector = detector
        self._classifier = classifier
        self._recogniser = recogniser
        for session in (detector, classifier, recogniser):
            if len(session.inputs) != 1 or len(session.outputs) != 1:
                raise ModelError("backend.model.signature", "expected one input and one output")
        if "character" not in recogniser.metadata:
            raise ModelError("backend.model.signature", "the reading model lists no characters")
        self._characters = recognise.alphabet(
            recogniser.metadata["character"], classes=recogniser.outputs[0].shape[-1]
        )

    @property
    def placements(self) -> tuple[Placement, ...]:
        """See `Pipeline.placements`: detection, classification, recognition."""
        return (
            self._detector.placement,
            self._classifier.placement,
            self._recogniser.placement,
        )

    def infer(
        self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Any]
    ) -> Mapping[str, Tensor]:
        """See `Pipeline.infer`; tensors and parameter are in the module's table."""
        reject_parameters(parameters, allowed=frozenset({"min_score"}))
        min_score = _fraction(parameters.get("min_score", _MIN_SCORE))
        check_inputs(inputs, self.inputs, max_bytes=_MAX_IMAGE_BYTES)
        page = image.decode(inputs["image"][0])
        return _answer([line for line in self._read(page) if line.reading.score >= min_score])

    def close(self) -> None:
        """See `Pipeline.close`."""
        for session in (self._detector, self._classifier, self._recogniser):
            session.close()

    def _read(self, page: image.Page) -> list[_Line]:
        height, width = page.shape[:2]
        probability = _only(self._detector, detect.prepare(page))[0, 0]
        found = detect.quads(probability, width=width, height=height)
        crops = self._upright([image.crop(page, line.quad) for line in found])
        readings: dict[int, recognise.Reading] = {}
        for indices, batch in recognise.reading_batches(crops):
            for index, steps in zip(indices, _only(self._recogniser, batch), strict=True):
                readings[index] = recognise.collapse(steps, self._characters)
        return [_Line(quad=found[i].quad, reading=readings[i]) for i in range(len(found))]

    def _upright(self, crops: list[image.Page]) -> list[image.Page]:
        """Turn the lines that stand on their heads."""
        turned: list[image.Page] = []
        for start in range(0, len(crops), _ANGLE_BATCH):
            chunk = crops[start : start + _ANGLE_BATCH]
            angles = _only(self._classifier, recognise.orientation_batch(chunk))
            for crop, probabilities in zip(chunk, angles, strict=True):
                over = probabilities[_UPSIDE_DOWN] > _SURE
                turned.append(np.ascontiguousarray(crop[::-1, ::-1]) if over else crop)
        return turned


def _only(session: Session, tensor: Tensor) -> Tensor:
    """Run a session of one input and one output."""
    result = session.run({session.inputs[0].name: tensor})
    return result.outputs[session.outputs[0].name]


def _fraction(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError("backend.input.parameter", "min_score must be a number")
    if math.isnan(value) or not 0 <= value <= 1:
        raise InputError("backend.input.parameter", "min_score must be 0 … 1")
    return float(value)


def _answer(lines: Sequence[_Line]) -> Mapping[str, Tensor]:
    """Arrange lines in reading order as the tensors of the module's table."""
    order = layout.reading_order([line.quad for line in lines])
    text = np.empty(len(order), dtype=object)
    text[:] = [lines[index].reading.text.encode() for index, _ in order]
    boxes = [lines[index].quad for index, _ in order]
    return MappingProxyType(
        {
            "text": text,
            "box": np.array(boxes, np.float32).reshape(-1, 4, 2),
            "score": np.array([lines[index].reading.score for index, _ in order], np.float32),
            "row": np.array([row for _, row in order], np.int32),
        }
    )
