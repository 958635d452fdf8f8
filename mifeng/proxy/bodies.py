"""A program's request: its body, bounded and unpacked, and whether anybody still waits."""

import asyncio
import zlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import Request

from mifeng.errors import RefusedError

from .errors import BadRequestError

MAX_BODY: Final = 512 << 20
_GZIP_OR_ZLIB: Final = 47
_T = TypeVar("_T")


async def read(request: Request) -> bytes:
    """Return the whole body.

    Raises:
        RefusedError: `request.too_large`, packed or not.
        BadRequestError: it is packed in a way we do not know, or not as it says.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in ("identity", "gzip", "deflate"):
        raise BadRequestError(f"content-encoding {encoding[:32]!r}")
    packed: Any = zlib.decompressobj(wbits=_GZIP_OR_ZLIB) if encoding != "identity" else None
    content = bytearray()
    async for chunk in request.stream():
        try:
            content += packed.decompress(chunk, MAX_BODY) if packed else chunk
        except zlib.error as exc:
            raise BadRequestError(f"content-encoding: not {encoding}") from exc
        if len(content) > MAX_BODY:
            raise RefusedError("request.too_large", f"at most {MAX_BODY} bytes")
    if packed and not packed.eof:
        raise BadRequestError(f"content-encoding: {encoding} is cut short")
    return bytes(content)


async def attended(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Return what `work` returns; a program that leaves cancels it.

    Raises:
        RefusedError: `request.cancelled`: nobody waits for the answer any more.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
            raise RefusedError("request.cancelled", "the program has gone")
        return await task
    finally:
        gone.cancel()
        task.cancel()


async def _gone(request: Request) -> None:
    """Return when the program has closed its connection; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
