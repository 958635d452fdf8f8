"""What a node serves: a named operation on tensors, made of one graph or several.

A `Manifest` is what a client sees and what the attested keyset names; a `Pipeline` is the thing
that runs. `OnnxPipeline` serves one graph; `accel_backends.ocr` serves three.

Source: KServe Open Inference Protocol v2, "Model Metadata" and "Inference".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from .base import Placement, Session
from .errors import InputError
from .tensors import Tensor, TensorSpec

__all__ = ["OPERATION", "Manifest", "OnnxPipeline", "Pipeline", "reject_parameters"]

OPERATION: Final = "oip.infer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a served model is called and what it takes and gives."""

    name: str
    version: str
    digest: bytes
    """Digest of the model package, computed by the caller over all its files."""
    platform: str
    """OIP `platform`: `onnxruntime_onnx`, `mifeng_ocr`, …."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operation: str = OPERATION
    idempotent: bool = True
    """Running a request twice has no effect but the answer."""

    def metadata(self) -> dict[str, Any]:
        """Return the OIP v2 model metadata response, ready for JSON."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [_metadata_tensor(spec) for spec in self.inputs],
            "outputs": [_metadata_tensor(spec) for spec in self.outputs],
        }


class Pipeline(Protocol):
    """One served model. `infer` may be called from many threads at once."""

    @property
    def platform(self) -> str:
        """OIP `platform` of the manifest."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Tensors a request must carry."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Tensors an answer carries."""
        ...

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where each graph runs, in the order in which they are used."""
        ...

    def infer(
        self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Any]
    ) -> Mapping[str, Tensor]:
        """Answer one request.

        Args:
            inputs: exactly the tensors of `inputs`.
            parameters: the request's OIP `parameters`; an unknown one is refused.

        Raises:
            BackendError: see `accel_backends.errors`; `InputError` blames the caller.
        """
        ...

    def close(self) -> None:
        """Release every session."""
        ...


class OnnxPipeline:
    """One graph, served as it is."""

    platform: Final = "onnxruntime_onnx"

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """See `Pipeline.inputs`."""
        return self._session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """See `Pipeline.outputs`."""
        return self._session.outputs

    @property
    def placements(self) -> tuple[Placement, ...]:
        """See `Pipeline.placements`."""
        return (self._session.placement,)

    def infer(
        self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Any]
    ) -> Mapping[str, Tensor]:
        """See `Pipeline.infer`. Takes no parameters."""
        reject_parameters(parameters, allowed=frozenset())
        return self._session.run(inputs).outputs

    def close(self) -> None:
        """See `Pipeline.close`."""
        self._session.close()


def reject_parameters(parameters: Mapping[str, Any], *, allowed: frozenset[str]) -> None:
    """Refuse parameters that a pipeline does not know: silence would be a wrong answer.

    Raises:
        InputError: `backend.input.parameter`.
    """
    for name in parameters:
        if name not in allowed:
            raise InputError("backend.input.parameter", f"unknown parameter {str(name)[:64]!r}")


def _metadata_tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
