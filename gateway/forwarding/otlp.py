"""Export the gateway's metrics by OTLP over HTTP, in its JSON form.

The numbers are those of `/metrics`. Counters are cumulative and monotonic, histograms cumulative
with explicit bounds. A collector that is away is asked again at the next interval; nothing is
queued, since cumulative numbers lose nothing by it.

Source: OpenTelemetry Protocol 1.x, OTLP/HTTP with JSON encoding; docs/forwarding.md §6.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import httpx
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

from mifeng.version import VERSION

CUMULATIVE: Final = 2
_TIMEOUT_S: Final = 5.0
_NS: Final = 1_000_000_000


def document(
    families: Iterable[Metric], *, instance: str, started: float, now: float
) -> dict[str, Any]:
    """Return an ExportMetricsServiceRequest.

    Args:
        families: as a registry collects them.
        instance: name of this process.
        started: Unix seconds from which counters count.
        now: Unix seconds.
    """
    window = {
        "startTimeUnixNano": str(round(started * _NS)),
        "timeUnixNano": str(round(now * _NS)),
    }
    metrics = [made for family in families if (made := _metric(family, window))]
    attributes = {"service.name": "mifeng-gateway", "service.instance.id": instance}
    scope = {"name": "mifeng", "version": VERSION}
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": _attributes(attributes)},
                "scopeMetrics": [{"scope": scope, "metrics": metrics}],
            }
        ]
    }


def _metric(family: Metric, window: Mapping[str, str]) -> dict[str, Any] | None:
    named = {"name": family.name, "description": family.documentation}
    match family.type:
        case "counter":
            points = [_point(s, window) for s in family.samples if s.name.endswith("_total")]
            return named | {
                "sum": {
                    "dataPoints": points,
                    "aggregationTemporality": CUMULATIVE,
                    "isMonotonic": True,
                }
            }
        case "gauge":
            return named | {"gauge": {"dataPoints": [_point(s, window) for s in family.samples]}}
        case "histogram":
            points = _histograms(family, window)
            return named | {
                "histogram": {"dataPoints": points, "aggregationTemporality": CUMULATIVE}
            }
        case _:
            return None


def _point(sample: Sample, window: Mapping[str, str]) -> dict[str, Any]:
    return {"attributes": _attributes(sample.labels), "asDouble": sample.value, **window}


def _histograms(family: Metric, window: Mapping[str, str]) -> list[dict[str, Any]]:
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        series.setdefault(labels, []).append(sample)
    points = []
    for labels, samples in series.items():
        buckets = [s for s in samples if s.name.endswith("_bucket")]
        totals = [round(bucket.value) for bucket in buckets]
        counts = [total - before for total, before in zip(totals, [0, *totals], strict=False)]
        points.append(
            {
                "attributes": _attributes(dict(labels)),
                "count": str(totals[-1] if totals else 0),
                "sum": next((s.value for s in samples if s.name.endswith("_sum")), 0.0),
                "bucketCounts": [str(count) for count in counts],
                "explicitBounds": [float(b.labels["le"]) for b in buckets[:-1]],
                **window,
            }
        )
    return points


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


class Exporter:
    """Sends metrics at an interval, from `start` to `close`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        url: str,
        *,
        every_s: float,
        instance: str,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to export.

        Args:
            registry: where the numbers are.
            url: of the collector, without `/v1/metrics`.
            every_s: seconds between two exports.
            instance: name of this process.
            refresh: brings gauges up to date before each export.
        """
        self._registry, self._url = registry, f"{url.rstrip('/')}/v1/metrics"
        self._every_s, self._instance, self._refresh = every_s, instance, refresh
        self._started = time.time()
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)
        self._task: asyncio.Task[None] | None = None
        self.exported = 0
        self.failed = 0

    def start(self) -> None:
        """Begin exporting."""
        self._task = asyncio.create_task(self._run(), name="otlp")

    async def close(self) -> None:
        """Export once more and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self.once()
        await self._client.aclose()

    async def once(self) -> None:
        """Export now; a collector that refuses or is away is counted, nothing is raised."""
        self._refresh()
        body = document(
            self._registry.collect(),
            instance=self._instance,
            started=self._started,
            now=time.time(),
        )
        with contextlib.suppress(httpx.HTTPError):
            # What the collector answers beside its status is not read: it may never end.
            async with self._client.stream("POST", self._url, json=body) as answer:
                if answer.is_success:
                    self.exported += 1
                    return
        self.failed += 1

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.once()
