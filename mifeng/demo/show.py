"""`mifeng demo`: the nine steps on real input, then four attacks, each caught by name."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from mifeng.client import Answer, AsyncClient
from mifeng.client.answer import from_numpy
from mifeng.client.transport import Transport, connect
from mifeng.crypto.providers import providers
from mifeng.errors import MifengError
from mifeng.protocol.body import OIP_INFER, OipBody
from mifeng.protocol.header import Header
from mifeng.protocol.session import Proven

from . import watch
from .cluster import ROOT, Cluster, require_checkout

CPU: Final = [{"ep": "CPUExecutionProvider"}]
_WIDEST: Final = 120


class Demo:
    """One run of the demonstration."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.report: dict[str, Any] = {"simulated": True, "steps": [], "attacks": []}

    def run(self) -> bool:
        """Run everything; return whether every step and every refusal was as it must be.

        Raises:
            UsageError: gateway and nodes are not part of this installation.
        """
        require_checkout()
        if str(ROOT) not in sys.path:
            sys.path.insert(0, str(ROOT))
        with tempfile.TemporaryDirectory(prefix="mifeng-demo-") as name:
            directory = Path(name)
            self._title()
            with self._doing("training the risk model, reading the OCR models"):
                models, inputs = prepare(directory)
            cluster = Cluster(models, nodes=2, directory=directory, witnesses=1)
            with self._doing("starting gateway, two nodes and a witness of the log"):
                cluster.prepare()
                cluster.start()
            try:
                return asyncio.run(self._show(cluster, inputs))
            finally:
                cluster.close()

    def _title(self) -> None:
        say = self._console.print
        say("\n[bold]mifeng 密封[/bold]  a request travels sealed; the gateway cannot read it\n")
        sm2 = providers().sm2
        speed = "constant-time" if sm2.constant_time else "[yellow]not constant-time[/yellow]"
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_row(
            "[bold yellow]SIMULATED[/bold yellow]",
            "the silicon of the two nodes: anyone can forge their evidence, and only the policy "
            "[italic]unsafe-simulated[/italic] accepts it. Everything else is real.",
        )
        table.add_row(
            "[bold]WITNESSED[/bold]",
            "by a witness on this same machine: it shows how. A real one is run by somebody else.",
        )
        table.add_row("crypto", f"national crypto by [bold]{sm2.name}[/bold] ({speed})")
        say(table)
        say()

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        with self._console.status(f"{what} …"):
            yield
        self._console.print(f"[dim]{what}: {time.monotonic() - began:.1f} s[/dim]")

    async def _show(self, cluster: Cluster, inputs: dict[str, Any]) -> bool:
        config = cluster.client_config()
        watching = watch.Watching(connect(config.gateway, api_key=config.read_api_key()))
        async with self._client(cluster, watching) as client:
            page = await self._nine_steps(
                client, watching, "Document OCR", "ocr", {"image": [inputs["page"]]}
            )
            self._invoice(page)
            one = await self._nine_steps(
                client,
                watching,
                "Risk scoring, 1 row",
                "risk",
                {inputs["name"]: inputs["rows"][:1]},
            )
            many = await self._nine_steps(
                client,
                watching,
                "Risk scoring, 10 000 rows",
                "risk",
                {inputs["name"]: inputs["rows"]},
            )
            self._scores(one, many, inputs)
        caught = await self._attacks(cluster, inputs)
        self._console.print(
            "\n[bold green]Everything above was checked by this client, offline and by itself."
            "[/bold green]\n"
            if caught
            else "\n[bold red]An attack was not caught.[/bold red]\n"
        )
        return caught

    def _client(self, cluster: Cluster, transport: Transport) -> AsyncClient:
        config = cluster.client_config()
        return AsyncClient(transport=transport, terms=config.terms(), tenant=config.tenant)

    # The nine steps.

    async def _nine_steps(
        self,
        client: AsyncClient,
        watching: watch.Watching,
        title: str,
        model: str,
        inputs: dict[str, Any],
    ) -> Answer:
        began = time.monotonic()
        answer = await client.infer(model, inputs)
        took = time.monotonic() - began
        proven = await client.prove(answer)
        table = Table(
            title=title, title_justify="left", show_header=False, box=None, pad_edge=False
        )
        table.add_column(style="bold cyan", no_wrap=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        rows = steps(answer, proven, watching)
        for number, (step, what) in enumerate(rows, 1):
            table.add_row(str(number), step, what)
        self._console.print()
        self._console.print(table)
        self._console.print(f"  [dim]{took * 1000:.0f} ms from asking to the verified answer[/dim]")
        self.report["steps"].append(
            {"title": title, "ms": round(took * 1000, 1), "steps": dict(rows)}
        )
        return answer

    def _invoice(self, answer: Answer) -> None:
        from examples.ocr.fields import extract

        outputs = answer.outputs
        texts = [text.decode() for text in outputs["text"]]
        found = extract(texts, [int(row) for row in outputs["row"]])
        table = Table(show_header=False, box=None, pad_edge=False)
        for label, value in (
            ("发票号码 number", found.number),
            ("开票日期 date", found.date),
            ("购买方 buyer", f"{found.buyer}  {found.buyer_tax_id}"),
            ("销售方 seller", f"{found.seller}  {found.seller_tax_id}"),
            ("合计 net + tax", f"{found.net / 100:.2f} + {found.tax / 100:.2f}"),
            ("价税合计 total", f"[bold]¥{found.total / 100:.2f}[/bold]"),
        ):
            table.add_row(f"     {label}", value)
        self._console.print(f"  read {len(texts)} lines; the invoice says:")
        self._console.print(table)
        self.report["invoice"] = {"number": found.number, "total_fen": found.total}

    def _scores(self, one: Answer, many: Answer, inputs: dict[str, Any]) -> None:
        first = next(iter(one.outputs.values()))
        labels = many.outputs[inputs["label_output"]].reshape(-1)
        agree = float((labels == inputs["labels"]).mean())
        self._console.print(f"  first row: {first.reshape(-1)[:2].tolist()}")
        self._console.print(f"  10 000 rows: {agree:.1%} agree with the known outcome")
        self._console.print(Padding(inputs["description"], (0, 0, 0, 2)), style="dim")
        self.report["risk_agreement"] = round(agree, 4)

    # The attacks.

    async def _attacks(self, cluster: Cluster, inputs: dict[str, Any]) -> bool:
        attacks: list[tuple[str, Callable[[Transport], Transport], int, str]] = [
            ("one bit of the sealed request is flipped", watch.FlipsOneBit, 1, "seal.invalid"),
            ("another request's answer is delivered", watch.SwapsAnswers, 2, "peer.stream"),
            ("an unattested machine offers its own keys", watch.OffersOwnKeys, 1, "peer.node"),
            ("the log's record is withheld", watch.DropsTheRecord, 1, "interrupted"),
        ]
        table = Table(title="Attacks", title_justify="left", box=None, pad_edge=False)
        for column in ("what the gateway does", "caught as", "in words"):
            table.add_column(column, overflow="fold")
        rows = {inputs["name"]: inputs["rows"][:1]}
        ok = True
        for what, attacker, requests, expected in attacks:
            config = cluster.client_config()
            inner = connect(config.gateway, api_key=config.read_api_key())
            async with self._client(cluster, attacker(inner)) as client:
                code, words = await _caught(client, rows, requests)
            right = code == expected
            ok &= right
            mark = "[green]" if right else "[red]"
            table.add_row(what, f"{mark}{code}[/]", words)
            self.report["attacks"].append({"attack": what, "code": code, "caught": right})
        self._console.print()
        self._console.print(table)
        return ok


async def _ask(client: AsyncClient, rows: dict[str, Any]) -> None:
    """Ask once, on one node, without the client's own retries, so that the first refusal shows."""
    node = (await client.attest("risk"))[0]
    tensors = tuple(from_numpy(name, value) for name, value in rows.items())
    body = OipBody(tensors=tensors).encode(response=False)
    stream = client.stream_from(node, "risk", body, operation=OIP_INFER, stream=False)
    async for _ in stream:
        pass


async def _caught(client: AsyncClient, rows: dict[str, Any], requests: int) -> tuple[str, str]:
    """Return the code and words of the refusal that the last of some requests meets."""
    for number in range(requests):
        try:
            await _ask(client, rows)
        except MifengError as exc:
            words = _brief(str(exc))
            return (exc.code, words) if number == requests - 1 else ("too early", words)
    return "not caught", "the answer was accepted"


def _brief(words: str) -> str:
    """Return the first part of a refusal; digests and further nodes are for `attest list`."""
    first = words.partition(": need ")[0].partition(";")[0]
    return first if len(first) <= _WIDEST else first[:_WIDEST] + "…"


def steps(answer: Answer, proven: Proven, seen: watch.Watching) -> list[tuple[str, str]]:
    """Return what happened in each of the nine steps, in words."""
    node, receipt, done = answer.done.exchange.node, answer.receipt, answer.done
    header = Header.decode(done.exchange.sealed_request.header)
    measurement = next(iter(node.key.claims[0].measurements.values())).hex()
    offered = ", ".join(f"{each.node_id} ({each.active}/{each.capacity})" for each in seen.offered)
    suite = "sm: SM2, SM4-GCM, HKDF-SM3" if node.suite == 1 else f"{node.suite:#06x}"
    sees = f"tenant {header.tenant}, model {header.model}, {header.operation}, sizes, times"
    digest, keyset = measurement[:16], node.key.keyset_digest.hex()[:12]
    tier, policy = node.key.tier.label, node.key.policy_name
    head = proven.checkpoint.checkpoint
    witnesses = ", ".join(line.key.name for line in proven.checkpoint.cosigned) or "nobody"
    entries, root = head.size, head.root.hex()[:16]
    told = {
        "offer": f"the gateway ranks {offered}, each with evidence for our challenge",
        "appraise": f"{answer.node_id}: tier {tier}, measurement {digest}…, policy {policy}, "
        f"keyset {keyset}… in the log",
        "seal": f"{seen.frames_out} frame{'s' * (seen.frames_out > 1)}, "
        f"{seen.sealed_out:,} bytes, suite {suite}",
        "intent": f"log index {receipt.intent_index}; all the gateway sees: {sees}",
        "open": f"the node claims {receipt.h.hex()[:16]}… once, ever",
        "run": f"{receipt.backend} on {receipt.device}",
        "sign": f"{receipt.outcome}, statement {receipt.seq} of this keyset; "
        f"{' '.join(receipt.marks) or 'no marks'}",
        "log": f"COMPLETION at index {done.index}; then {seen.sealed_in:,} sealed bytes leave",
        "verify": f"receipt, digests, promise; WITNESSED by {witnesses}: inclusion under the "
        f"cosigned checkpoint of {entries} entries, root {root}…",
    }
    return list(told.items())


def prepare(directory: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write the demo's models into `directory` and return node entries and inputs."""
    from examples.fraud import train
    from examples.ocr.models import read_models

    fraud = train.build()
    (directory / "risk.onnx").write_bytes(fraud.onnx)
    ocr = read_models()
    files = {}
    for role in ("detect", "classify", "recognise"):
        path = directory / f"{role}.onnx"
        path.write_bytes(getattr(ocr, role))
        files[role] = str(path)
    models: list[dict[str, Any]] = [
        {
            "name": "ocr",
            "version": "pp-ocr-v4",
            "kind": "ocr",
            "files": files,
            "devices": CPU,
            "intra_threads": 2,
        },
        {
            "name": "risk",
            "version": "1",
            "kind": "onnx",
            "files": {"graph": str(directory / "risk.onnx")},
            "devices": CPU,
        },
    ]
    page = (ROOT / "examples" / "ocr" / "invoice.png").read_bytes()
    return models, {"page": page, **_fraud_inputs(fraud)}


def _fraud_inputs(fraud: Any) -> dict[str, Any]:  # noqa: ANN401 - a NamedTuple of examples
    return {
        "name": "rows",
        "label_output": "label",
        "rows": fraud.rows,
        "labels": fraud.labels,
        "description": fraud.description,
    }
