"""Syslog and CEF: what a receiver reads back is what was put in, whatever it was."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.events import keep_listed
from gateway.forwarding import cef, syslog
from gateway.forwarding.event import KINDS, Event, of_log
from gateway.forwarding.syslog import MAX_BYTES, MAX_VALUE, Source, plain
from tests.unit.gateway.forwarding import reading

SOURCE = Source(host="gw-1.example")
ANYTHING = st.text(alphabet=st.characters(codec=None), max_size=400)
NASTY = st.text(alphabet='"\\]|=\n\r\0 a[<>1日\u2028\ud800', max_size=60)
NAMES = st.sampled_from(["node", "code", "tenant", "operation", "tier", "index"])
FIELDS = st.dictionaries(NAMES, ANYTHING | NASTY | st.integers(), max_size=6)


def event(fields: dict[str, str | int], name: str = "node.rejected") -> Event:
    """Return an event with fields."""
    return Event(name=name, at=1_800_000_000.25, fields=tuple(fields.items()))


def test_a_verdict_as_syslog() -> None:
    """The message is that of RFC 5424: facility log audit, severity of the table, UTC."""
    made = syslog.message(event({"node": "node-1", "code": "snp.tcb,policy.tier"}), SOURCE)
    read = reading.syslog(made)
    assert read.priority == 13 * 8 + 4
    assert read.at == "2027-01-15T08:00:00.250Z"
    assert (read.host, read.msgid) == ("gw-1.example", "node.rejected")
    assert read.elements == {
        "mifeng@32473": {
            "event": "node.rejected",
            "node": "node-1",
            "code": "snp.tcb,policy.tier",
        }
    }
    assert read.text == "Attestation failed, node rejected"


def test_a_verdict_as_cef() -> None:
    """Vendor, product, event and severity are where a SIEM looks for them."""
    made = cef.message(event({"node": "node-1", "code": "snp.tcb", "tier": "tee"}), SOURCE)
    fields, extension = reading.cef(reading.syslog(made).text)
    assert fields[:2] == ["mifeng", "gateway"]
    assert fields[3:] == ["node.rejected", "Attestation failed, node rejected", "5"]
    assert extension == {
        "rt": "1800000000250",
        "dhost": "node-1",
        "reason": "snp.tcb",
        "cs1": "tee",
        "cs1Label": "assurance tier",
    }


@given(FIELDS)
def test_no_value_can_forge_syslog(fields: dict[str, str | int]) -> None:
    """Quotes, brackets, line breaks: one message, one element, the same values."""
    made = syslog.message(event(fields), SOURCE)
    assert len(made) <= MAX_BYTES
    read = reading.syslog(made)
    (params,) = read.elements.values()
    assert params.pop("event") == "node.rejected"
    assert params.items() <= {name: plain(value) for name, value in fields.items()}.items()
    assert read.text == "Attestation failed, node rejected"


@given(FIELDS)
def test_no_value_can_forge_cef(fields: dict[str, str | int]) -> None:
    """Pipes, equals signs, backslashes: seven header fields, and the same extension."""
    made = cef.message(event(fields), SOURCE)
    assert len(made) <= MAX_BYTES
    head, extension = reading.cef(reading.syslog(made).text)
    assert head[3] == "node.rejected"
    expected = {cef.KEYS[name]: plain(value) for name, value in fields.items() if plain(value)}
    found = {key: value for key, value in extension.items() if value}
    for key, value in expected.items():
        if key in found:
            assert found[key] == value
    assert set(found) <= set(expected) | {"rt"} | {f"{key}Label" for key in cef.LABELS}


@given(ANYTHING)
def test_plain_values_are_one_printable_line(value: str) -> None:
    """Nothing that steers a terminal or a parser is left, and length is bounded."""
    made = plain(value)
    assert made.isprintable() or "\ufffd" in made
    assert len(made) <= MAX_VALUE
    made.encode()


@given(ANYTHING)
def test_a_hostile_host_name_stays_one_field(host: str) -> None:
    """The header's fields are printable ASCII without blanks."""
    reading.syslog(syslog.message(event({}), Source(host=host, app=host)))


def test_what_does_not_fit_is_left_out_whole() -> None:
    """A message is never cut inside a parameter."""
    many = {f"field{i}": "]" * MAX_VALUE for i in range(20)}
    made = syslog.message(event(many), SOURCE)
    assert len(made) <= MAX_BYTES
    (params,) = reading.syslog(made).elements.values()
    assert 2 <= len(params) < 20
    assert all(value == "]" * MAX_VALUE for name, value in params.items() if name != "event")


def test_only_what_the_table_names_is_forwarded() -> None:
    """Other lines of the gateway's log are not events; fields that are not listed cannot come."""
    for name in KINDS:
        logged = {"event": name, "level": "info", "node": "n", "prompt": "secret", "code": "a\nb"}
        made = of_log(keep_listed(None, "info", logged), now=1.0)
        assert made is not None
        assert dict(made.fields) == {"node": "n", "code": "withheld"}
        reading.syslog(syslog.message(made, SOURCE))
        reading.syslog(cef.message(made, SOURCE))
    assert of_log({"event": "foreign"}, now=1.0) is None
    assert of_log({}, now=1.0) is None
