"""How a client reaches a gateway. Carries bytes, decides nothing, trusts nothing.

`HttpTransport` and `GrpcTransport` are the two that ship; `Transport` is what tests and other
networks implement.

Source: docs/spec/messages.md §6.
"""

from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from mifeng.errors import MalformedError, RefusedError, TransportError, UsageError
from mifeng.protocol.body import loads_json
from mifeng.protocol.messages import MEDIA_TYPE, Message, MessageParser
from mifeng.protocol.proof import ConsistencyProof, InclusionProof
from mifeng.protocol.subject import HEADER as SUBJECT

MAX_JSON: Final = 256 << 20
_CONNECT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One node as the gateway ranks it; `offer` is untrusted."""

    node_id: str
    offer: bytes
    active: int
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseList:
    """RELEASE entries by index, and documents they name; untrusted."""

    entries: tuple[tuple[int, bytes], ...]
    documents: tuple[bytes, ...]


class Transport(Protocol):
    """One gateway.

    Every method raises `TransportError` if nothing was sent, `RefusedError` for a problem the
    gateway names, `MalformedError` for an answer that is none.
    """

    async def attestations(self, model: str | None, challenge: bytes) -> list[Offered]:
        """Return ranked nodes with evidence for `challenge`, 32 bytes.

        Empty: with evidence made after a note that the log's witnesses cosigned.
        """
        ...

    def infer(
        self, messages: AsyncIterator[Message], *, subject: bytes | None = None
    ) -> AsyncIterator[Message]:
        """Send a request's messages and yield the answer's.

        Args:
            messages: the request's.
            subject: reference to the person it is about; outside the seal, for the log.
        """
        ...

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint note."""
        ...

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """Return a log entry and its inclusion proof."""
        ...

    async def releases(self) -> ReleaseList:
        """Return the log's RELEASE entries."""
        ...

    async def consistency(self, old: int, new: int) -> ConsistencyProof:
        """Return the proof between two sizes of the log."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class HttpTransport:
    """HTTP/1.1 over TLS, plain TCP on this machine, or a unix socket."""

    def __init__(
        self, gateway: str, *, api_key: str, ca: Path | None = None, timeout_s: float = 60.0
    ) -> None:
        """Take `https://host[:port]`, `http://…` or `unix:/path`; connects on first use."""
        uds = gateway.removeprefix("unix:") if gateway.startswith("unix:") else None
        verify = httpx.create_ssl_context(verify=str(ca)) if ca else True
        self._http = httpx.AsyncClient(
            base_url="http://gateway" if uds else gateway,
            transport=httpx.AsyncHTTPTransport(uds=uds, verify=verify, retries=0),
            headers={"authorization": f"Bearer {api_key}", "accept-encoding": "identity"},
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_S),
            trust_env=False,
        )

    async def attestations(self, model: str | None, challenge: bytes) -> list[Offered]:
        """See `Transport.attestations`."""
        query = {"nonce": challenge.hex()} if challenge else {}
        query |= {"model": model} if model else {}
        document = await self._get("/v1/attestations", query)
        try:
            return [
                Offered(
                    node_id=str(each["node_id"]),
                    offer=b64decode(each["offer"], validate=True),
                    active=int(each["active"]),
                    capacity=int(each["capacity"]),
                )
                for each in document["attestations"]
            ]
        except (KeyError, TypeError, ValueError) as exc:
            raise MalformedError("gateway: not a list of attestations") from exc

    async def infer(
        self, messages: AsyncIterator[Message], *, subject: bytes | None = None
    ) -> AsyncIterator[Message]:
        """See `Transport.infer`."""
        sent = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal sent
            async for message in messages:
                sent = True
                yield message.encode()

        headers = {"content-type": MEDIA_TYPE}
        if subject is not None:
            headers[SUBJECT] = subject.hex()
        request = self._http.build_request("POST", "/v1/infer", content=body(), headers=headers)
        parser = MessageParser()
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code != httpx.codes.OK:
                    raise _refused(response.status_code, await response.aread(), response.headers)
                async for chunk in response.aiter_raw():
                    for message in parser.feed(chunk):
                        yield message
            finally:
                await response.aclose()
        except httpx.HTTPError as exc:
            if not sent:
                raise TransportError(f"gateway: {type(exc).__name__}") from exc
            # The stream ends here; the session knows what it had and says what that means.
            return

    async def checkpoint(self) -> bytes:
        """See `Transport.checkpoint`."""
        return (await self._fetch("/v1/log/checkpoint", {})).content

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """See `Transport.proof`."""
        document = await self._get(f"/v1/log/proof/{index}", {})
        try:
            entry = b64decode(document["entry"], validate=True)
            return entry, InclusionProof.from_json(document["proof"])
        except (KeyError, TypeError, ValueError) as exc:
            raise MalformedError("gateway: not a proof") from exc

    async def releases(self) -> ReleaseList:
        """See `Transport.releases`."""
        document = await self._get("/v1/log/releases", {})
        try:
            return ReleaseList(
                entries=tuple(
                    (int(each["index"]), b64decode(each["entry"], validate=True))
                    for each in document["entries"]
                ),
                documents=tuple(b64decode(each, validate=True) for each in document["documents"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise MalformedError("gateway: not a list of releases") from exc

    async def release(self, document: bytes) -> list[int]:
        """Bring a signed release document; returns the indexes of its entries."""
        try:
            response = await self._http.post("/v1/log/releases", content=document)
        except httpx.HTTPError as exc:
            raise TransportError(f"gateway: {type(exc).__name__}") from exc
        if response.status_code != httpx.codes.OK:
            raise _refused(response.status_code, response.content, response.headers)
        try:
            return [int(index) for index in response.json()["indexes"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise MalformedError("gateway: not a list of indexes") from exc

    async def consistency(self, old: int, new: int) -> ConsistencyProof:
        """See `Transport.consistency`."""
        document = await self._get("/v1/log/consistency", {"old": old, "new": new})
        return ConsistencyProof.from_json({"old": old, "new": new, "path": document.get("path")})

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._http.aclose()

    async def _get(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        try:
            document = (await self._fetch(path, query)).json()
        except (ValueError, RecursionError) as exc:
            raise MalformedError("gateway: not JSON") from exc
        if not isinstance(document, dict):
            raise MalformedError("gateway: not a JSON object")
        return document

    async def _fetch(self, path: str, query: dict[str, Any]) -> httpx.Response:
        try:
            response = await self._http.get(path, params=query)
        except httpx.HTTPError as exc:
            raise TransportError(f"gateway: {type(exc).__name__}") from exc
        if response.status_code != httpx.codes.OK:
            raise _refused(response.status_code, response.content, response.headers)
        if len(response.content) > MAX_JSON:
            raise MalformedError("gateway: the answer is too large")
        return response


def _refused(status: int, content: bytes, headers: httpx.Headers) -> RefusedError:
    """Return the error for a problem document; whatever else it was is `http.STATUS`."""
    try:
        document = loads_json(content)
        code, title = str(document["code"]), str(document.get("detail") or document["title"])
    except (MalformedError, KeyError, TypeError, AttributeError):
        code, title = f"http.{status}", "the gateway refused without saying why"
    retry = headers.get("retry-after", "")
    return RefusedError(code, title, retry_after_s=int(retry) if retry.isdecimal() else None)


def _is_local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "[::1]", "::1")


def connect(
    gateway: str, *, api_key: str, ca: Path | None = None, timeout_s: float = 60.0
) -> Transport:
    """Return the transport for a gateway address (`ClientConfig.gateway`).

    Raises:
        UsageError: the API key would leave this machine in clear.
    """
    if gateway.startswith("http://") and not _is_local(httpx.URL(gateway).host):
        raise UsageError(f"gateway {gateway}: another machine needs https")
    if gateway.startswith("grpc:"):
        from .grpctransport import GrpcTransport

        return GrpcTransport(gateway.removeprefix("grpc:"), api_key=api_key, ca=ca)
    return HttpTransport(gateway, api_key=api_key, ca=ca, timeout_s=timeout_s)
