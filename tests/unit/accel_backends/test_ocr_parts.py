"""The parts of OCR that need no model: headers, boxes, rows, collapsing."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_backends.errors import InputError, ModelError
from accel_backends.ocr import detect, image, layout, recognise
from tests.unit.accel_backends.conftest import refusal

PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@given(
    st.sampled_from([b"", PNG_HEAD, b"\xff\xd8", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xff"]),
    st.binary(max_size=64),
)
def test_size_is_total(head: bytes, tail: bytes) -> None:
    """Hostile headers give a size or our error, nothing else."""
    code = refusal(lambda: image.size(head + tail))
    assert code in {None, "backend.input.value"}
    if code is None:
        assert all(0 <= side < 1 << 32 for side in image.size(head + tail))


def test_every_bent_byte_of_a_png_is_refused() -> None:
    """Every chunk is checked, so no damaged or cut PNG is read."""
    valid = cv2.imencode(".png", np.full((20, 30, 3), 200, np.uint8))[1].tobytes()
    assert image.decode(valid).shape == (20, 30, 3)
    for position in range(len(valid)):
        for bent in (
            valid[:position] + bytes([valid[position] ^ 1]) + valid[position + 1 :],
            valid[:position],
            valid[:position] + valid[position + 1 :],
        ):
            with pytest.raises(InputError):
                image.decode(bent)
    with pytest.raises(InputError):
        image.decode(valid + b"\0")


def test_every_cut_jpeg_is_refused() -> None:
    """A JPEG without its end is not read to the middle."""
    valid = cv2.imencode(".jpg", np.full((20, 30, 3), 200, np.uint8))[1].tobytes()
    for length in range(len(valid)):
        with pytest.raises(InputError):
            image.decode(valid[:length])
    assert image.decode(valid + bytes(3)).shape == (20, 30, 3)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_bent_jpegs_decode_or_are_refused(data: st.DataObject) -> None:
    """One byte of a valid JPEG bent: a page of the stated size, or our error."""
    valid = cv2.imencode(".jpg", np.full((20, 30, 3), 200, np.uint8))[1].tobytes()
    position = data.draw(st.integers(0, len(valid) - 1))
    bent = bytearray(valid)
    bent[position] ^= data.draw(st.integers(1, 255))
    code = refusal(lambda: image.decode(bytes(bent)))
    assert code in {None, "backend.input.value", "backend.input.size"}
    if code is None:
        assert image.decode(bytes(bent)).shape[:2] == image.size(bytes(bent))[::-1]


@pytest.mark.parametrize(
    ("width", "height"),
    [(0, 100), (100, 15), (20_001, 100), (2**32 - 1, 2**32 - 1), (10_000, 10_000)],
)
def test_size_is_refused_before_decoding(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header that promises too much or too little is refused; the decoder is not called."""
    monkeypatch.setattr(image.cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError) as caught:
        image.decode(PNG_HEAD + struct.pack(">II", width, height) + bytes(20))
    assert caught.value.code == "backend.input.size"


def test_jpeg_size_agrees_with_the_decoder() -> None:
    """The frame header is found behind other segments and fill bytes."""
    data = cv2.imencode(".jpg", np.zeros((33, 77, 3), np.uint8))[1].tobytes()
    assert image.size(data) == (77, 33)
    comment = b"\xff\xff\xfe\x00\x05abc"
    assert image.size(data[:2] + comment + data[2:]) == (77, 33)


def test_core_grows_back_to_the_line() -> None:
    """A core of 100 × 10 grows by area × 1.6 ÷ perimeter = 7.27 on every side."""
    probability = np.zeros((96, 192), np.float32)
    probability[40:50, 40:140] = 0.9
    (line,) = detect.quads(probability, width=384, height=192)
    assert line.probability == pytest.approx(0.9, abs=0.1)
    # Dilation moves the lower right edges by a pixel or none; the page is twice the map.
    assert line.quad[0] == pytest.approx((2 * (40 - 7.27), 2 * (40 - 7.27)), abs=4)
    assert line.quad[2] == pytest.approx((2 * (139 + 7.27), 2 * (49 + 7.27)), abs=4)


def test_faint_and_tiny_cores_are_dropped() -> None:
    """A core of mean probability below one half, or under three pixels, is no line."""
    probability = np.zeros((96, 192), np.float32)
    probability[10:20, 10:100] = 0.4
    probability[50:51, 50:51] = 0.9
    assert detect.quads(probability, width=192, height=96) == []


def test_slanted_core_is_ordered_clockwise_from_the_top_left() -> None:
    """Corners of a slanted line start at its upper left and go round with the clock."""
    probability = np.zeros((200, 200), np.float32)
    cv2.line(probability, (30, 60), (170, 110), 0.95, 12)
    (line,) = detect.quads(probability, width=200, height=200)
    top_left, top_right, bottom_right, bottom_left = line.quad
    assert top_left[0] < top_right[0]
    assert top_left[1] < bottom_left[1]
    assert bottom_right[0] > bottom_left[0]
    assert np.arctan2(*(top_right - top_left)[::-1]) == pytest.approx(np.arctan2(50, 140), abs=0.03)


@pytest.mark.parametrize("shape", [(16, 16), (16, 20_000), (736, 1000), (5000, 4000)])
def test_prepared_pages_fit_the_network(shape: tuple[int, int]) -> None:
    """Whatever the page, sides are multiples of 32 and at most 2016."""
    prepared = detect.prepare(np.zeros((*shape, 3), np.uint8))
    assert prepared.shape[:2] == (1, 3)
    assert all(side % 32 == 0 and 32 <= side <= 2016 for side in prepared.shape[2:])


def test_pixels_are_scaled_to_plus_minus_one() -> None:
    """Black is -1, white is 1, channels come first."""
    page = np.zeros((2, 3, 3), np.uint8)
    page[..., 2] = 255
    planes = image.normalise(page)
    assert planes.shape == (3, 2, 3)
    assert planes[0].max() == -1
    assert planes[2].min() == pytest.approx(1)


def steps(*indices: int, classes: int = 4) -> np.ndarray:
    """Return a time × classes map that is sure of each index."""
    return np.eye(classes, dtype=np.float32)[list(indices)] * np.float32(0.8)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((0, 0, 0), ""),
        ((1, 1, 1), "a"),
        ((1, 0, 1), "aa"),
        ((0, 1, 2, 2, 0, 2, 3), "abb "),
        ((1, 2, 1), "aba"),
    ],
)
def test_best_path_collapses(path: tuple[int, ...], text: str) -> None:
    """Repeats merge, blanks separate and vanish."""
    reading = recognise.collapse(steps(*path), ("", "a", "b", " "))
    assert reading.text == text
    assert reading.score == pytest.approx(0.8 if text else 0)


def test_alphabet_must_match_the_network() -> None:
    """Blank first, space last, and as many as the network has classes."""
    assert recognise.alphabet("x\ny", classes=4) == ("", "x", "y", " ")
    with pytest.raises(ModelError):
        recognise.alphabet("x\ny", classes=5)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 90)), max_size=20))
def test_every_line_is_in_one_batch(sizes: list[tuple[int, int]]) -> None:
    """Batches hold each line once; widths are multiples of 32, heights 48."""
    crops = [np.zeros((height, width, 3), np.uint8) for width, height in sizes]
    seen = []
    for indices, batch in recognise.reading_batches(crops):
        seen += indices
        assert batch.shape[:3] == (len(indices), 3, 48)
        assert batch.shape[3] % 32 == 0
        assert batch.shape[3] <= 3200
    assert sorted(seen) == list(range(len(sizes)))


@given(
    st.lists(
        st.tuples(*(st.floats(0, 1000, width=32) for _ in range(2)), st.floats(1, 300, width=32)),
        max_size=12,
    )
)
def test_reading_order_is_a_permutation(places: list[tuple[float, float, float]]) -> None:
    """Every line comes once; row numbers start at 0 and never skip or fall."""
    quads = [
        np.array([[x, y], [x + w, y], [x + w, y + 20], [x, y + 20]], np.float32)
        for x, y, w in places
    ]
    order = layout.reading_order(quads)
    assert sorted(index for index, _ in order) == list(range(len(places)))
    rows = [row for _, row in order]
    assert rows == sorted(rows)
    assert sorted(set(rows)) == list(range(len(set(rows))))


def test_rows_survive_a_slanted_page_and_a_tall_neighbour() -> None:
    """Two rows on a page turned by 2°, with a stamp beside them that spans both."""
    turn = layout._rotation(np.deg2rad(2))
    boxes = [(0, 0, 100, 20), (900, 0, 100, 20), (0, 26, 100, 20), (900, 26, 100, 20)]
    boxes.append((400, 0, 200, 46))
    quads = [
        (np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]) @ turn).astype(np.float32)
        for x, y, w, h in boxes
    ]
    order = dict(layout.reading_order(quads))
    assert order[0] == order[1]
    assert order[2] == order[3]
    assert order[0] != order[2]
