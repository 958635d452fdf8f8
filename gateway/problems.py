"""Every refusal of the gateway: code, HTTP status, gRPC status, in one table.

Clients branch on `code`, which is stable. Node refusals pass through under the node's code.

Source: RFC 9457; docs/spec/messages.md §5.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple


class _Row(NamedTuple):
    http: int
    grpc: str
    title: str


TABLE: Final[dict[str, _Row]] = {
    "request.malformed": _Row(400, "INVALID_ARGUMENT", "The request is malformed"),
    "request.empty": _Row(400, "INVALID_ARGUMENT", "The request has no body"),
    "request.media_type": _Row(415, "INVALID_ARGUMENT", "Another content type is needed"),
    "request.too_large": _Row(413, "RESOURCE_EXHAUSTED", "The request is too large"),
    "request.timeout": _Row(408, "DEADLINE_EXCEEDED", "The request did not arrive in time"),
    "request.replayed": _Row(409, "ALREADY_EXISTS", "This request was seen before"),
    "request.cancelled": _Row(499, "CANCELLED", "The request was cancelled"),
    "request.clock": _Row(400, "INVALID_ARGUMENT", "The client's clock is too far off"),
    "deadline.expired": _Row(408, "DEADLINE_EXCEEDED", "The deadline has passed"),
    "deadline.too_far": _Row(400, "INVALID_ARGUMENT", "The deadline is too far away"),
    "tenant.unauthenticated": _Row(401, "UNAUTHENTICATED", "No valid API key"),
    "tenant.mismatch": _Row(403, "PERMISSION_DENIED", "The header names another tenant"),
    "tenant.forbidden": _Row(403, "PERMISSION_DENIED", "Not allowed for this tenant"),
    "quota.exceeded": _Row(429, "RESOURCE_EXHAUSTED", "The tenant's quota is used up"),
    "model.unknown": _Row(404, "NOT_FOUND", "No node serves this model"),
    "suite.unknown": _Row(400, "INVALID_ARGUMENT", "The keyset has no such crypto suite"),
    "keyset.unknown": _Row(409, "FAILED_PRECONDITION", "No such keyset is admitted now"),
    "node.unavailable": _Row(503, "UNAVAILABLE", "No attested node is available"),
    "node.lost": _Row(502, "UNAVAILABLE", "The node went away; whether it ran is unknown"),
    "log.unavailable": _Row(503, "UNAVAILABLE", "The audit log cannot record; nothing was sent"),
    "log.unwitnessed": _Row(
        503, "UNAVAILABLE", "The log's witnesses are missing; nothing was sent"
    ),
    "log.not_found": _Row(404, "NOT_FOUND", "The log has no such entry"),
    "release.refused": _Row(403, "PERMISSION_DENIED", "Not signed by a release key"),
    "freshness.none": _Row(503, "UNAVAILABLE", "No witness vouches for evidence; send a challenge"),
    "subject.malformed": _Row(400, "INVALID_ARGUMENT", "The subject reference is malformed"),
    "subject.unknown": _Row(404, "NOT_FOUND", "No such subject, or erased already"),
    "subject.unavailable": _Row(503, "UNAVAILABLE", "Subjects cannot be recorded now"),
    "admin.unauthenticated": _Row(401, "UNAUTHENTICATED", "No valid administrator's token"),
    "admin.two_roles": _Row(403, "PERMISSION_DENIED", "This token is held by two administrators"),
    "admin.role": _Row(403, "PERMISSION_DENIED", "The action belongs to another role"),
    "admin.malformed": _Row(400, "INVALID_ARGUMENT", "The administrative request is malformed"),
    "admin.unknown": _Row(404, "NOT_FOUND", "There is nothing of that name"),
    "gateway.draining": _Row(503, "UNAVAILABLE", "The gateway is shutting down"),
    "gateway.overloaded": _Row(503, "RESOURCE_EXHAUSTED", "Too many requests at once"),
    "seal.invalid": _Row(400, "INVALID_ARGUMENT", "The node could not open the request"),
    "intent.invalid": _Row(502, "INTERNAL", "The node refused the log's intent"),
}
_UNKNOWN: Final = _Row(502, "UNKNOWN", "The node refused")


@dataclass(slots=True)
class ProblemError(Exception):
    """A refusal on its way to the client."""

    code: str
    detail: str = ""
    retry_after_s: int | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.detail or self.title}"

    @property
    def status(self) -> int:
        """HTTP status."""
        return TABLE.get(self.code, _UNKNOWN).http

    @property
    def grpc(self) -> str:
        """Name of the gRPC status."""
        return TABLE.get(self.code, _UNKNOWN).grpc

    @property
    def title(self) -> str:
        """What the code means, for people."""
        return TABLE.get(self.code, _UNKNOWN).title

    def document(self) -> dict[str, object]:
        """Return the problem JSON of RFC 9457."""
        document: dict[str, object] = {
            "type": f"urn:mifeng:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            document["detail"] = self.detail
        if self.retry_after_s is not None:
            document["retry_after_s"] = self.retry_after_s
        return document
