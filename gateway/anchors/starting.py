"""Make the anchors a configuration asks for and set them going beside an open log."""

from collections.abc import Awaitable, Callable

from gateway.auditlog.config import LogConfig, open_target
from gateway.auditlog.failpoints import Failpoints
from gateway.auditlog.log import AuditLog
from gateway.metrics import Metrics

from .config import AnchorsConfig
from .metrics import AnchorMetrics
from .queue import Queue
from .service import Anchors


async def _nothing() -> None:
    """Close nothing."""


def start(
    config: AnchorsConfig | None,
    log: LogConfig,
    audit: AuditLog,
    metrics: Metrics,
    points: Failpoints,
) -> Callable[[], Awaitable[None]]:
    """Start the configured anchors, if any, and return what stops them.

    Records are also written where the log is published, if it is.

    Raises:
        UsageError: a key or certificate cannot be read, or a library is missing.
        AnchorError: another process has the directory.
        PublishError: the place where the log is published cannot be reached.
    """
    if config is None:
        return _nothing
    members = config.anchors()
    target = open_target(log)
    service = Anchors(
        members,
        Queue(config.directory),
        latest=lambda: audit.checkpoint().note,
        timing=config.timing(),
        metrics=AnchorMetrics(metrics.registry),
        publish=target.put_new if target else None,
        points=points,
    )
    service.start()
    return service.close
