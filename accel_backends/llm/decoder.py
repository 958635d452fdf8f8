"""A decoder graph and its key-value buffers: one row per slot, written in place.

Input and output of every key-value tensor are bound to the same memory, so a step copies
nothing; what a decoding step binds is kept for the next one of its size. A prompt is computed for
one row at a time; a decoding step covers the first rows of the buffers, so that the rows in use
must lie low (`slots` sees to it).

Rows do not influence each other, whatever the batch: tests hold logits of a row bit for bit
against the row run alone, on the kernels of the CPU provider.

The buffers lie in host memory. A graph placed elsewhere is refused.

Source: names of ONNX Runtime GenAI's model builder; `com.microsoft.GroupQueryAttention`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from accel_backends.errors import ExecutionError, ModelError, PlacementError
from accel_backends.ort import _ERRORS, OrtSession
from accel_backends.tensors import NUMPY_TYPES, Tensor

__all__ = ["Decoder", "Logits", "OrtDecoder"]

Logits = NDArray[np.float32]
_CACHE_RANK: Final = 4
_STRIDE: Final = 64
"""Masks of decoding steps grow by so many positions, and so are bound anew that seldom."""


class Decoder(Protocol):
    """What the scheduler needs of a model."""

    def prefill(self, row: int, tokens: Sequence[int], *, at: int) -> Logits:
        """Compute `tokens` at positions `at` … of a row; return the last one's logits [V]."""
        ...

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """Compute one token for each of the first rows; return logits [rows, V].

        Args:
            tokens: one per row.
            lengths: per row, tokens in its buffer after this one; at least 1.
        """
        ...

    def wipe(self, row: int, *, start: int = 0, stop: int | None = None) -> None:
        """Overwrite positions of a row with zeros."""
        ...

    def copy(self, source: int, target: int, count: int) -> None:
        """Copy the first `count` positions of a row to another."""
        ...


@dataclass(slots=True)
class _Bound:
    """What decoding steps of one size are bound to. The binding keeps addresses, not references."""

    binding: Any
    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    mask: NDArray[np.int64]
    logits: Tensor


class OrtDecoder:
    """See `Decoder`; one graph on ONNX Runtime. Not for more than one thread at a time."""

    def __init__(self, session: OrtSession, *, slots: int, context: int, chunk: int) -> None:
        """Make the buffers.

        Args:
            session: the loaded graph.
            slots: rows of the buffers, ≥ 1.
            context: positions of a row, ≥ 2.
            chunk: most tokens in one call of `prefill`, ≥ 1.

        Raises:
            ModelError: the graph has not the inputs and outputs of a decoder.
            PlacementError: it does not run in host memory.
        """
        if session.placement.device.kind != "cpu":
            raise PlacementError("the slot engine's buffers are in host memory")
        self.placement: Final = session.placement
        self._session = session
        # Binding memory by address is not part of `Session`: tensors in and out are.
        self._native: Any = session._session  # noqa: SLF001
        caches = {s.name: s for s in session.inputs if s.name.startswith("past_key_values.")}
        outputs = {spec.name: spec for spec in session.outputs}
        plain = {s.name for s in session.inputs} - set(caches)
        presents = {name.replace("past_key_values.", "present.") for name in caches}
        if not caches or presents | {"logits"} != set(outputs):
            raise _signature("outputs are not logits and one present for each past")
        if not {"input_ids", "attention_mask"} <= plain <= {*_PLAIN}:
            raise _signature(f"inputs are not {', '.join(_PLAIN)} and caches")
        self._positions = "position_ids" in plain
        self.vocabulary: Final = outputs["logits"].shape[-1]
        if self.vocabulary < 1 or outputs["logits"].datatype not in ("FP32", "FP16"):
            raise _signature("logits have no fixed vocabulary, or no floating type")
        self._buffers: dict[str, Tensor] = {}
        for name, spec in caches.items():
            if len(spec.shape) != _CACHE_RANK or min(spec.shape[1], spec.shape[3]) < 1:
                raise _signature(f"{name!r} is not [batch, heads, positions, width]")
            shape = (slots, spec.shape[1], context, spec.shape[3])
            self._buffers[name] = np.zeros(shape, NUMPY_TYPES[spec.datatype])
        datatype = NUMPY_TYPES[outputs["logits"].datatype]
        self._scratch = np.zeros(max(chunk, slots) * self.vocabulary, datatype)
        self._context = context
        self._bounds: dict[int, _Bound] = {}

    def prefill(self, row: int, tokens: Sequence[int], *, at: int) -> Logits:
        """See `Decoder.prefill`."""
        count = len(tokens)
        ids = np.array([tokens], np.int64)
        mask = np.ones((1, at + count), np.int64)
        positions = np.arange(at, at + count, dtype=np.int64)[None]
        logits: Logits = self._run(slice(row, row + 1), ids, mask, positions)[0, -1]
        return logits

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """See `Decoder.decode`; the logits are valid until the next call."""
        bound = self._bound(len(tokens), max(lengths))
        used = np.array(lengths, np.int64)[:, None]
        bound.ids[:, 0] = tokens
        np.subtract(used, 1, out=bound.positions)
        np.less(np.arange(bound.mask.shape[1]), used, out=bound.mask)
        self._go(bound.binding)
        return bound.logits[:, 0].astype(np.float32, copy=False)

    def _bound(self, count: int, longest: int) -> _Bound:
        """Return what a step of so many rows is bound to, with a mask that is wide enough."""
        bound = self._bounds.get(count)
        if bound is None:
            ids, positions = np.zeros((2, count, 1), np.int64)
            logits = self._scratch[: count * self.vocabulary].reshape(count, 1, self.vocabulary)
            mask = np.zeros((count, 0), np.int64)
            bound = _Bound(self._native.io_binding(), ids, positions, mask, logits)
            self._bind_rows(bound.binding, slice(0, count))
            _bind(bound.binding.bind_input, "input_ids", ids)
            if self._positions:
                _bind(bound.binding.bind_input, "position_ids", positions)
            _bind(bound.binding.bind_output, "logits", logits)
            self._bounds[count] = bound
        if bound.mask.shape[1] < longest or bound.mask.shape[1] > longest + 2 * _STRIDE:
            width = min(longest + -longest % _STRIDE, self._context)
            bound.mask = np.zeros((count, width), np.int64)
            _bind(bound.binding.bind_input, "attention_mask", bound.mask)
        return bound

    def wipe(self, row: int, *, start: int = 0, stop: int | None = None) -> None:
        """See `Decoder.wipe`."""
        for buffer in self._buffers.values():
            buffer[row, :, start:stop] = 0

    def copy(self, source: int, target: int, count: int) -> None:
        """See `Decoder.copy`."""
        for buffer in self._buffers.values():
            buffer[target, :, :count] = buffer[source, :, :count]

    def blank(self, row: int) -> bool:
        """Return whether a row holds nothing but zeros."""
        return not any(buffer[row].any() for buffer in self._buffers.values())

    def forget(self) -> None:
        """Overwrite what the last calls left outside the rows."""
        self._scratch[:] = 0
        for bound in self._bounds.values():
            bound.ids[:] = 0

    def close(self) -> None:
        """Overwrite every buffer and release the graph."""
        for buffer in self._buffers.values():
            buffer[:] = 0
        self.forget()
        self._bounds.clear()
        self._native = None
        self._session.close()

    def _run(
        self,
        rows: slice,
        ids: NDArray[np.int64],
        mask: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> Logits:
        binding = self._native.io_binding()
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self._positions:
            feeds["position_ids"] = positions
        # Held until the run is over: the binding keeps addresses, not references.
        held = {name: np.ascontiguousarray(feed) for name, feed in feeds.items()}
        for name, feed in held.items():
            _bind(binding.bind_input, name, feed)
        self._bind_rows(binding, rows)
        shape = (*ids.shape, self.vocabulary)
        logits = self._scratch[: ids.size * self.vocabulary].reshape(shape)
        _bind(binding.bind_output, "logits", logits)
        self._go(binding)
        return logits.astype(np.float32, copy=False)

    def _bind_rows(self, binding: Any, rows: slice) -> None:  # noqa: ANN401  # untyped library
        for name, buffer in self._buffers.items():
            view = buffer[rows]
            _bind(binding.bind_input, name, view)
            _bind(binding.bind_output, name.replace("past_key_values.", "present."), view)

    def _go(self, binding: Any) -> None:  # noqa: ANN401  # untyped library
        try:
            self._native.run_with_iobinding(binding)
        except _ERRORS as exc:
            # `from None`: the library's message may quote the input, and causes are logged.
            raise ExecutionError(f"the runtime refused the run: {type(exc).__name__}") from None


_PLAIN: Final = ("input_ids", "attention_mask", "position_ids")


def _bind(bind: Any, name: str, array: Tensor) -> None:  # noqa: ANN401  # untyped library
    """Bind host memory by address; `array` must be contiguous and outlive the run."""
    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _signature(message: str) -> ModelError:
    return ModelError("backend.model.signature", message)
