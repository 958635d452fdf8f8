"""The check of inputs against a declared signature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_backends import InputError, TensorSpec
from accel_backends.errors import DeviceError
from accel_backends.tensors import NUMPY_TYPES, check_inputs, nbytes
from tests.unit.accel_backends.conftest import refusal


@given(st.data())
def test_exactly_the_declared_tensor_passes(data: st.DataObject) -> None:
    """A tensor of the declared type and shape passes; any other type or shape does not."""
    datatype = data.draw(st.sampled_from(sorted(NUMPY_TYPES)))
    declared = tuple(data.draw(st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=4)))
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=4)))
    other = data.draw(st.sampled_from(sorted(NUMPY_TYPES)))
    tensor = np.zeros(shape, NUMPY_TYPES[other])
    if other == "BYTES":
        tensor[...] = b"x"
    spec = TensorSpec(name="t", datatype=datatype, shape=declared)
    fits = len(shape) == len(declared) and all(
        length >= 1 and want in (-1, length) for want, length in zip(declared, shape, strict=False)
    )
    code = refusal(lambda: check_inputs({"t": tensor}, [spec], max_bytes=1 << 20))
    if other != datatype:
        assert code == "backend.input.datatype"
    else:
        assert code == (None if fits else "backend.input.shape")


def test_bytes_count_their_elements() -> None:
    """The size of a BYTES tensor is that of its elements, not of pointers."""
    text = np.array([b"abc", b"", b"12345"], dtype=object)
    assert nbytes(text) == 8
    spec = TensorSpec(name="t", datatype="BYTES", shape=(-1,))
    check_inputs({"t": text}, [spec], max_bytes=8)
    with pytest.raises(InputError) as caught:
        check_inputs({"t": text}, [spec], max_bytes=7)
    assert caught.value.code == "backend.input.size"


def test_long_names_are_not_echoed_whole() -> None:
    """A name made of a document does not end up in an error message."""
    with pytest.raises(InputError) as caught:
        check_inputs({"n" * 100_000: np.zeros(1)}, [], max_bytes=1)
    assert len(str(caught.value)) < 200


def test_error_codes_are_a_closed_set() -> None:
    """An error cannot be given a code that is not documented."""
    with pytest.raises(ValueError, match="has no code"):
        InputError("backend.input.other", "")
    with pytest.raises(ValueError, match="has no code"):
        DeviceError("backend.input.shape", "")
