"""rsyslog, which is not ours, reads what is forwarded: the fields it takes out are those put in."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.forwarding.event import Event
from gateway.forwarding.forwarder import Centre, Forwarder
from gateway.forwarding.syslog import Source
from gateway.forwarding.transport import Receiver

DAEMON = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(DAEMON is None, reason="rsyslogd is not installed")
EVENTS = (
    Event(name="node.rejected", at=1_800_000_000, fields=(("node", "n-1"), ("code", "a,b"))),
    Event(name="admin.refused", at=1_800_000_001, fields=(("code", 'x"] <13>1 - forged\\'),)),
    Event(name="node.admitted", at=1_800_000_002, fields=(("tier", "机密\nline two"),)),
)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A running rsyslogd: the port of its TCP input, and the file it writes."""
    out, port = tmp_path / "out.log", tmp_path / "port"
    config = tmp_path / "rsyslog.conf"
    config.write_text(
        f"""
global(workDirectory="{tmp_path}")
module(load="imtcp")
template(name="t" type="string"
    string="%pri%~%hostname%~%app-name%~%msgid%~%structured-data%~%msg%\\n")
ruleset(name="r") {{ action(type="omfile" file="{out}" template="t") }}
input(type="imtcp" port="0" listenPortFileName="{port}" ruleset="r")
"""
    )
    assert DAEMON is not None
    daemon = subprocess.Popen(
        [DAEMON, "-n", "-f", str(config), "-i", str(tmp_path / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + 10
    while not port.exists() or not port.read_text().strip():
        assert time.monotonic() < give_up
        assert daemon.poll() is None
        time.sleep(0.05)
    yield int(port.read_text()), out
    daemon.terminate()
    daemon.wait(10)


async def lines(out: Path, count: int) -> list[str]:
    """Return what rsyslog wrote, as soon as it is so many lines."""
    async with asyncio.timeout(10):
        while True:
            if out.exists() and len(found := out.read_text("utf-8").splitlines()) >= count:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("form", ["syslog", "cef"])
async def test_rsyslog_reads_the_fields(receiver: tuple[int, Path], form: str) -> None:
    """One line for one event, also where a value tries to begin another message."""
    port, out = receiver
    place = Receiver(kind="tcp", host="127.0.0.1", port=port)
    sender = Forwarder(Centre(name="c", receiver=place, format=form, queue=9), Source(host="gw-1"))
    sender.start()
    for event in EVENTS:
        sender.offer(event)
    found = await lines(out, len(EVENTS))
    await sender.close()
    assert len(found) == len(EVENTS)
    for line, event in zip(found, EVENTS, strict=True):
        priority, host, app, msgid, rest = line.split("~", 4)
        assert int(priority) == 13 * 8 + event.kind.severity
        assert (host, app, msgid) == ("gw-1", "mifeng-gateway", event.name)
        if form == "cef":
            assert rest.startswith("-~")
            assert "CEF:0|mifeng|gateway|" in rest
        else:
            assert rest.startswith(f'[mifeng@32473 event="{event.name}"')
            assert rest.endswith(event.kind.title)
    forged = found[1]
    assert ('code="x\\"\\] <13>1 - forged\\\\"' if form == "syslog" else "reason=x") in forged
