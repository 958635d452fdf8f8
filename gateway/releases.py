"""Releases: signed documents become RELEASE entries, and anybody may ask for those there are.

A document is accepted if one of the configured release keys signed it, whoever brings it. Bringing
it again changes nothing.

Source: docs/spec/log.md §8.7.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mifeng.crypto import CryptoError
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import PeerError
from mifeng.protocol import entries
from mifeng.protocol import release as releases
from mifeng.protocol.entries import Release

from .auditlog.errors import NotInLogError
from .auditlog.log import AuditLog
from .events import log
from .problems import ProblemError


class ReleasesConfig(BaseModel):
    """Section `releases` of the gateway's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[list[str], Field(min_length=1, max_length=16)]
    """Hex of SM2 public keys (`mifeng keys show`) whose documents are appended."""

    @field_validator("keys")
    @classmethod
    def _sm2(cls, values: list[str]) -> list[str]:
        for value in values:
            try:
                VerifyKey("sm2", bytes.fromhex(value))
            except CryptoError as exc:
                raise ValueError(str(exc)) from exc
        return values

    def verify_keys(self) -> tuple[VerifyKey, ...]:
        """Return the keys."""
        return tuple(VerifyKey("sm2", bytes.fromhex(value)) for value in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The RELEASE entries under the newest checkpoint, and the documents they name."""

    entries: tuple[tuple[int, bytes], ...]
    documents: tuple[bytes, ...]


@dataclass(slots=True, kw_only=True)
class Releases:
    """Belongs to one event loop."""

    audit: AuditLog
    keys: Sequence[VerifyKey]
    clock: Callable[[], int] = lambda: int(time.time())
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def index(self) -> Listed:
        """Return every RELEASE entry that can be proven now, by index, with documents."""
        size = self.audit.checkpoint().tree.size
        found = [each for each in await self._entries() if each[0] < size]
        documents: dict[bytes, bytes] = {}
        for _, entry in found:
            for digest in entry.blob:
                if digest not in documents:
                    documents[digest] = await self._document(digest)
        return Listed(
            entries=tuple((index, entry.encode()) for index, entry in found),
            documents=tuple(data for data in documents.values() if data),
        )

    async def append(self, document: bytes) -> list[int]:
        """Append what a document releases and return the indexes of its entries.

        Raises:
            ProblemError: `release.refused`, it is not signed by a configured key.
            LogUnavailableError: nothing more was appended; bring it again.
        """
        try:
            statement = releases.verify(document, self.keys)
        except PeerError as exc:
            raise ProblemError("release.refused", str(exc)[:200]) from exc
        async with self._turn:
            known = {replace(entry, at=0): index for index, entry in await self._entries()}
            await self.audit.put_blob(document)
            indexes = []
            for entry in statement.entries(document, at=self.clock()):
                index = known.get(replace(entry, at=0))
                if index is None:
                    index = (await self.audit.append(entry)).index
                    log.info("release.appended", index=index, code=f"release.{entry.kind}")
                indexes.append(index)
        return indexes

    async def _entries(self) -> list[tuple[int, Release]]:
        found = []
        for index in await self.audit.of_type(Release.TYPE):
            entry = entries.decode(await self.audit.entry(index))
            if isinstance(entry, Release):
                found.append((index, entry))
        return found

    async def _document(self, digest: bytes) -> bytes:
        try:
            return await self.audit.blob(digest)
        except NotInLogError:
            return b""
