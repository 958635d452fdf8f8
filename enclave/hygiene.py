"""What a process that holds keys and plaintext must not leave behind.

No core file, no ptrace by the same user, no environment that loads foreign code, no library
that reports home, and a log that can print only words from a list.
"""

import ctypes
import json
import logging
import os
import re
import resource
import sys
import time
from typing import Final

FORBIDDEN: Final = (
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONUSERBASE",
    "SSLKEYLOGFILE",
)
"""Variables through which whoever starts the process changes what it runs."""

_PR_SET_DUMPABLE: Final = 4
_EVENT: Final = re.compile(r"[a-z0-9_.]{1,64}")
_FIELDS: Final = ("code", "epoch", "node_id", "models", "tee", "listen", "provider")


class EnvironmentRefusedError(Exception):
    """The process was started in a way that could change the measured software."""

    code = "node.environment"


def harden() -> None:
    """Refuse a foreign environment, then close the ways plaintext leaves a process.

    Raises:
        EnvironmentRefusedError: a forbidden variable is set.
    """
    if found := [name for name in FORBIDDEN if os.environ.get(name)]:
        raise EnvironmentRefusedError(f"unset {', '.join(found)}: they load foreign code")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class AllowListFormatter(logging.Formatter):
    """One JSON object per line: time, level, event, and fields from a list.

    A message that is not a plain event name, an argument, an exception's text: none of them is
    printed, because any of them could quote a request.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        event = record.msg if isinstance(record.msg, str) else ""
        line: dict[str, object] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": event if _EVENT.fullmatch(event) else f"foreign.{record.name}"[:64],
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=True, default=str)


def configure_logging(level: int = logging.INFO) -> None:
    """Send every logger of the process through the allow-list, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(AllowListFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
