"""HTTP for administrators, on a listener of its own; each route is one action of one role.

Source: docs/privacy.md §5.
"""

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from attestation import json_strict
from gateway.auditlog.errors import LogUnavailableError, NotInLogError
from gateway.operations import Operations
from gateway.problems import ProblemError
from gateway.roles.actions import Action
from gateway.roles.desk import Desk
from gateway.subjects.errors import SubjectsError, SubjectUnknownError
from gateway.subjects.people import People, parse_reference
from mifeng.protocol.merkle import MAX_SIZE

from .http import PROBLEM_JSON

MAX_BODY: Final = 16 * 1024
MAX_ENTRIES: Final = 1000
_REASONS: Final = ("data-subject", "tenant", "retention", "court-order")


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """What administrators act on."""

    desk: Desk
    people: People
    operations: Operations
    policy: bytes
    """The policy document in force."""
    drain: Callable[[], None]
    forwarding: Callable[[], dict[str, Any]]


def build(administration: Administration) -> FastAPI:
    """Return the application."""
    app = FastAPI(title="mifeng administration", version="1", docs_url=None, redoc_url=None)
    for kind, handler in (
        (ProblemError, _on_problem),
        (LogUnavailableError, _on_log),
        (SubjectsError, _on_subjects),
        (HTTPException, _on_http),
    ):
        app.add_exception_handler(kind, handler)
    _system(app, administration)
    _security(app, administration)
    _audit(app, administration)
    return app


def _permit(
    administration: Administration, request: Request, action: Action, subject: str
) -> Awaitable[tuple[Any, bytes]]:
    header = request.headers.get("authorization")
    return administration.desk.permit(header, action, subject)


def _system(app: FastAPI, administration: Administration) -> None:
    operations = administration.operations

    @app.get("/v1/admin/status")
    async def status(request: Request) -> dict[str, Any]:
        """Whether the service runs: numbers and names of nodes."""
        await _permit(administration, request, Action.STATUS, "gateway")
        return {
            "nodes": {node.node_id: node.lease is not None for node in operations.nodes.all()},
            "active": operations.relay.active,
            "draining": operations.relay.draining,
            "log": {"size": operations.audit.size, "healthy": operations.audit.healthy},
        }

    @app.post("/v1/admin/drain", status_code=202)
    async def drain(request: Request) -> dict[str, bool]:
        """Refuse new exchanges, finish those under way, and stop."""
        await _permit(administration, request, Action.DRAIN, "gateway")
        administration.drain()
        return {"draining": True}


def _security(app: FastAPI, administration: Administration) -> None:
    nodes, people = administration.operations.nodes, administration.people

    @app.get("/v1/admin/policy")
    async def policy(request: Request) -> Response:
        """The policy document in force."""
        await _permit(administration, request, Action.POLICY_READ, "policy")
        return Response(administration.policy, media_type="application/yaml")

    @app.get("/v1/admin/forwarding")
    async def forwarding(request: Request) -> dict[str, Any]:
        """What was sent to the security centres, and what had to be dropped."""
        await _permit(administration, request, Action.FORWARDING_READ, "forwarding")
        return administration.forwarding()

    @app.post("/v1/admin/nodes/{node_id}/expire")
    async def expire(request: Request, node_id: str) -> dict[str, Any]:
        """Use a node's present keyset no longer."""
        name = node_id if node_id.isascii() and node_id.isprintable() else "?"
        action = Action.NODE_EXPIRE
        who, actor = await _permit(administration, request, action, name[:128] or "?")
        node = next((each for each in nodes.all() if each.node_id == node_id), None)
        if node is None or node.lease is None:
            await administration.desk.failed(who, actor, action, name[:128] or "?")
            raise ProblemError("admin.unknown", "no such node, or it has no lease")
        keyset = node.lease.digest
        nodes.expire(node, keyset, "administrator")
        return {"node": node_id, "keyset": keyset.hex()}

    @app.post("/v1/admin/subjects/erase")
    async def erase(request: Request) -> dict[str, Any]:
        """Destroy a person's key: `{subject}` or `{tenant, reference}`, and `reason`."""
        body = await _body(request)
        reason = body.get("reason", "data-subject")
        if reason not in _REASONS:
            raise ProblemError("admin.malformed", f"reason: one of {', '.join(_REASONS)}")
        action = Action.SUBJECT_ERASE
        who, actor = await _permit(administration, request, action, reason)
        try:
            subject = await _subject(people, body)
            recorded = await people.erase(subject, reason=reason, actor=actor)
        except (SubjectsError, ProblemError):
            await administration.desk.failed(who, actor, action, reason)
            raise
        return {"subject": subject.hex(), "recorded": recorded}


def _audit(app: FastAPI, administration: Administration) -> None:
    audit, people = administration.operations.audit, administration.people

    @app.get("/v1/admin/log/entries")
    async def entries(request: Request, low: int, high: int) -> dict[str, Any]:
        """Entries [low, high), at most a thousand, as the log holds them."""
        if not 0 <= low < high <= min(low + MAX_ENTRIES, MAX_SIZE):
            raise ProblemError("admin.malformed", f"need low < high ≤ low + {MAX_ENTRIES}")
        await _permit(administration, request, Action.LOG_READ, f"{low}-{high}")
        try:
            found = [await audit.entry(index) for index in range(low, min(high, audit.size))]
        except NotInLogError:
            raise ProblemError("log.not_found") from None
        return {"entries": [b64encode(entry).decode("ascii") for entry in found]}

    @app.post("/v1/admin/log/export")
    async def export(request: Request) -> dict[str, Any]:
        """Record that a pack is exported: `{scope}`; returns the newest checkpoint."""
        scope = (await _body(request)).get("scope", "all")
        if not isinstance(scope, str) or not 0 < len(scope) <= 128 or not scope.isprintable():  # noqa: PLR2004 - a field's limit
            raise ProblemError("admin.malformed", "scope: need a few printable characters")
        await _permit(administration, request, Action.LOG_EXPORT, scope)
        return {"checkpoint": audit.checkpoint().note.decode("utf-8")}

    @app.post("/v1/admin/subjects/open")
    async def disclose(request: Request) -> dict[str, Any]:
        """Give out a person's key: `{subject}` or `{tenant, reference}`."""
        body = await _body(request)
        action = Action.SUBJECT_OPEN
        who, actor = await _permit(administration, request, action, "subject")
        try:
            person = await people.open(await _subject(people, body))
        except (SubjectsError, ProblemError):
            await administration.desk.failed(who, actor, action, "subject")
            raise
        fields = person.fields
        return {
            "v": 1,
            "kind": "mifeng-subject-key",
            "subject": person.subject.hex(),
            "key": person.key.hex(),
            "tenant": fields.tenant,
            "reference": fields.reference,
        }

    @app.get("/v1/admin/administrators")
    async def administrators(request: Request) -> dict[str, Any]:
        """Who holds which role, and as which commitment the log names them."""
        await _permit(administration, request, Action.ADMINISTRATORS_READ, "administrators")
        known = administration.desk.administrators.all()
        return {
            each.name: {
                "role": each.role.value,
                "actor": (await people.actor(each.name)).hex(),
            }
            for each in known
        }


async def _subject(people: People, body: dict[str, Any]) -> bytes:
    """Return the commitment that a request names."""
    try:
        if set(body) - {"reason"} == {"subject"}:
            return bytes.fromhex(body["subject"])
        tenant = body["tenant"]
        reference = parse_reference(body["reference"])
    except (ValueError, TypeError, KeyError):
        raise ProblemError("admin.malformed", "need subject, or tenant and reference") from None
    if not isinstance(tenant, str) or not tenant.isprintable() or reference is None:
        raise ProblemError("admin.malformed", "need subject, or tenant and reference")
    return await people.find(tenant, reference)


async def _body(request: Request) -> dict[str, Any]:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY:
            raise ProblemError("request.too_large")
    try:
        text = raw.decode() or "{}"
        document = json.loads(text) if json_strict.depth(text) <= json_strict.MAX_DEPTH else None
    except ValueError:
        raise ProblemError("admin.malformed", "need JSON") from None
    if not isinstance(document, dict):
        raise ProblemError("admin.malformed", "need a JSON object")
    return document


def _response(problem: ProblemError) -> JSONResponse:
    headers = {"www-authenticate": "Bearer"} if problem.status == 401 else {}  # noqa: PLR2004
    return JSONResponse(
        problem.document(), status_code=problem.status, media_type=PROBLEM_JSON, headers=headers
    )


async def _on_problem(_request: Request, exc: Exception) -> Response:
    return _response(exc if isinstance(exc, ProblemError) else ProblemError("admin.malformed"))


async def _on_log(_request: Request, _exc: Exception) -> Response:
    return _response(ProblemError("log.unavailable"))


async def _on_subjects(_request: Request, exc: Exception) -> Response:
    known = isinstance(exc, SubjectUnknownError)
    return _response(ProblemError("subject.unknown" if known else "subject.unavailable"))


async def _on_http(_request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    document = {"type": "about:blank", "title": "HTTP error", "status": status, "code": "http"}
    return JSONResponse(document, status_code=status, media_type=PROBLEM_JSON)
