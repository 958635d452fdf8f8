"""The accelerators a node can reach, by which route, and how far that was verified.

`python -m accel_backends.catalogue` prints it. Three states, and no fourth:

- `tested`: the test suite has run on such a device; the evidence column says which test.
- `wired`: the code path exists and is tested up to the device; nobody has run it on one.
- `declared`: no code of ours reaches it; the column says what would have to be supplied.

Rows R-AC10 and R-AC11 are about frameworks and language models, not devices; R-AC12 is this
table.
"""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CATALOGUE", "Route", "State", "render"]

State = Literal["tested", "wired", "declared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to reach one family of devices."""

    requirement: str
    family: str
    route: str
    state: State
    evidence: str
    """For `tested` a test, for `wired` what is missing to run, for `declared` what to supply."""


def _route(requirement: str, family: str, route: str, state: State, evidence: str) -> Route:
    return Route(
        requirement=requirement, family=family, route=route, state=state, evidence=evidence
    )


_CUDA: Final = "needs the onnxruntime-gpu wheel and a card"
_VENDOR: Final = "needs the vendor's ONNX Runtime wheel and a card"
_PLUGIN: Final = "a plug-in provider with its digests in the node's configuration"

CATALOGUE: Final[tuple[Route, ...]] = (
    _route("R-AC1", "NVIDIA V100, A100, H100", "CUDAExecutionProvider", "wired", _CUDA),
    _route("R-AC1", "NVIDIA, TensorRT", "TensorrtExecutionProvider", "wired", _CUDA),
    _route("R-AC2", "AMD Instinct MI200", "MIGraphXExecutionProvider", "wired", _VENDOR),
    _route("R-AC3", "Hygon DCU (DTK)", "MIGraphXExecutionProvider", "wired", _VENDOR),
    _route("R-AC4", "Huawei Ascend (CANN)", "CANNExecutionProvider", "wired", _VENDOR),
    _route("R-AC5", "Cambricon MLU", "torch_mlu", "declared", "a torch backend"),
    _route("R-AC6", "Kunlunxin XPU", "torch_xmlir or plug-in", "declared", _PLUGIN),
    _route("R-AC7", "Moore Threads (MUSA)", "plug-in provider", "wired", _PLUGIN),
    _route("R-AC8", "Iluvatar, Enflame, Biren, Denglin", "plug-in provider", "declared", _PLUGIN),
    _route("R-AC8", "Glenfly (OpenCL), FPGA", "plug-in provider", "declared", _PLUGIN),
    _route(
        "R-AC9",
        "CPU: AMD (x86-64)",
        "CPUExecutionProvider",
        "tested",
        "tests/unit/accel_backends/test_contract.py",
    ),
    _route(
        "R-AC9",
        "CPU: Hygon, Intel (x86-64)",
        "CPUExecutionProvider",
        "wired",
        "the same wheel; no run of the suite on one is recorded",
    ),
    _route(
        "R-AC9",
        "CPU: Kunpeng, Phytium (ARM)",
        "CPUExecutionProvider",
        "wired",
        "the aarch64 wheel; the suite has not run on one",
    ),
    _route(
        "R-AC9",
        "CPU: LoongArch",
        "CPUExecutionProvider",
        "declared",
        "a build of ONNX Runtime for LoongArch",
    ),
    _route(
        "R-AC9",
        "Intel CPU and GPU, OpenVINO",
        "OpenVINOExecutionProvider (plug-in)",
        "wired",
        "the suite passes on an emulated Intel CPU; no run on a real one is recorded",
    ),
    _route(
        "R-AC10",
        "PaddlePaddle models",
        "ONNX file",
        "tested",
        "tests/unit/accel_backends/test_ocr.py",
    ),
    _route(
        "R-AC10",
        "PyTorch, TensorFlow, MindSpore models",
        "ONNX file",
        "wired",
        "their exporters; no model of theirs is in the suite",
    ),
    _route("R-AC11", "large language models", "engine adapter", "declared", "an engine"),
    _route(
        "R-AC12",
        "this catalogue",
        "accel_backends.catalogue",
        "tested",
        "tests/unit/accel_backends/test_catalogue.py",
    ),
)


def render() -> str:
    """Return the catalogue as a Markdown table."""
    lines = [
        "| id | devices | route | state | evidence or what is missing |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.requirement} | {r.family} | {r.route} | {r.state} | {r.evidence} |"
        for r in CATALOGUE
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201  # this is what the command is for
