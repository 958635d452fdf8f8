"""What a caller gets: the verified answer, and the papers that prove it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mifeng.errors import RefusedError, UsageError
from mifeng.protocol.body import OipBody, Tensor, join_bytes, split_bytes
from mifeng.protocol.receipt import Receipt
from mifeng.protocol.session import Done

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_OIP = {name.lstrip("<"): datatype for datatype, name in _NUMPY.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A final answer: opened, matched with its receipt, promised by the log."""

    body: bytes = field(repr=False)
    done: Done = field(repr=False)

    @property
    def receipt(self) -> Receipt:
        """What the node signed."""
        return self.done.receipt

    @property
    def node_id(self) -> str:
        """Which node ran it, as its attested keyset names it."""
        return self.done.exchange.node.keyset.node_id

    @property
    def marks(self) -> tuple[str, ...]:
        """What must be said with the answer: SIMULATED, UNWITNESSED."""
        return self.done.receipt.marks

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Output tensors of an `oip.infer` answer, by name.

        Raises:
            MalformedError: the body is not an OIP answer.
        """
        body = OipBody.decode(self.body, response=True)
        return {tensor.name: tensor for tensor in body.tensors}

    @property
    def outputs(self) -> "Mapping[str, NDArray[Any]]":
        """Output tensors as numpy arrays; needs numpy. BYTES become arrays of `bytes`."""
        return {name: to_numpy(tensor) for name, tensor in self.tensors.items()}


def to_numpy(tensor: Tensor) -> "NDArray[Any]":
    """Return a tensor as an array; raises `UsageError` for types numpy has not (BF16)."""
    import numpy as np

    if tensor.datatype == "BYTES":
        elements = split_bytes(tensor.data)
        array = np.empty(len(elements), dtype=object)
        array[:] = elements
        return array.reshape(tensor.shape)
    if tensor.datatype not in _NUMPY:
        raise UsageError(f"numpy has no {tensor.datatype}; use `tensors`")
    return np.frombuffer(tensor.data, dtype=_NUMPY[tensor.datatype]).reshape(tensor.shape)


def from_numpy(name: str, value: Any) -> Tensor:  # noqa: ANN401 - whatever numpy takes
    """Return an array-like as a tensor; `bytes` and `str` elements become BYTES.

    Raises:
        UsageError: a dtype the protocol has no name for.
    """
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        elements = [_bytes(element) for element in array.reshape(-1).tolist()]
        return Tensor(name=name, datatype="BYTES", shape=array.shape, data=join_bytes(elements))
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    datatype = _OIP.get(little.dtype.str.lstrip("<|").replace("b1", "?"))
    if datatype is None:
        raise UsageError(f"input {name!r}: the protocol has no {array.dtype}")
    data = np.ascontiguousarray(little).tobytes()
    return Tensor(name=name, datatype=datatype, shape=array.shape, data=data)


def _bytes(element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        return element.encode()
    raise UsageError("an element of a BYTES tensor is neither bytes nor text")


def succeeded(done: Done) -> Done:
    """Return `done`; raises `RefusedError` if the node sealed a failure instead of an answer."""
    if done.problem is not None:
        raise RefusedError(done.problem, "the node could not answer; its receipt says so")
    return done
