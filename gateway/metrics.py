"""Numbers for Prometheus. Labels are names from configuration and codes from a table, no more."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mifeng.protocol.header import Header

from .auditlog.log import AuditLog
from .problems import TABLE

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_OUTCOMES = frozenset({"completed", "failed", "aborted", "node.busy", "node.draining", *TABLE})


class Metrics:
    """All metrics of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._exchanges = Counter(
            "mifeng_exchanges",
            "Exchanges that ended, by outcome",
            ("model", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mifeng_exchange_seconds",
            "From INTENT to release",
            ("model",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.nodes = Gauge(
            "mifeng_nodes_admitted", "Nodes with a current lease", registry=self._registry
        )
        self.log_size = Gauge(
            "mifeng_log_entries", "Entries in the audit log", registry=self._registry
        )
        self.log_shown = Gauge(
            "mifeng_log_shown_entries",
            "Entries under the newest checkpoint that is shown (and cosigned, with witnesses)",
            registry=self._registry,
        )
        self.log_waiting = Gauge(
            "mifeng_log_waiting_seconds",
            "For how long a durable entry has been under no shown checkpoint",
            registry=self._registry,
        )
        self.witness_up = Gauge(
            "mifeng_witness_up",
            "Whether a witness cosigned when it was last asked",
            ("witness",),
            registry=self._registry,
        )
        self.witness_alarms = Gauge(
            "mifeng_witness_alarms",
            "Witnesses that know another history of this log",
            registry=self._registry,
        )
        self.active = Gauge(
            "mifeng_exchanges_active", "Exchanges under way", registry=self._registry
        )

    def witnessed(self, audit: AuditLog) -> None:
        """Say how far the shown checkpoint is, and what each witness did last."""
        shown, showing = audit.tree.shown, audit.showing
        self.log_shown.set(shown.tree.size if shown else 0)
        self.log_waiting.set(showing.waiting_s)
        self.witness_alarms.set(len(showing.alarms))
        for each in showing.witnesses.standing.values() if showing.witnesses else ():
            self.witness_up.labels(each.name).set(each.cosigned_at is not None and not each.code)

    @property
    def registry(self) -> CollectorRegistry:
        """Where parts of the gateway with metrics of their own register them."""
        return self._registry

    def finished(self, header: Header, outcome: str, seconds: float) -> None:
        """Count one exchange."""
        label = outcome if outcome in _OUTCOMES else "other"
        self._exchanges.labels(header.model, label).inc()
        self._seconds.labels(header.model).observe(seconds)

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self._registry)
