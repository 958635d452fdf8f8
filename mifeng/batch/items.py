"""What a batch consists of: files, or lines of JSON. Read one at a time, never all at once."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mifeng.client.answer import from_numpy
from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.body import Tensor, join_bytes, loads_json

MAX_LINE = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One unit of work, by its place in the batch."""

    index: int
    source: str
    """Where it came from, for people: a path, or a path and a line."""
    path: Path
    line: bytes | None
    """The JSON line; None where the file itself is the document."""

    def content(self) -> bytes:
        """Return the document or the line; raises `UsageError` if it cannot be read."""
        if self.line is not None:
            return self.line
        try:
            return self.path.read_bytes()
        except OSError as exc:
            raise UsageError(f"{self.source}: {exc.strerror}") from exc

    def tensors(self, content: bytes, input_name: str) -> tuple[Tensor, ...]:
        """Return the item's inputs.

        Args:
            content: what `content` returned.
            input_name: the BYTES input that a file becomes.

        Raises:
            UsageError: the line is not tensors.
        """
        if self.line is None:
            data = join_bytes([content])
            return (Tensor(name=input_name, datatype="BYTES", shape=(1,), data=data),)
        return _line_tensors(content, self.source)


def _line_tensors(line: bytes, source: str) -> tuple[Tensor, ...]:
    try:
        document: Any = loads_json(line)
        inputs = document["inputs"]
        return tuple(from_numpy(name, _narrow(value)) for name, value in inputs.items())
    except (MalformedError, KeyError, TypeError, AttributeError, ValueError) as exc:
        raise UsageError(f'{source}: need {{"inputs": {{name: value}}}}') from exc


def _narrow(value: Any) -> Any:  # noqa: ANN401 - JSON, then an array
    import numpy as np

    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def read(paths: Iterable[Path]) -> Iterator[Item]:
    """Yield the items of files in the order given; `.jsonl` files line by line.

    A directory stands for the files below it, by name; those that begin with a dot are left out.

    Raises:
        UsageError: a file cannot be opened.
    """
    index = 0
    for path in _files(paths):
        if path.suffix != ".jsonl":
            yield Item(index=index, source=str(path), path=path, line=None)
            index += 1
            continue
        try:
            with path.open("rb") as file:
                number = 0
                while line := file.readline(MAX_LINE):
                    number += 1
                    if line.strip():
                        source = f"{path}:{number}"
                        yield Item(index=index, source=source, path=path, line=line)
                        index += 1
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        try:
            # Names, not paths: a directory may hold a million.
            names = sorted(each for each in os.listdir(path) if each[0] != ".")  # noqa: PTH208
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        yield from _files(path / name for name in names)


def result_json(tensors: dict[str, Tensor]) -> bytes:
    """Return an answer's tensors as one line of JSON."""
    from mifeng.proxy.oip import decode_data

    outputs = {
        name: {
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "data": list(decode_data(tensor)),
        }
        for name, tensor in tensors.items()
    }
    return json.dumps({"outputs": outputs}, ensure_ascii=False).encode() + b"\n"
