"""Read what a log published with nothing of ours: the way a stranger's tool would."""

import base64
from pathlib import Path

from gateway.auditlog.target import Stored, Target


def checkpoint_of(folder: Path) -> tuple[str, int, bytes]:
    """Return origin, size and root of the published checkpoint, unverified."""
    origin, size, root, *_ = (folder / "checkpoint").read_text().splitlines()
    return origin, int(size), base64.b64decode(root)


def entries_of(folder: Path) -> list[bytes]:
    """Return every entry, read from its bundles."""
    _, size, _ = checkpoint_of(folder)
    found: list[bytes] = []
    for low in range(0, size, 256):
        number = low // 256
        name = f"{number:03}" if number < 1000 else f"x{number // 1000:03}/{number % 1000:03}"
        width = min(256, size - low)
        path = folder / "tile/entries" / (name if width == 256 else f"{name}.p/{width}")
        data, at = path.read_bytes(), 0
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            found.append(data[at + 2 : end])
            at = end
    assert len(found) == size
    return found


class FailingTarget:
    """Passes on to another target; fails as told, with or without the write persisting."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.fail: dict[str, bool] = {}
        """By operation: whether what fails next persists all the same."""

    def read(self, path: str) -> Stored | None:
        """See `Target`."""
        return self.target.read(path)

    def put_new(self, path: str, data: bytes) -> None:
        """See `Target`."""
        kind = "blob" if path.startswith("blob/") else "tile"
        self._call(kind, lambda: self.target.put_new(path, data))

    def swap(self, path: str, old: str | None, data: bytes) -> str:
        """See `Target`."""
        made: list[str] = []
        self._call("checkpoint", lambda: made.append(self.target.swap(path, old, data)))
        return made[0]

    def names(self, prefix: str) -> object:
        """See `Target`."""
        return self.target.names(prefix)

    def remove(self, path: str) -> None:
        """See `Target`."""
        self._call("remove", lambda: self.target.remove(path))

    def _call(self, kind: str, act: object) -> None:
        from gateway.auditlog.errors import PublishError

        persists = self.fail.pop(kind, None)
        if persists is not False:
            act()
        if persists is not None:
            raise PublishError(f"{kind}: told to fail")
