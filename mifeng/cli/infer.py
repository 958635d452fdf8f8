"""`mifeng infer`: one sealed request, one verified answer."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from mifeng.client import Answer
from mifeng.client.answer import from_numpy
from mifeng.errors import UsageError
from mifeng.protocol.body import ELEMENT_BYTES, OIP_INFER, OipBody, Tensor, join_bytes, split_bytes
from mifeng.protocol.session import Proven

from .options import client, config_option, json_option, print_json

LARGE_BYTES = 4 << 20
_SHOWN = 20


@click.command("infer")
@config_option
@json_option
@click.option("--model", "-m", required=True, help="Model, as the gateway serves it.")
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Tensor: JSON (`x=[[1,2]]`), a file as one BYTES element (`image=@page.png`), or a .npy "
    "file (`x=@rows.npy`). Repeat for more.",
)
@click.option(
    "--body",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send this file as the whole body instead of tensors.",
)
@click.option("--operation", default=OIP_INFER, show_default=True, help="With --body.")
@click.option("--deadline", type=float, help="Seconds the request may take.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the answer's body here.")
@click.option("--receipt", type=click.Path(path_type=Path), help="Write the signed receipt here.")
@click.option("--proof/--no-wait-proof", default=True, help="Wait for the inclusion proof.")
def command(
    config: Path,
    as_json: bool,
    model: str,
    inputs: tuple[str, ...],
    body: Path | None,
    operation: str,
    deadline: float | None,
    out: Path | None,
    receipt: Path | None,
    proof: bool,
) -> None:
    """Seal a request to an attested node and print the verified answer.

    The node is appraised against your own policy before anything is sent; the answer is printed
    only after receipt, digests and the log's promise have been checked.
    """
    if (body is None) == (not inputs):
        raise UsageError("give either --input (once or more) or --body")
    data = (
        body.read_bytes()
        if body
        else OipBody(tensors=tuple(map(read_input, inputs))).encode(response=False)
    )
    answer, proven = asyncio.run(
        _ask(config, model, data, operation=operation, deadline=deadline, proof=proof)
    )
    if out is not None:
        out.write_bytes(answer.body)
    if receipt is not None:
        receipt.write_bytes(answer.done.statement)
    if as_json:
        print_json(report(answer, proven, with_tensors=out is None))
    else:
        _print(answer, proven, show=out is None)


async def _ask(
    config: Path,
    model: str,
    data: bytes,
    *,
    operation: str,
    deadline: float | None,
    proof: bool,
) -> tuple[Answer, Proven | None]:
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("sealing and sending"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=len(data) < LARGE_BYTES or not console.is_terminal,
    )
    async with client(config) as asking:
        with bar:
            task = bar.add_task("send", total=len(data))
            answer = await asking.ask(
                model,
                data,
                operation=operation,
                deadline_s=deadline,
                progress=lambda sent: bar.update(task, completed=sent),
            )
        return answer, await asking.prove(answer) if proof else None


def read_input(text: str) -> Tensor:
    """Return the tensor that `NAME=VALUE` names.

    Raises:
        UsageError: no `=`, an unreadable file, or a value that is no tensor.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--input {text!r}: need NAME=VALUE")
    if value.startswith("@"):
        return _file_input(name, Path(value[1:]))
    try:
        return from_numpy(name, _narrow(json.loads(value)))
    except ValueError as exc:
        raise UsageError(f"--input {name}: not JSON, or not rectangular") from exc


def _file_input(name: str, path: Path) -> Tensor:
    try:
        if path.suffix == ".npy":
            import numpy as np

            return from_numpy(name, np.load(path, allow_pickle=False))
        return Tensor(name=name, datatype="BYTES", shape=(1,), data=join_bytes([path.read_bytes()]))
    except (OSError, ValueError) as exc:
        raise UsageError(f"--input {name}: {path} cannot be read") from exc


def _narrow(value: Any) -> Any:  # noqa: ANN401 - JSON, then an array
    """Return JSON numbers as models mostly want them: FP32 for fractions, INT64 for integers."""
    import numpy as np

    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def report(answer: Answer, proven: Proven | None, *, with_tensors: bool) -> dict[str, Any]:
    """Return everything about an answer as JSON."""
    receipt = answer.receipt
    document: dict[str, Any] = {
        "node": answer.node_id,
        "tier": answer.done.exchange.node.key.tier.label,
        "policy": answer.done.exchange.node.key.policy_name,
        "marks": list(answer.marks),
        "model": {"name": receipt.model, "digest": receipt.model_digest.hex()},
        "backend": receipt.backend,
        "device": receipt.device,
        "request": receipt.h.hex(),
        "log": {
            "origin": receipt.origin,
            "intent": receipt.intent_index,
            "completion": answer.done.index,
            "proven_under": proven.checkpoint.checkpoint.size if proven else None,
        },
    }
    if with_tensors:
        document["outputs"] = [_tensor_json(tensor) for tensor in answer.tensors.values()]
    return document


def _tensor_json(tensor: Tensor) -> dict[str, Any]:
    from mifeng.client.answer import to_numpy

    if tensor.datatype == "BYTES":
        data: Any = [each.decode("utf-8", "replace") for each in split_bytes(tensor.data)]
    elif ELEMENT_BYTES[tensor.datatype] is None or tensor.datatype == "BF16":
        data = None
    else:
        data = to_numpy(tensor).reshape(-1).tolist()
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
        "data": data,
    }


def _print(answer: Answer, proven: Proven | None, *, show: bool) -> None:
    receipt, node = answer.receipt, answer.done.exchange.node
    say = Console(stderr=True).print
    marks = f"  [bold yellow]{' '.join(answer.marks)}[/bold yellow]" if answer.marks else ""
    say(
        f"[bold]attested[/bold]   {answer.node_id} · {node.key.tier.label} · "
        f"policy {node.key.policy_name}{marks}"
    )
    say(f"[bold]ran[/bold]        {receipt.model} on {receipt.device}, {receipt.backend}")
    under = (
        f", proven under {proven.checkpoint.checkpoint.size} entries" if proven else ", promised"
    )
    say(f"[bold]recorded[/bold]   {receipt.origin} at {answer.done.index}{under}")
    if not show:
        return
    for tensor in answer.tensors.values():
        data = _tensor_json(tensor)["data"] or []
        more = f" … {len(data)} in all" if len(data) > _SHOWN else ""
        click.echo(f"{tensor.name} {tensor.datatype}{list(tensor.shape)}: {data[:_SHOWN]}{more}")
