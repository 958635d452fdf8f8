"""Numbers about anchors for Prometheus; labels are names from the configuration."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class AnchorMetrics:
    """What the service counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "mifeng_anchor_waiting", "Notes on their way", ("anchor",), registry=registry
        )
        self._tries = Counter(
            "mifeng_anchor_tries",
            "What became of a try: recorded, pending, failed, refused",
            ("anchor", "outcome"),
            registry=registry,
        )
        self._size = Gauge(
            "mifeng_anchor_size", "Size of the newest anchored tree", ("anchor",), registry=registry
        )

    def waiting(self, anchor: str, count: int) -> None:
        """Say how many notes wait."""
        self._waiting.labels(anchor).set(count)

    def tried(self, anchor: str, outcome: str) -> None:
        """Count a try that did not end in a record."""
        self._tries.labels(anchor, outcome).inc()

    def recorded(self, anchor: str, size: int) -> None:
        """Count a record."""
        self._tries.labels(anchor, "recorded").inc()
        self._size.labels(anchor).set(size)
