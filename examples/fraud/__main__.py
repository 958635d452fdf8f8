"""Train a risk model, score one row and ten thousand on this machine: `python -m examples.fraud`.

The same session a node serves, without a gateway and without a seal.
"""

from time import perf_counter

from accel_backends import DeviceRequest, LoadOptions, load
from examples.fraud.train import build


def main() -> None:
    """Print what was trained, how long one row and all rows take, and how many are right."""
    model = build()
    print(model.description)
    backend = load("onnxruntime", allowed={"onnxruntime"})
    options = LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),))
    session = backend.load(model.onnx, options=options)
    session.run({"rows": model.rows[:1]})
    for count in (1, len(model.rows)):
        begin = perf_counter()
        result = session.run({"rows": model.rows[:count]})
        milliseconds = (perf_counter() - begin) * 1e3
        right = (result.outputs["label"] == model.labels[:count]).mean()
        print(f"{count:6} rows in {milliseconds:.3f} ms on {result.device}, {right:.1%} right")


if __name__ == "__main__":
    main()
