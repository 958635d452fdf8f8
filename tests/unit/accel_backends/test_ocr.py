"""The OCR pipeline on real pages with the real graphs."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from accel_backends import BackendError, DeviceRequest, LoadOptions, OnnxPipeline, Tensor, ocr
from accel_backends.errors import ClosedError, ModelError
from accel_backends.ocr import detect, image
from accel_backends.ort import OrtBackend
from examples.ocr.fields import FieldsError, Invoice, extract
from examples.ocr.models import ModelsMissingError, read_models
from examples.ocr.render_invoice import BUYER, COLUMNS, ITEMS, PAGE, SELLER
from tests.unit.accel_backends.conftest import CPU

OPTIONS = LoadOptions(devices=(DeviceRequest(ep=CPU),), intra_threads=2)


def page_tensor(data: bytes) -> np.ndarray:
    """Return the pipeline's input tensor."""
    return np.array([data], dtype=object)


def encoded(pixels: np.ndarray, extension: str = ".png") -> np.ndarray:
    """Return pixels as the pipeline's input tensor."""
    return page_tensor(cv2.imencode(extension, pixels)[1].tobytes())


def lines(answer: Mapping[str, Tensor]) -> list[str]:
    """Return the texts of an answer."""
    return [element.decode() for element in answer["text"]]


@pytest.fixture(scope="module")
def models() -> ocr.OcrModels:
    """Return the three graphs as bytes, or skip."""
    try:
        return read_models()
    except ModelsMissingError as error:
        pytest.skip(f"PP-OCR models: {error}")


@pytest.fixture(scope="module")
def pipeline(backend: OrtBackend, models: ocr.OcrModels) -> ocr.OcrPipeline:
    """Return the pipeline on the CPU."""
    return ocr.load(backend, models, options=OPTIONS)


@pytest.fixture(scope="module")
def answer(pipeline: ocr.OcrPipeline) -> Mapping[str, Tensor]:
    """Return what the committed page reads as."""
    return pipeline.infer({"image": page_tensor(PAGE.read_bytes())}, {})


@pytest.fixture(scope="module")
def block() -> np.ndarray:
    """Return the pixels of the buyer's block of the page."""
    return cv2.imdecode(np.frombuffer(PAGE.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[
        215:375, 300:800
    ]


def test_invoice_fields_are_read(answer: Mapping[str, Tensor]) -> None:
    """The fields an expense-claims system needs are all found, and the sums add up."""
    assert extract(lines(answer), answer["row"].tolist()) == Invoice(
        code="099912345678",
        number="87654321",
        date="2026-04-17",
        buyer=BUYER[0][1],
        buyer_tax_id=BUYER[1][1],
        seller=SELLER[0][1],
        seller_tax_id=SELLER[1][1],
        net=94_855_00,
        tax=11_071_15,
        total=105_926_15,
    )


def test_every_table_cell_is_read_in_its_row(answer: Mapping[str, Tensor]) -> None:
    """Each item's cells are read literally, in one row, from left to right; so is the heading."""
    rows: dict[int, list[str]] = {}
    for text, row in zip(lines(answer), answer["row"].tolist(), strict=True):
        rows.setdefault(row, []).append(text)
    for expected in (tuple(name for name, _, _ in COLUMNS), *ITEMS):
        assert list(expected) in rows.values()


def test_answer_has_the_declared_form(
    answer: Mapping[str, Tensor], pipeline: ocr.OcrPipeline
) -> None:
    """Datatypes, shapes and ranges are those of the manifest."""
    count = len(answer["text"])
    assert set(answer) == {spec.name for spec in pipeline.outputs}
    assert answer["box"].shape == (count, 4, 2)
    assert answer["box"].dtype == answer["score"].dtype == np.float32
    assert answer["row"].dtype == np.int32
    assert (np.diff(answer["row"]) >= 0).all()
    assert ((answer["score"] >= 0.5) & (answer["score"] <= 1)).all()
    assert (answer["box"] >= 0).all()
    assert (answer["box"] <= [1599, 1039]).all()


def test_boxes_enclose_their_text(answer: Mapping[str, Tensor]) -> None:
    """The box of a line lies where the line was drawn (the page is turned by 0.4°)."""
    box = answer["box"][lines(answer).index(BUYER[1][1])]
    assert box[0] == pytest.approx((316, 268), abs=14)
    assert box[2] == pytest.approx((586, 296), abs=14)


def test_answers_repeat(answer: Mapping[str, Tensor], pipeline: ocr.OcrPipeline) -> None:
    """The same page gives the same bytes again."""
    again = pipeline.infer({"image": page_tensor(PAGE.read_bytes())}, {})
    assert lines(again) == lines(answer)
    assert again["box"].tobytes() == answer["box"].tobytes()


@pytest.mark.parametrize("quarter_turns", [0, 2, 3])
def test_turned_pages_read_the_same(
    pipeline: ocr.OcrPipeline, block: Tensor, quarter_turns: int
) -> None:
    """A block upside down, or turned to run downwards, reads as it does upright."""
    turned = np.ascontiguousarray(np.rot90(block, quarter_turns))
    texts = lines(pipeline.infer({"image": encoded(turned)}, {}))
    assert {BUYER[0][1], BUYER[1][1]} <= set(texts)


def test_jpeg_reads_like_png(pipeline: ocr.OcrPipeline, block: Tensor) -> None:
    """The other accepted format gives the same text."""
    texts = lines(pipeline.infer({"image": encoded(block, ".jpg")}, {}))
    assert {BUYER[0][1], BUYER[1][1]} <= set(texts)


def test_blank_page_has_no_lines(pipeline: ocr.OcrPipeline) -> None:
    """An empty page is an answer with zero lines, not an error."""
    blank = pipeline.infer({"image": encoded(np.full((300, 400, 3), 255, np.uint8))}, {})
    assert {name: tensor.shape for name, tensor in blank.items()} == {
        "text": (0,),
        "box": (0, 4, 2),
        "score": (0,),
        "row": (0,),
    }


def test_min_score_drops_lines(pipeline: ocr.OcrPipeline, block: Tensor) -> None:
    """Lines read with less certainty than asked for are left out."""
    assert len(lines(pipeline.infer({"image": encoded(block)}, {"min_score": 1}))) == 0
    assert len(lines(pipeline.infer({"image": encoded(block)}, {"min_score": 0}))) >= 4


def test_placements_name_three_graphs(pipeline: ocr.OcrPipeline) -> None:
    """All three graphs ran on the listed device and say so."""
    assert [set(placement.node_counts) for placement in pipeline.placements] == [{CPU}] * 3


def test_graph_gives_what_the_runtime_gives(
    pipeline: ocr.OcrPipeline, models: ocr.OcrModels, runtime: ModuleType
) -> None:
    """The detection network's map equals that of onnxruntime used directly, bit for bit."""
    x = detect.prepare(image.decode(PAGE.read_bytes()))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = OPTIONS.intra_threads
    direct = runtime.InferenceSession(models.detect, options, providers=[CPU])
    (expected,) = direct.run(None, {direct.get_inputs()[0].name: x})
    session = pipeline._detector
    outputs = session.run({session.inputs[0].name: x}).outputs
    assert outputs[session.outputs[0].name].tobytes() == expected.tobytes()


def test_the_package_is_never_imported(pipeline: ocr.OcrPipeline) -> None:
    """Only the package's model files are used."""
    assert pipeline.platform == "mifeng_ocr"
    assert not any(name.startswith("rapidocr") for name in sys.modules)


@pytest.mark.parametrize(
    ("tensor", "code"),
    [
        (page_tensor(b""), "backend.input.value"),
        (page_tensor(b"GIF89a"), "backend.input.value"),
        (page_tensor(PAGE.read_bytes()[:40]), "backend.input.value"),
        (np.array([b"", b""], dtype=object), "backend.input.shape"),
        (np.zeros(1, np.uint8), "backend.input.datatype"),
        (np.array(["text"], dtype=object), "backend.input.value"),
    ],
)
def test_bad_pages_are_refused(pipeline: ocr.OcrPipeline, tensor: Tensor, code: str) -> None:
    """What is no page is the caller's error."""
    with pytest.raises(BackendError) as caught:
        pipeline.infer({"image": tensor}, {})
    assert caught.value.code == code


@pytest.mark.parametrize(
    "parameters",
    [
        {"min_score": -0.1},
        {"min_score": 1.1},
        {"min_score": float("nan")},
        {"min_score": True},
        {"min_score": "0.5"},
        {"minscore": 0.5},
    ],
)
def test_bad_parameters_are_refused(pipeline: ocr.OcrPipeline, parameters: dict[str, Any]) -> None:
    """A parameter that is unknown or out of range is an error, not a default."""
    with pytest.raises(BackendError) as caught:
        pipeline.infer({"image": page_tensor(PAGE.read_bytes())}, parameters)
    assert caught.value.code == "backend.input.parameter"


def test_graphs_in_the_wrong_place_are_refused(backend: OrtBackend, models: ocr.OcrModels) -> None:
    """A graph that cannot read is not accepted for reading."""
    with pytest.raises(ModelError):
        ocr.load(backend, replace(models, recognise=models.detect), options=OPTIONS)


def test_closed_pipeline_refuses(backend: OrtBackend, models: ocr.OcrModels) -> None:
    """`close` closes all three sessions."""
    closed = ocr.load(backend, models, options=OPTIONS)
    closed.close()
    with pytest.raises(ClosedError):
        closed.infer({"image": page_tensor(PAGE.read_bytes())}, {})


def test_one_graph_can_be_served_as_it_is(backend: OrtBackend, models: ocr.OcrModels) -> None:
    """The angle network alone, as a plain pipeline: upright says class 0."""
    single = OnnxPipeline(backend.load(models.classify, options=OPTIONS))
    outputs = single.infer({"x": np.full((1, 3, 48, 192), 1, np.float32)}, {})
    (probabilities,) = outputs.values()
    assert probabilities.shape == (1, 2)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    single.close()


def test_sums_that_do_not_add_up_are_refused(answer: Mapping[str, Tensor]) -> None:
    """A total that was misread or forged does not pass as an invoice."""
    bent = [text.replace("105926.15", "105962.15") for text in lines(answer)]
    with pytest.raises(FieldsError, match="add up"):
        extract(bent, answer["row"].tolist())


def test_missing_fields_are_refused(answer: Mapping[str, Tensor]) -> None:
    """Half an invoice is none."""
    with pytest.raises(FieldsError, match="missing"):
        extract(lines(answer)[:10], answer["row"].tolist()[:10])
    without = [text.replace("发票号码", "") for text in lines(answer)]
    with pytest.raises(FieldsError, match="发票号码"):
        extract(without, answer["row"].tolist())
