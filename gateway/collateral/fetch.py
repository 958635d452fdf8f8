"""One question to one vendor over HTTP: bounded in time, size and number, redirected never.

What is worth another try (no connection, 429, 5xx) is tried again after a random time below an
exponentially growing bound; anything else is final. Proxies are those configured; the process
environment says nothing. Nothing is kept here.

Source: RFC 9110 §8.8.3, §13.1.2 (ETag), §15; docs/collateral.md §3.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote_to_bytes, urlsplit

import httpx

from mifeng.crypto.randomness import random_bytes

from .request import OCSP_REQUEST, Answer, Request

_OK: Final = 200
_NOT_MODIFIED: Final = 304
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_MAX_CHAIN: Final = 32 * 1024
_MAX_ETAG: Final = 256
_RANDOM_BYTES: Final = 4


class FetchError(Exception):
    """A vendor gave no usable answer; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = f"collateral.fetch.{code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a vendor may cost us."""

    timeout_s: float = 5.0
    """Of one try, from the first byte sent to the last received."""
    tries: int = 3
    backoff_s: float = 0.25
    """Bound of the first pause; it doubles with each try."""
    max_backoff_s: float = 5.0
    max_bytes: int = 4 << 20
    per_host: int = 4
    """Questions under way at one host."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """`all://`, `https://host` and the like → the proxy's URL."""


class Fetcher:
    """Asks vendors. Close it, or use it as a context."""

    def __init__(self, limits: Limits) -> None:
        """Open no connection yet."""
        self._limits = limits
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=limits.timeout_s,
            headers={"User-Agent": "mifeng", "Accept-Encoding": "identity"},
            mounts={
                pattern: httpx.AsyncHTTPTransport(proxy=url)
                for pattern, url in limits.proxies.items()
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def fetch(self, request: Request, *, etag: str = "") -> Answer | None:
        """Return the vendor's answer, or None where it is still the one that `etag` names.

        Raises:
            FetchError: no connection or server errors to the end (`unavailable`), another
                status (`status`), a redirect (`redirect`), too large (`size`), a body that is
                empty or a chain that is not PEM (`answer`).
        """
        host = urlsplit(request.url).netloc
        gate = self._hosts.setdefault(host, asyncio.Semaphore(self._limits.per_host))
        async with gate:
            for attempt in range(self._limits.tries):
                if attempt:
                    await asyncio.sleep(self._pause(attempt))
                try:
                    async with asyncio.timeout(self._limits.timeout_s):
                        return await self._once(request, etag)
                except (httpx.TransportError, TimeoutError, _BusyError):
                    continue
                except (httpx.HTTPError, httpx.InvalidURL) as exc:
                    raise FetchError("answer", f"{host}: {type(exc).__name__}") from exc
        raise FetchError("unavailable", f"{host}: {self._limits.tries} tries")

    def _pause(self, attempt: int) -> float:
        doubled = self._limits.backoff_s * float(1 << (attempt - 1))
        most = min(self._limits.max_backoff_s, doubled)
        fraction = int.from_bytes(random_bytes(_RANDOM_BYTES)) / (1 << 8 * _RANDOM_BYTES)
        return most * fraction

    async def _once(self, request: Request, etag: str) -> Answer | None:
        headers = {"Accept": f"{request.media_type}, */*;q=0.1"}
        if etag:
            headers["If-None-Match"] = etag
        if request.body:
            headers["Content-Type"] = OCSP_REQUEST
        method = "POST" if request.body else "GET"
        stream = self._client.stream(
            method, request.url, content=request.body or None, headers=headers
        )
        async with stream as response:
            status = response.status_code
            if status == _NOT_MODIFIED and etag:
                return None
            if status == _TOO_MANY or status >= _SERVER_ERROR:
                raise _BusyError
            if response.is_redirect:
                raise FetchError("redirect", f"status {status}")
            if status != _OK:
                raise FetchError("status", f"status {status}")
            body = await self._body(response)
            return Answer(body=body, chain=_chain(request, response), etag=_etag(response.headers))

    async def _body(self, response: httpx.Response) -> bytes:
        """Read to the end, or to the first byte too many."""
        most = self._limits.max_bytes
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and int(stated[:20]) > most:
            raise FetchError("size", f"{stated[:20]} bytes")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > most:
                raise FetchError("size", f"more than {most} bytes")
        if not body:
            raise FetchError("answer", "empty")
        return bytes(body)


class _BusyError(Exception):
    """The vendor asks for another try."""


def _etag(headers: httpx.Headers) -> str:
    value = str(headers.get("ETag", ""))
    return value if value.isascii() and value.isprintable() and len(value) <= _MAX_ETAG else ""


def _chain(request: Request, response: httpx.Response) -> bytes:
    """Return the certificates in the header the question names; PCCS differs in case only."""
    if not request.chain:
        return b""
    text = str(response.headers.get(request.chain, ""))
    if not text:
        return b""
    pem = unquote_to_bytes(text)
    if len(text) > _MAX_CHAIN or not pem.startswith(b"-----BEGIN CERTIFICATE-----"):
        raise FetchError("answer", f"{request.chain}: not PEM")
    return pem
