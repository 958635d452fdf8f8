"""Whom a request is about: passed on as it is, refused where it is no reference."""

from typing import Any

import pytest

from mifeng.proxy.oipgrpc import OipService
from mifeng.proxy.oipschema import TYPES
from mifeng.proxy.person import SubjectError, subject
from mifeng.proxy.upstream import Upstream

from .fakes import Client, Stream, negated, session

PERSON = bytes(range(32))
GIVEN = {"mifeng-subject": PERSON.hex()}
CHAT: dict[str, Any] = {"model": "m", "messages": []}
TENSORS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
ASKED = [
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"model": "m", "prompt": "x"}),
    ("/v1/embeddings", {"model": "m", "input": "x"}),
    ("/v1/chat/completions", CHAT | {"stream": True}),
    ("/v2/models/m/infer", TENSORS),
    ("/v2/models/m/versions/3/infer", TENSORS),
]
NAMES = ["", "张三".encode().decode("latin-1"), "Zhang San", "00" * 31, "00" * 33, "AB" * 32]
NAMES += ["0x" + "00" * 31, "00" * 32 + " ", " " * 64, "00" * 31 + "0g", "００" * 32]


def fake(path: str) -> Client:
    """Return a sealed world that answers a route."""
    answer = negated if path.startswith("/v2") else lambda _: b"{}"
    return Client(answer=answer, stream=Stream([b"data: [DONE]\n\n"]))


@pytest.mark.parametrize(("path", "body"), ASKED)
async def test_the_reference_is_passed_on(path: str, body: dict[str, Any]) -> None:
    """Every route hands the bytes to the client, and nothing where the program names nobody."""
    client = fake(path)
    async with session(client) as http:
        assert (await http.post(path, json=body, headers=GIVEN)).status_code == 200
        assert (await http.post(path, json=body)).status_code == 200
    assert [each["subject"] for each in client.asked] == [PERSON, None]


@pytest.mark.parametrize(("path", "body"), ASKED)
async def test_a_name_does_not_leave(path: str, body: dict[str, Any]) -> None:
    """What is no reference is refused in the API's own shape, and nothing is sent."""
    client = fake(path)
    async with session(client) as http:
        answer = await http.post(path, json=body, headers={"mifeng-subject": "Zhang San"})
        twice = await http.post(path, json=body, headers=[*GIVEN.items(), *GIVEN.items()])
    for each in (answer, twice):
        assert each.status_code == 400
        assert "Zhang" not in each.text
        error = each.json()["error"]
        if path.startswith("/v2"):
            assert error.startswith("subject.malformed: ")
        else:
            assert error["code"] == "subject.malformed"
            assert error["type"] == "invalid_request_error"
    assert client.asked == []


@pytest.mark.parametrize("value", NAMES)
def test_only_references_are_taken(value: str) -> None:
    """Exactly 64 lower-case hex digits, as the gateway takes them."""
    with pytest.raises(SubjectError) as refused:
        subject([value])
    assert refused.value.code == "subject.malformed"
    assert not value.strip() or value not in str(refused.value)


def test_bytes_and_repetitions_are_refused() -> None:
    """Metadata of gRPC may hold bytes; a header that comes twice could mean two persons."""
    assert subject([]) is None
    assert subject([PERSON.hex()]) == PERSON
    for values in ([PERSON], [PERSON.hex().encode()], [PERSON.hex()] * 2):
        with pytest.raises(SubjectError):
            subject(values)


class Context:
    """A gRPC call with metadata, of which `abort` is noted."""

    def __init__(self, *metadata: tuple[str, str]) -> None:
        self.metadata, self.aborted = metadata, ("", "")

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What the program sent."""
        return self.metadata

    def set_trailing_metadata(self, _: Any) -> None:
        """Not looked at here."""

    async def abort(self, status: Any, words: str) -> None:
        """End the call."""
        self.aborted = (status.name, words)
        raise ConnectionAbortedError


async def test_grpc_metadata_are_passed_on_or_refused() -> None:
    """As over HTTP; a malformed one is INVALID_ARGUMENT with the code in front."""
    client = Client(answer=negated)
    service = OipService(Upstream(client, strict=False), token=None)  # type: ignore[arg-type]
    infer = service._guard(service._ModelInfer)
    tensor = TYPES["ModelInferRequest.InferInputTensor"](name="x", datatype="UINT8", shape=[1])
    request = TYPES["ModelInferRequest"](model_name="m", inputs=[tensor], raw_input_contents=[b"a"])
    await infer(request, Context(*GIVEN.items()))
    await infer(request, Context())
    assert [each["subject"] for each in client.asked] == [PERSON, None]
    for metadata in ([("mifeng-subject", "Zhang San")], [*GIVEN.items(), *GIVEN.items()]):
        context = Context(*metadata)
        with pytest.raises(ConnectionAbortedError):
            await infer(request, context)
        assert context.aborted[0] == "INVALID_ARGUMENT"
        assert context.aborted[1].startswith("subject.malformed: ")
    assert len(client.asked) == 2
