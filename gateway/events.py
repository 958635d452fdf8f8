"""What the gateway's own log may say: event names and fields from a list, nothing else.

Structured logging with an allow-list instead of a filter: a field nobody thought of is dropped,
so neither a header of a partner nor an exception's text can bring content into an operator's
log (THREATS 30).
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

import structlog

FIELDS: Final = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "code",
        "node",
        "tenant",
        "model",
        "operation",
        "status",
        "index",
        "size",
        "listen",
        "anchor",
        "instance",
        "tier",
        "provider",
        "exception",
        "witness",
        "host",
    }
)
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+@,()\[\]-]{0,255}")


def keep_listed(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> Mapping[str, Any]:
    """Drop every field that is not listed, and every value that is not plain (CWE-117)."""
    kept = {}
    for name, value in event.items():
        if name not in FIELDS:
            continue
        plain = isinstance(value, int) or (isinstance(value, str) and _SAFE.fullmatch(value))
        kept[name] = value if plain else "withheld"
    return kept


Listener = Callable[[Mapping[str, Any]], None]
_LISTENERS: Final[list[Listener]] = []


def listen(listener: Listener) -> None:
    """Tell `listener` of every line that is logged from now on, after the allow-list."""
    _LISTENERS.append(listener)


def unlisten(listener: Listener) -> None:
    """Tell `listener` nothing more."""
    if listener in _LISTENERS:
        _LISTENERS.remove(listener)


def _tell(_logger: object, _method: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    for listener in tuple(_LISTENERS):
        listener(event)
    return event


class _Foreign(logging.Handler):
    """Other libraries' records: their level and logger, never their text."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log.log(record.levelno, "foreign", code=record.name, exception=error or "none")


def configure(level: int = logging.INFO) -> None:
    """Send everything this process logs through the allow-list, as JSON, to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_listed,
            _tell,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Foreign()], force=True)


log: structlog.typing.FilteringBoundLogger = structlog.get_logger("mifeng.gateway")
