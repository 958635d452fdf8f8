"""Errors of the sealed world in the words of the APIs."""

import pytest

from mifeng.errors import (
    InterruptedRequestError,
    MalformedError,
    MifengError,
    NodeRejectedError,
    ReceiptRejectedError,
    RefusedError,
    TransportError,
)
from mifeng.proxy.errors import BadRequestError, headers_of, oip, openai, status_of
from mifeng.proxy.oipgrpc import _status

BUSY = (
    "backend.busy",
    "engine.busy",
    "queue.full",
    "node.busy",
    "quota.exceeded",
    "gateway.overloaded",
)


@pytest.mark.parametrize(
    ("error", "status", "kind", "grpc"),
    [
        (BadRequestError("no `model`"), 400, "invalid_request_error", "INVALID_ARGUMENT"),
        (RefusedError("operation.unknown", ""), 400, "invalid_request_error", "INVALID_ARGUMENT"),
        (RefusedError("request.unknown_key", ""), 400, "invalid_request_error", "INVALID_ARGUMENT"),
        (RefusedError("backend.input.shape", ""), 400, "invalid_request_error", "INVALID_ARGUMENT"),
        (RefusedError("model.unknown", ""), 404, "invalid_request_error", "NOT_FOUND"),
        (
            RefusedError("tenant.unauthenticated", ""),
            401,
            "authentication_error",
            "UNAUTHENTICATED",
        ),
        (RefusedError("tenant.forbidden", ""), 403, "permission_error", "PERMISSION_DENIED"),
        (RefusedError("request.too_large", ""), 413, "invalid_request_error", "RESOURCE_EXHAUSTED"),
        (RefusedError("deadline.expired", ""), 504, "timeout_error", "DEADLINE_EXCEEDED"),
        (RefusedError("node.unavailable", ""), 503, "server_error", "UNAVAILABLE"),
        (RefusedError("log.unavailable", ""), 503, "server_error", "UNAVAILABLE"),
        (RefusedError("engine.failed", ""), 502, "server_error", "ABORTED"),
        (RefusedError("backend.run", ""), 502, "server_error", "ABORTED"),
        (TransportError("gone"), 502, "api_connection_error", "ABORTED"),
        (InterruptedRequestError("lost"), 502, "api_connection_error", "ABORTED"),
        (NodeRejectedError("bad"), 502, "mifeng_verification_error", "ABORTED"),
        (ReceiptRejectedError("forged"), 502, "mifeng_verification_error", "ABORTED"),
        (MalformedError("peer's"), 502, "mifeng_verification_error", "ABORTED"),
        *((RefusedError(code, ""), 429, "rate_limit_error", "RESOURCE_EXHAUSTED") for code in BUSY),
    ],
    ids=lambda each: getattr(each, "code", None),
)
def test_each_error_has_a_status_and_a_type(
    error: MifengError, status: int, kind: str, grpc: str
) -> None:
    """What a program may do about it is in the status; what happened, in `code`."""
    assert status_of(error) == status
    body = openai(error)
    assert body.keys() == {"message", "type", "param", "code"}
    assert (body["type"], body["code"]) == (kind, error.code)
    assert oip(error)["error"].startswith(error.code)
    assert _status(error).name == grpc


@pytest.mark.parametrize("code", BUSY)
def test_busy_says_when_to_come_again(code: str) -> None:
    """The hint that was given, or a second."""
    assert headers_of(RefusedError(code, "")) == {"retry-after": "1"}
    assert headers_of(RefusedError(code, "", retry_after_s=9)) == {"retry-after": "9"}


def test_asking_again_is_not_advised_where_it_does_not_help() -> None:
    """No `retry-after` for a request that is wrong, nor for an answer that is."""
    assert headers_of(RefusedError("model.unknown", "", retry_after_s=1)) == {}
    assert headers_of(ReceiptRejectedError("forged")) == {}


def test_a_feature_that_is_not_there_is_named() -> None:
    """`param` is the key, the message says so in words."""
    body = openai(RefusedError("request.unsupported.tools", "the node could not answer"))
    assert body["param"] == "tools"
    assert body["message"] == "this model does not support `tools`"
