"""Answers of vendors on disk: by digest for ever, and by question for as long as they are newest.

`blobs/<SM3>` is written once and never changed, so that a verdict can be made again years later.
`answers/<key>.json` names the newest answer to one question and how new anything ever was; that
mark only rises. Every write is complete or absent. One process writes to a directory.

Source: docs/collateral.md §4.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Final

from attestation import json_strict
from attestation.errors import AttestationError
from attestation.json_fields import Fields
from mifeng.crypto import sm3

from .age import Mark, check, mark
from .request import Answer, Request

_CODE: Final = "collateral.store"
_DIGEST_BYTES: Final = 32


class CollateralStoreError(Exception):
    """The directory holds something else than was written, or cannot be written."""

    code = _CODE


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The newest answer to one question."""

    answer: Answer
    seen: Mark
    checked: int
    """Unix seconds at which the vendor last said that this is the newest."""


class Store:
    """A directory of collateral."""

    def __init__(self, directory: Path) -> None:
        """Use `directory`, made if absent."""
        self._blobs, self._answers = directory / "blobs", directory / "answers"
        for each in (self._blobs, self._answers):
            each.mkdir(mode=0o750, parents=True, exist_ok=True)

    def blob(self, digest: bytes) -> bytes:
        """Return the bytes whose SM3 is `digest`.

        Raises:
            CollateralStoreError: absent, or altered on disk.
        """
        try:
            data = (self._blobs / digest.hex()).read_bytes()
        except OSError as exc:
            raise CollateralStoreError(f"{digest.hex()}: not readable") from exc
        if not compare_digest(sm3(data), digest):
            raise CollateralStoreError(f"{digest.hex()}: altered")
        return data

    def find(self, request: Request) -> Kept | None:
        """Return the newest answer to `request`, or None if there never was one.

        Raises:
            CollateralStoreError: the record or an answer it names is damaged. It is not passed
                over: with it the mark would be lost.
        """
        path = self._answers / f"{request.key}.json"
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise CollateralStoreError(f"{path.name}: not readable") from exc
        try:
            tree = json_strict.parse_object(raw, what="record", code=_CODE)
            fields = Fields(tree, "record", _CODE)
            marks = tree.get("seen")
            if not isinstance(marks, list) or not all(type(each) is int for each in marks):
                raise CollateralStoreError(f"{path.name}: damaged")
            chain = fields.text("chain")
            return Kept(
                answer=Answer(
                    body=self.blob(fields.hex("body", _DIGEST_BYTES)),
                    chain=self.blob(bytes.fromhex(chain)) if chain else b"",
                    etag=fields.text("etag"),
                ),
                seen=tuple(int(str(each)) for each in marks),
                checked=fields.number("checked"),
            )
        except (AttestationError, ValueError) as exc:
            raise CollateralStoreError(f"{path.name}: damaged") from exc

    def keep(self, request: Request, answer: Answer, *, now: int) -> Kept:
        """Write an answer down as the newest to `request`.

        Raises:
            AttestationError: not what its role says, or older than what was seen before (code
                `collateral.downgrade`); the store is unchanged.
            CollateralStoreError: cannot be written.
        """
        found = mark(request.role, answer.body)
        before = self.find(request)
        check(request.role, found, before.seen if before else (), now=now)
        kept = Kept(answer=answer, seen=found, checked=now)
        chain = self._put(answer.chain) if answer.chain else ""
        record = {
            "url": request.url,
            "role": request.role.value,
            "body": self._put(answer.body),
            "chain": chain,
            "etag": answer.etag,
            "seen": list(found),
            "checked": now,
        }
        _write(self._answers / f"{request.key}.json", json.dumps(record, sort_keys=True).encode())
        return kept

    def _put(self, data: bytes) -> str:
        name = sm3(data).hex()
        path = self._blobs / name
        if not path.exists():
            _write(path, data)
        return name


def _write(path: Path, data: bytes) -> None:
    """Write a whole file or nothing, and have it on disk before returning."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as exc:
        raise CollateralStoreError(f"{path.name}: cannot be written") from exc
