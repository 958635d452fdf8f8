"""An S3-compatible store, to publish a log to and to keep its guard in.

Conditional writes do the work: `If-None-Match: *` for what is written once, `If-Match` with the
ETag that was read for what is swapped. A store without them cannot be used.

Source: docs/spec/log.md §10, §11; docs.aws.amazon.com/AmazonS3 "Conditional requests".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from .errors import PublishConflictError, PublishError
from .places import S3Place
from .target import Stored

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import S3Config


class S3Target:
    """See `Target`."""

    def __init__(self, place: S3Place) -> None:
        key: S3Config = {}
        if place.credentials:
            try:
                lines = place.credentials.read_text("ascii").split()
            except (OSError, ValueError) as exc:
                raise PublishError(f"s3: {exc}") from exc
            if len(lines) != 2:  # noqa: PLR2004
                raise PublishError(f"s3: {place.credentials} needs two lines")
            key = {"access_key_id": lines[0], "secret_access_key": lines[1]}
        if place.endpoint:
            key["endpoint"] = place.endpoint
        plain = bool(place.endpoint and place.endpoint.startswith("http://"))
        self._store = S3Store(
            place.bucket,
            prefix=place.prefix or None,
            config=key | {"region": place.region, "virtual_hosted_style_request": False},
            client_options={"allow_http": plain, "timeout": "20s"},
            retry_config={"max_retries": 2},
        )

    def read(self, path: str) -> Stored | None:
        """See `Target`."""
        with _translated():
            try:
                found = obstore.get(self._store, path)
                return Stored(data=bytes(found.bytes()), version=found.meta["e_tag"] or "")
            except FileNotFoundError:
                return None

    def put_new(self, path: str, data: bytes) -> None:
        """See `Target`."""
        with _translated():
            try:
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as exc:
                found = self.read(path)
                if found is None or found.data != data:
                    raise PublishConflictError(f"{path} holds other bytes") from exc

    def swap(self, path: str, old: str | None, data: bytes) -> str:
        """See `Target`."""
        mode: PutMode = "create" if old is None else {"e_tag": old}
        with _translated():
            try:
                made = obstore.put(self._store, path, data, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as exc:
                raise PublishConflictError(f"{path} was replaced meanwhile") from exc
        return made["e_tag"] or ""

    def names(self, prefix: str) -> Iterator[str]:
        """See `Target`."""
        with _translated():
            for page in obstore.list(self._store, prefix):
                for found in page:
                    yield found["path"]

    def remove(self, path: str) -> None:
        """See `Target`."""
        with _translated():
            try:
                obstore.delete(self._store, path)
            except FileNotFoundError:
                return


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as exc:
        raise PublishError(f"s3: {type(exc).__name__}: {str(exc)[:300]}") from exc
