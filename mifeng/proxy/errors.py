"""Errors of the sealed world, as programs of the OpenAI API and of OIP expect them. Pure.

    the request's fault      400, 404, 413       fix the program
    too much at once         429, retry-after    wait and ask again
    nobody there             503, retry-after    wait and ask again
    something is wrong       502                 what came back was not acceptable, or got lost

Source: OpenAI API reference, "Error codes"; RFC 9110 §15; gRPC status codes.
"""

from typing import Any, Final

from mifeng.errors import (
    InterruptedRequestError,
    MalformedError,
    MifengError,
    PeerError,
    RefusedError,
    TransportError,
    UsageError,
)

STATUS: Final = {
    "model.unknown": 404,
    "tenant.unauthenticated": 401,
    "tenant.forbidden": 403,
    "tenant.mismatch": 403,
    "operation.unknown": 400,
    "subject.malformed": 400,
    "request.too_large": 413,
    "request.timeout": 408,
    "request.cancelled": 499,
    "deadline.expired": 504,
    "queue.timeout": 504,
    "quota.exceeded": 429,
    "queue.full": 429,
    "node.busy": 429,
    "backend.busy": 429,
    "engine.busy": 429,
    "gateway.overloaded": 429,
}
_BUSY: Final = 429
_BAD: Final = 400
_ABSENT: Final = 503
_FAILED: Final = 502
RETRY_S: Final = 1
"""`retry-after` where nobody named one."""
_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
    504: "timeout_error",
}
_UNSUPPORTED: Final = "request.unsupported."
_WORDS: Final = {
    "request.malformed": "the model cannot read this request",
    "request.unknown_key": "the request has a key that this model does not know",
    "operation.unknown": "this model does not answer this kind of request",
    "queue.full": "too many requests wait for this model",
    "queue.timeout": "the request would have waited longer than its timeout",
    "backend.busy": "too many requests wait for this model",
    "engine.busy": "the engine has too much to do",
    "engine.unavailable": "the engine is not running",
    "backend.input.context": "the input is empty or longer than the model can take",
    "backend.input.messages": "the model's chat template does not take these messages",
    "deadline.expired": "the deadline passed before the answer was complete",
}


class BadRequestError(RefusedError):
    """A program's request is not what the protocol says; its message may be shown to it."""

    def __init__(self, message: str) -> None:
        super().__init__("request.malformed", message)


def status_of(error: MifengError) -> int:
    """Return the HTTP status a program sees."""
    if error.code in STATUS:
        return STATUS[error.code]
    if isinstance(error, UsageError) or error.code.startswith(("backend.input.", "request.")):
        return _BAD
    if isinstance(error, RefusedError) and not error.code.startswith(("engine.", "backend.")):
        return _ABSENT
    return _FAILED


def words_of(error: MifengError) -> str:
    """Return what people read: ours where the sealed error has a code only."""
    if error.code.startswith(_UNSUPPORTED):
        return f"this model does not support `{error.code.removeprefix(_UNSUPPORTED)}`"
    if isinstance(error, BadRequestError):
        return str(error)
    return _WORDS.get(error.code, str(error))


def headers_of(error: MifengError) -> dict[str, str]:
    """Return `retry-after` where asking again helps."""
    status = status_of(error)
    if status not in (_BUSY, _ABSENT):
        return {}
    hint = error.retry_after_s if isinstance(error, RefusedError) else None
    return {"retry-after": str(hint if hint is not None else RETRY_S)}


def openai(error: MifengError) -> dict[str, Any]:
    """Return the body of an OpenAI error."""
    status = status_of(error)
    if isinstance(error, PeerError):
        kind = "mifeng_verification_error"
    elif isinstance(error, (TransportError, InterruptedRequestError)):
        kind = "api_connection_error"
    else:
        kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")  # noqa: PLR2004
    param = "model" if error.code == "model.unknown" else None
    if error.code.startswith(_UNSUPPORTED):
        param = error.code.removeprefix(_UNSUPPORTED)
    return {"message": words_of(error), "type": kind, "param": param, "code": error.code}


def oip(error: MifengError) -> dict[str, Any]:
    """Return the body of an OIP error."""
    return {"error": f"{error.code}: {words_of(error)}"}


def of_request(error: MalformedError) -> BadRequestError:
    """Return the error for bytes that came from the program, and not from a peer."""
    return BadRequestError(str(error))
