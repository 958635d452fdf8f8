"""Feed a million inputs to the event log parsers and print what came out.

    nice -n 10 python -m tests.fuzz.eventlog [INPUTS_PER_TARGET] [SEED]

docs/attestation/eventlog.md records the last run.
"""

import sys

from attestation.eventlog import bind, dstack, tcg2
from tests.fuzz.drive import Target, main
from tests.harness.tee.eventlog import CcelWriter, dstack_event, dstack_log

_LOG = CcelWriter().add(1, 4, bytes(4)).add(2, 13, b"grub_cmd").add(3, 3, b"x", digest=bytes(48))
_RTMRS = [_LOG.registers().get(index, bytes(48)) for index in range(1, 5)]
_DSTACK = dstack_log(dstack_event("app-id", b"\1"), dstack_event("system-ready", b""))

TARGETS = {
    "tcg2": Target(run=tcg2.parse, valid=_LOG.raw()),
    "dstack": Target(run=dstack.parse, valid=_DSTACK),
    "bind": Target(run=lambda data: bind.bind_tdx([data], _RTMRS, code="fuzz"), valid=_LOG.raw()),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
