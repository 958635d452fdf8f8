"""Metrics to a collector over HTTP: the numbers of /metrics in OTLP's JSON form."""

import asyncio
import json

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.forwarding.otlp import Exporter, document


def registry() -> CollectorRegistry:
    """Return a registry with one metric of each kind."""
    made = CollectorRegistry()
    Counter("things", "Things.", ("model",), registry=made).labels("m").inc(3)
    Gauge("level", "Level.", registry=made).set(2.5)
    histogram = Histogram("seconds", "Seconds.", buckets=(0.1, 1.0), registry=made)
    for value in (0.05, 0.5, 0.5, 7.0):
        histogram.observe(value)
    return made


class Collector:
    """A stub of a collector's HTTP endpoint."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.bodies: list[tuple[str, bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.lower().startswith("content-length")
        )
        self.bodies.append((head, await reader.readexactly(length)))
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}" % self.status
        )
        await writer.drain()
        writer.close()


async def test_a_collector_gets_the_numbers() -> None:
    """One POST to /v1/metrics with every metric, as JSON."""
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    refreshed = []
    exporter = Exporter(
        registry(),
        f"http://127.0.0.1:{port}/",
        every_s=60,
        instance="gw-1",
        refresh=lambda: refreshed.append(1),
    )
    exporter.start()
    await exporter.close()
    assert (exporter.exported, exporter.failed) == (1, 0)
    assert refreshed == [1]
    ((head, body),) = collector.bodies
    assert head.startswith("POST /v1/metrics ")
    assert "application/json" in head
    (scope,) = json.loads(body)["resourceMetrics"][0]["scopeMetrics"]
    found = {metric["name"]: metric for metric in scope["metrics"]}
    assert set(found) == {"things", "level", "seconds"}
    (point,) = found["things"]["sum"]["dataPoints"]
    assert point["asDouble"] == 3
    assert point["attributes"] == [{"key": "model", "value": {"stringValue": "m"}}]
    assert found["things"]["sum"]["isMonotonic"] is True
    assert found["level"]["gauge"]["dataPoints"][0]["asDouble"] == 2.5
    (point,) = found["seconds"]["histogram"]["dataPoints"]
    assert point["bucketCounts"] == ["1", "2", "1"]
    assert point["explicitBounds"] == [0.1, 1.0]
    assert point["count"] == "4"
    assert point["sum"] == pytest.approx(8.05)
    server.close()
    await server.wait_closed()


async def test_a_collector_that_refuses_or_is_away_is_counted() -> None:
    """Nothing is raised, and nothing is queued."""
    collector = Collector(503)
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    exporter = Exporter(registry(), f"http://127.0.0.1:{port}", every_s=60, instance="i")
    await exporter.once()
    server.close()
    await server.wait_closed()
    await exporter.once()
    await exporter.close()
    assert (exporter.exported, exporter.failed) == (0, 2)


def test_the_json_is_that_of_the_protocol() -> None:
    """Times are nanoseconds as text, 64-bit counts are text, as protobuf's JSON wants them."""
    made = document(registry().collect(), instance="i", started=1.5, now=2.5)
    text = json.dumps(made)
    assert '"timeUnixNano": "2500000000"' in text
    assert '"startTimeUnixNano": "1500000000"' in text
    assert '"aggregationTemporality": 2' in text


async def test_an_answer_without_end_is_not_read() -> None:
    """The status says enough: what a collector writes after it stays with the collector."""
    stopped = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
        except OSError:
            stopped.set()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    exporter = Exporter(registry(), f"http://127.0.0.1:{port}", every_s=60, instance="i")
    async with asyncio.timeout(10):
        await exporter.once()
        await stopped.wait()
    assert (exporter.exported, exporter.failed) == (1, 0)
    await exporter.close()
    server.close()
    await server.wait_closed()
