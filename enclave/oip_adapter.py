"""An engine of others behind the Open Inference Protocol: Triton, OpenVINO Model Server, ….

Tensors pass as they are, in the protocol's binary extension, which the engine must speak. Its
answer is decoded and encoded again, so that nothing but tensors comes out of it.

Source: KServe Open Inference Protocol v2, REST; its binary tensor data extension.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.body import OIP_METADATA, OipBody
from mifeng.protocol.codec import u32

from .engine_adapter import HttpEngine
from .engines import EngineError, Job
from .lane import IDLE

HEADER_LENGTH: Final = "inference-header-content-length"
_PREFIX: Final = 4


class OipHttpEngine(HttpEngine):
    """See `enclave.engines.Engine`."""

    async def run(self, job: Job) -> AsyncIterator[bytes]:
        """See `Engine.run`; yields once."""
        path = f"/v2/models/{quote(self._config.served_model or self._name, safe='')}"
        if job.operation == OIP_METADATA:
            async with self.ask("GET", path) as answer:
                yield b"".join([piece async for piece in self.whole(answer)])
            return
        content, size, when = _request(job.body)
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(size)}
        async with (
            self.lane.turn(when),
            self.ask("POST", f"{path}/infer", content, headers) as answer,
        ):
            made = b"".join([piece async for piece in self.whole(answer)])
            yield _response(made, answer.headers.get(HEADER_LENGTH))


def _request(body: memoryview) -> tuple[bytes, int, Mapping[str, Any]]:
    """Return the HTTP body of a sealed request, the length of its JSON, and what its lane reads.

    Other priorities than idle are the engine's own: it may have another number of levels.
    """
    try:
        given = OipBody.decode(body, response=False)
        parameters = {**given.parameters, "binary_data_output": True}
        encoded = OipBody(tensors=given.tensors, parameters=parameters, id=given.id).encode(
            response=False
        )
    except (MalformedError, UsageError) as exc:
        raise EngineError("request.malformed", str(exc)) from None
    when = given.parameters if given.parameters.get("priority") == IDLE else {}
    return encoded[_PREFIX:], int.from_bytes(encoded[:_PREFIX], "big"), when


def _response(made: bytes, header_length: str | None) -> bytes:
    """Return the sealed body of an HTTP answer."""
    size = header_length or ""
    if not (size.isascii() and size.isdecimal()) or int(size) > len(made):
        raise EngineError("engine.failed", "the engine does not speak the binary extension")
    try:
        answer = OipBody.decode(u32(int(size)) + made, response=True)
        return OipBody(tensors=answer.tensors, id=answer.id).encode(response=True)
    except (MalformedError, UsageError):
        raise EngineError("engine.failed", "the engine's answer is no OIP answer") from None
