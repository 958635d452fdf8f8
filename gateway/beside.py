"""What stands beside the data path: persons, administrators, security centres, metrics.

Opened with the log and closed after it. Nothing here can open a request; what fails here either
refuses its own action or is counted.

Source: docs/privacy.md; docs/forwarding.md.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from . import events
from .api import admin
from .auditlog.log import AuditLog
from .config import ConfigError, GatewayConfig
from .forwarding.event import of_log
from .forwarding.forwarder import Forwarder
from .forwarding.otlp import Exporter
from .metrics import Metrics
from .operations import Operations
from .roles.desk import Desk
from .subjects.errors import SubjectsError
from .subjects.people import People
from .subjects.store import SubjectStore


class Server(Protocol):
    """Of an HTTP server, what is needed here."""

    should_exit: bool

    async def serve(self) -> None:
        """Serve until `should_exit`."""
        ...


Serve = Callable[[object, str], Server]
"""Makes a server of an ASGI application and an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """What administrators act on."""

    operations: Operations
    policy: bytes
    """The policy document in force."""
    drain: Callable[[], None]


class Beside:
    """Everything beside the data path of one gateway; belongs to one event loop."""

    def __init__(
        self, settings: GatewayConfig, people: People | None, forwarders: list[Forwarder]
    ) -> None:
        self._settings, self.people, self._forwarders = settings, people, forwarders
        self._loop = asyncio.get_running_loop()
        self._exporter: Exporter | None = None
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: GatewayConfig, audit: AuditLog, passphrase: bytes) -> Self:
        """Open the store of persons, record what waited, begin forwarding.

        Args:
            settings: see `config.load`.
            audit: the open log.
            passphrase: of the log's keys; needed to read persons' keys too.

        Raises:
            ConfigError: the store of persons cannot be opened.
        """
        people = None
        if settings.subjects is not None:
            place = settings.subjects
            try:
                store = await asyncio.to_thread(
                    SubjectStore.open, place.database, place.key, passphrase
                )
            except SubjectsError as exc:
                raise ConfigError(str(exc)) from exc
            people = People(store, audit, origin=settings.log.origin)
            await people.flush()
        forwarders = []
        if (told := settings.forwarding) is not None:
            source = told.source()
            forwarders = [Forwarder(centre.centre(), source) for centre in told.centres]
        made = cls(settings, people, forwarders)
        for forwarder in forwarders:
            forwarder.start()
        if forwarders:
            events.listen(made._hear)
        return made

    def _hear(self, logged: Mapping[str, Any]) -> None:
        """Offer a line of the gateway's log; called in whatever thread logged it."""
        event = of_log(logged, now=time.time())
        if event is not None and not self._loop.is_closed():
            for forwarder in self._forwarders:
                self._loop.call_soon_threadsafe(forwarder.offer, event)

    async def serve(
        self,
        acts: Acts,
        metrics: Metrics,
        *,
        instance: str,
        server: Serve,
    ) -> None:
        """Begin to serve administrators and to export metrics, where configured."""
        if self._forwarders:
            metrics.registry.register(_Forwarded(self._forwarders))
        if (told := self._settings.forwarding) is not None and told.otlp is not None:
            self._exporter = Exporter(
                metrics.registry,
                told.otlp.url,
                every_s=told.otlp.every_s,
                instance=instance,
                refresh=lambda: acts.operations.measure(metrics),
            )
            self._exporter.start()
        if (office := self._settings.administration) is not None and self.people is not None:
            desk = Desk(office.directory(), self.people, acts.operations.audit)
            application = admin.build(
                admin.Administration(
                    desk=desk,
                    people=self.people,
                    operations=acts.operations,
                    policy=acts.policy,
                    drain=acts.drain,
                    forwarding=self.status,
                )
            )
            self._server = server(application, office.listen)
            self._serving = asyncio.create_task(self._server.serve(), name="administration")

    def status(self) -> dict[str, Any]:
        """Return what became of events."""
        return {"centres": [forwarder.status() for forwarder in self._forwarders]}

    async def stop_serving(self) -> None:
        """Let administrators do nothing more."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)

    async def close(self) -> None:
        """Send what waits, and release everything."""
        await asyncio.sleep(0)  # events on their way from other threads arrive
        events.unlisten(self._hear)
        for forwarder in self._forwarders:
            await forwarder.close()
        if self._exporter is not None:
            await self._exporter.close()
        if self.people is not None:
            await self.people.close()


class _Forwarded(Collector):
    """Numbers about forwarding, for Prometheus."""

    def __init__(self, forwarders: Iterable[Forwarder]) -> None:
        self._forwarders = tuple(forwarders)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        sent = CounterMetricFamily("mifeng_forwarded_events", "Events sent", labels=["centre"])
        dropped = CounterMetricFamily(
            "mifeng_forwarding_dropped_events", "Events dropped unsent", labels=["centre"]
        )
        waiting = GaugeMetricFamily(
            "mifeng_forwarding_waiting_events", "Events that wait", labels=["centre"]
        )
        for each in self._forwarders:
            name = [each.centre.name]
            status = each.status()
            sent.add_metric(name, status["sent"])
            dropped.add_metric(name, status["dropped"])
            waiting.add_metric(name, status["waiting"])
        yield from (sent, dropped, waiting)
