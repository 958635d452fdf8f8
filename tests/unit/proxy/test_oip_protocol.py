"""Answers of the Open Inference Protocol, field by field against the protocol's text.

Each schema below is one object of "Open Inference Protocol, REST" or one message of
"open_inference_grpc.proto": the fields it must have, those it may have, and their types. An answer
with a field too few, too many, or of another type fails.
"""

import json
import struct
from typing import Any

import pytest

from mifeng.errors import RefusedError
from mifeng.proxy.oipgrpc import OipService
from mifeng.proxy.oipschema import TYPES
from mifeng.proxy.upstream import Upstream

from .fakes import Client, negated, session

Schema = dict[str, tuple[bool, Any]]
"""Field → whether it must be there, and its type: a Python type, a list of one schema, a schema."""
PARAMETERS = dict
SERVER: Schema = {"name": (True, str), "version": (True, str), "extensions": (True, [str])}
LIVE: Schema = {"live": (True, bool)}
READY: Schema = {"ready": (True, bool)}
MODEL_READY: Schema = {"name": (True, str), "ready": (True, bool)}
METADATA_TENSOR: Schema = {"name": (True, str), "datatype": (True, str), "shape": (True, [int])}
MODEL: Schema = {
    "name": (True, str),
    "versions": (False, [str]),
    "platform": (True, str),
    "inputs": (True, [METADATA_TENSOR]),
    "outputs": (True, [METADATA_TENSOR]),
}
OUTPUT: Schema = {
    "name": (True, str),
    "shape": (True, [int]),
    "datatype": (True, str),
    "parameters": (False, PARAMETERS),
    "data": (True, list),
}
BINARY_OUTPUT: Schema = {key: row for key, row in OUTPUT.items() if key != "data"}
INFERENCE: Schema = {
    "model_name": (True, str),
    "model_version": (False, str),
    "id": (False, str),
    "parameters": (False, PARAMETERS),
    "outputs": (True, [OUTPUT]),
}
ERROR: Schema = {"error": (True, str)}
DATATYPES = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65_535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-(2**15), 2**15 - 1],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [0.5, -2.0],
    "FP32": [0.5, -2.0],
    "FP64": [0.1, -2e300],
    "BYTES": ["a", "密"],
}
"""Every datatype of the text's table, with values at the ends of its range."""


def conform(value: Any, schema: Any) -> None:
    """Fail unless a value is what the text says, and nothing more."""
    if isinstance(schema, dict):
        assert isinstance(value, dict)
        assert value.keys() <= schema.keys(), "a field that the protocol does not have"
        for key, (needed, inner) in schema.items():
            assert key in value or not needed, f"{key} is missing"
            if key in value:
                conform(value[key], inner)
    elif isinstance(schema, list):
        assert isinstance(value, list)
        for each in value:
            conform(each, schema[0])
    else:
        assert type(value) is schema, f"{value!r} is no {schema.__name__}"


@pytest.mark.parametrize(
    ("path", "schema", "status"),
    [
        ("/v2", SERVER, 200),
        ("/v2/health/live", LIVE, 200),
        ("/v2/health/ready", READY, 200),
        ("/v2/models/m", MODEL, 200),
        ("/v2/models/m/versions/3", MODEL, 200),
        ("/v2/models/m/ready", MODEL_READY, 200),
        ("/v2/models/m/versions/3/ready", MODEL_READY, 200),
        ("/v2/models/none/ready", MODEL_READY, 404),
    ],
)
async def test_http_metadata_and_health(path: str, schema: Schema, status: int) -> None:
    """Server, health and model answers have the text's fields and no others."""
    async with session(Client()) as http:
        answer = await http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    conform(answer.json(), schema)


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("shape", [[2], [2, 1], [1, 2, 1]])
async def test_http_inference(datatype: str, shape: list[int]) -> None:
    """Each datatype and rank comes back as it went in; `data` is flat, row-major."""
    values = DATATYPES[datatype]
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "data": values}
    body = {"id": "42", "inputs": [tensor]}
    async with session(Client(answer=negated)) as http:
        answer = await http.post("/v2/models/m/infer", json=body)
        versioned = await http.post("/v2/models/m/versions/3/infer", json=body)
    document = answer.json()
    conform(document, INFERENCE)
    (output,) = document["outputs"]
    assert output == {"name": "y0", "datatype": datatype, "shape": shape, "data": values}
    assert (document["model_name"], document["id"]) == ("m", "42")
    assert versioned.json()["model_version"] == "3"


@pytest.mark.parametrize(("datatype", "size"), [("FP32", 4), ("UINT8", 1), ("BF16", 2)])
async def test_http_binary_tensor_data(datatype: str, size: int) -> None:
    """The extension: header length, `binary_data_size` in place of `data`, bytes in order."""
    raw = bytes(range(size * 3))
    parameters = {"binary_data_size": len(raw)}
    tensor = {"name": "x", "datatype": datatype, "shape": [3], "parameters": parameters}
    head = json.dumps(
        {"inputs": [tensor, tensor], "parameters": {"binary_data_output": True}}
    ).encode()
    async with session(Client(answer=negated)) as http:
        answer = await http.post(
            "/v2/models/m/infer",
            content=head + raw + raw[::-1],
            headers={"inference-header-content-length": str(len(head))},
        )
    assert answer.headers["content-type"] == "application/octet-stream"
    at = int(answer.headers["inference-header-content-length"])
    document = json.loads(answer.content[:at])
    conform(document, INFERENCE | {"outputs": (True, [BINARY_OUTPUT])})
    assert "id" not in document
    assert [row["parameters"] for row in document["outputs"]] == [parameters] * 2
    assert answer.content[at:] == raw + raw[::-1]


async def test_http_requested_outputs_mix_json_and_binary() -> None:
    """`outputs` chooses, orders, and says of each how it travels."""
    tensor = {"name": "x", "datatype": "INT32", "shape": [1], "data": [7]}
    outputs = [
        {"name": "y1", "parameters": {"binary_data": True}},
        {"name": "y0", "parameters": {"binary_data": False}},
    ]
    async with session(Client(answer=negated)) as http:
        answer = await http.post(
            "/v2/models/m/infer",
            json={"inputs": [tensor, tensor | {"name": "z"}], "outputs": outputs},
        )
        missing = await http.post(
            "/v2/models/m/infer", json={"inputs": [tensor], "outputs": [{"name": "no"}]}
        )
    at = int(answer.headers["inference-header-content-length"])
    first, second = json.loads(answer.content[:at])["outputs"]
    conform(first, BINARY_OUTPUT)
    conform(second, OUTPUT)
    assert (first["name"], second["name"], second["data"]) == ("y1", "y0", [7])
    assert answer.content[at:] == struct.pack("<i", 7)
    assert missing.status_code == 400
    conform(missing.json(), ERROR)


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"{}", 400), (b'{"inputs":[{"name":"x"}]}', 400), (b'{"inputs":[]}', 404)],
)
async def test_http_errors(content: bytes, status: int) -> None:
    """One key, `error`, with a text; the request's faults are 400."""
    async with session(Client(fails=RefusedError("model.unknown", "no such model"))) as http:
        answer = await http.post("/v2/models/none/infer", content=content)
    assert answer.status_code == status
    conform(answer.json(), ERROR)


async def test_timing_parameters_travel_inside_the_seal() -> None:
    """`priority` and `timeout` are the node's to read; `timeout` bounds the request here too."""
    client = Client(answer=negated)
    tensor = {"name": "x", "datatype": "INT32", "shape": [1], "data": [7]}
    parameters = {"priority": 3, "timeout": 2_500_000, "sequence_id": 9}
    async with session(client) as http:
        await http.post("/v2/models/m/infer", json={"inputs": [tensor], "parameters": parameters})
    assert client.asked[0]["deadline_s"] == 2.5
    from mifeng.protocol.body import OipBody

    assert OipBody.decode(client.asked[0]["body"], response=False).parameters == parameters


# gRPC. Field numbers and types of open_inference_grpc.proto, as `name number type label`.

PROTO = """
ServerLiveResponse: live 1 bool
ServerReadyResponse: ready 1 bool
ModelReadyRequest: name 1 string, version 2 string
ModelReadyResponse: ready 1 bool
ServerMetadataResponse: name 1 string, version 2 string, extensions 3 string*
ModelMetadataRequest: name 1 string, version 2 string
ModelMetadataResponse: name 1 string, versions 2 string*, platform 3 string, inputs 4 message*, outputs 5 message*
ModelMetadataResponse.TensorMetadata: name 1 string, datatype 2 string, shape 3 int64*
InferParameter: bool_param 1 bool, int64_param 2 int64, string_param 3 string, double_param 4 double, uint64_param 5 uint64
InferTensorContents: bool_contents 1 bool*, int_contents 2 int32*, int64_contents 3 int64*, uint_contents 4 uint32*, uint64_contents 5 uint64*, fp32_contents 6 float*, fp64_contents 7 double*, bytes_contents 8 bytes*
ModelInferRequest: model_name 1 string, model_version 2 string, id 3 string, parameters 4 message*, inputs 5 message*, outputs 6 message*, raw_input_contents 7 bytes*
ModelInferRequest.InferInputTensor: name 1 string, datatype 2 string, shape 3 int64*, parameters 4 message*, contents 5 message
ModelInferRequest.InferRequestedOutputTensor: name 1 string, parameters 2 message*
ModelInferResponse: model_name 1 string, model_version 2 string, id 3 string, parameters 4 message*, outputs 5 message*, raw_output_contents 6 bytes*
ModelInferResponse.InferOutputTensor: name 1 string, datatype 2 string, shape 3 int64*, parameters 4 message*, contents 5 message
"""  # noqa: E501 - one message a line
KINDS = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    11: "message",
    12: "bytes",
    13: "uint32",
}


@pytest.mark.parametrize("line", PROTO.strip().splitlines(), ids=lambda line: line.split(":")[0])
def test_grpc_messages_are_the_protocol_s(line: str) -> None:
    """Names, numbers, types and repetition of every field."""
    name, _, fields = line.partition(": ")
    descriptor = TYPES[name].DESCRIPTOR  # type: ignore[attr-defined]
    made = ", ".join(
        f"{field.name} {field.number} {KINDS[field.type]}{'*' if field.is_repeated else ''}"
        for field in sorted(descriptor.fields, key=lambda field: int(field.number))
    )
    assert made == fields


class Context:
    """What the service uses of a gRPC context."""

    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Nothing."""
        return ()

    def set_trailing_metadata(self, trailers: tuple[tuple[str, str], ...]) -> None:
        """Keep it."""
        self.trailers = dict(trailers)

    async def abort(self, code: Any, details: str) -> None:
        """End the call."""
        raise RuntimeError(f"{code.name} {details}")


async def call(client: Client, method: str, request: Any) -> tuple[Any, Context]:
    """Call a method as the server does."""
    service = OipService(Upstream(client, strict=False), token=None)  # type: ignore[arg-type]
    context = Context()
    answer = await service._guard(getattr(service, f"_{method}"))(request, context)
    return answer, context


async def test_grpc_answers() -> None:
    """Each method answers its message; metadata, health and a tensor, raw."""
    client = Client(answer=negated)
    live, _ = await call(client, "ServerLive", TYPES["ServerLiveRequest"]())
    ready, _ = await call(client, "ServerReady", TYPES["ServerReadyRequest"]())
    named, _ = await call(client, "ModelReady", TYPES["ModelReadyRequest"](name="none"))
    assert (live.live, ready.ready, named.ready) == (True, True, False)
    model, _ = await call(client, "ModelMetadata", TYPES["ModelMetadataRequest"](name="m"))
    assert (model.name, list(model.versions), model.inputs[0].shape[0]) == ("m", ["3"], -1)
    tensor = TYPES["ModelInferRequest.InferInputTensor"]
    request = TYPES["ModelInferRequest"](
        model_name="m",
        model_version="3",
        id="7",
        inputs=[tensor(name="x", datatype="FP32", shape=[2, 1])],
        raw_input_contents=[struct.pack("<2f", 1, 2)],
    )
    answer, context = await call(client, "ModelInfer", request)
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "3", "7")
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y0", "FP32", [2, 1])
    assert answer.raw_output_contents[0] == struct.pack("<2f", 1, 2)
    assert not output.HasField("contents")
    assert context.trailers["mifeng-verified"] == "receipt"


@pytest.mark.parametrize("kind", ["int64_param", "uint64_param"])
async def test_grpc_timing_parameters(kind: str) -> None:
    """Both integer kinds, as clients of different ages send them."""
    client = Client(answer=negated)
    request = TYPES["ModelInferRequest"](model_name="m")
    setattr(request.parameters["timeout"], kind, 1_500_000)
    setattr(request.parameters["priority"], kind, 8)
    await call(client, "ModelInfer", request)
    assert client.asked[0]["deadline_s"] == 1.5


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RefusedError("model.unknown", ""), "NOT_FOUND"),
        (RefusedError("backend.busy", ""), "RESOURCE_EXHAUSTED"),
        (RefusedError("node.unavailable", ""), "UNAVAILABLE"),
    ],
)
async def test_grpc_errors(error: RefusedError, status: str) -> None:
    """A status programs know, and our code in the details."""
    request = TYPES["ModelInferRequest"](model_name="m")
    with pytest.raises(RuntimeError, match=f"{status} {error.code}"):
        await call(Client(fails=error), "ModelInfer", request)
    bad = TYPES["ModelInferRequest"](model_name="m", raw_input_contents=[b"x"])
    with pytest.raises(RuntimeError, match=r"INVALID_ARGUMENT request\.malformed"):
        await call(Client(), "ModelInfer", bad)
