"""The compliance report: evidence and gaps by item, no verdict, nothing unescaped."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mifeng.audit.compliance import fonts, page
from mifeng.audit.compliance.configuration import Configuration
from mifeng.audit.compliance.items import Support, judge
from mifeng.audit.compliance.profiles import PROFILES
from mifeng.audit.compliance.signals import Signals, gather
from mifeng.audit.verify import verify
from mifeng.cli.audit import command
from mifeng.errors import UsageError
from mifeng.protocol import entries
from tests.unit.audit.made import NOW, Made


def signals(made: Made, path: Path) -> Signals:
    """Export, verify, and count."""
    pack = made.pack(path)
    return gather(pack, verify(pack, made.trust, now=made.now))


def busy() -> Made:
    """Return a log with something of most types."""
    made = Made()
    made.work(3)
    made.refuse(made.intent(tenant="<b>&tenant"))
    for role in ("system", "security", "audit"):
        made.add(
            entries.Admin(
                at=made.now, role=role, actor=bytes(32), action="login", subject="x", success=True
            )
        )
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    made.add(entries.Erasure(at=made.now, subject=bytes(32), reason="asked", actor=bytes(32)))
    made.add(
        entries.NodeRejected(
            at=made.now,
            node="node-9",
            keyset=bytes(32),
            evidence=(),
            collateral=(),
            policy=bytes(32),
            findings=("policy.tier",),
        )
    )
    made.tally()
    return made


def test_numbers_are_those_of_the_log(tmp_path: Path) -> None:
    """Tenants, algorithms, verdicts, roles and kinds are counted."""
    found = signals(busy(), tmp_path / "a.zip")
    assert found.tenants == {"bank-a": 3, "<b>&tenant": 1}
    assert found.signatures == {"sm2": 3}
    assert found.suites == {"sm": 1}
    assert list(found.verdicts.values()) == [(1, 1)]
    assert found.roles == {"system": 1, "security": 1, "audit": 1}
    assert found.kinds == {"simulated": 1}
    assert found.refusals == {"node.busy": 1}


@pytest.mark.parametrize("key", list(PROFILES))
def test_each_item_says_what_is_there_and_what_is_not(key: str, tmp_path: Path) -> None:
    """Both languages are complete; simulated hardware never counts as whole evidence."""
    found = signals(busy(), tmp_path / "a.zip")
    for each in judge(PROFILES[key], found):
        pairs = [each.item.title, *each.held, *each.missing]
        assert all(len(pair) == 2 and all(pair) for pair in pairs), each.item.id
        if any("SIMULATED" in zh for zh, _ in each.missing):
            assert each.support is Support.PARTLY


@pytest.mark.parametrize("key", list(PROFILES))
def test_a_refuted_log_supports_nothing(key: str, tmp_path: Path) -> None:
    """If the verification found errors no item has evidence."""
    made = busy()
    made.complete(made.intent(), prev=bytes(32))
    found = signals(made, tmp_path / "a.zip")
    assert not found.report.stands
    assert {each.support for each in judge(PROFILES[key], found)} == {Support.MISSING}


class _Tags(HTMLParser):
    """Notes every tag and attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "style"}]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("key", list(PROFILES))
def test_the_page_is_self_contained_and_escaped(key: str, lang: str, tmp_path: Path) -> None:
    """No script, no reference to elsewhere; what a tenant is called cannot become markup."""
    html = page.to_html(PROFILES[key], signals(busy(), tmp_path / "a.zip"), lang=lang, now=NOW)
    parser = _Tags()
    parser.feed(html)
    assert not parser.tags & {"script", "link", "img", "iframe", "b&tenant"}
    assert all(not re.search(r"https?:|url\(", link) for link in parser.links)
    assert "<b>&tenant" not in html
    first, _, _ = html.partition("</section>")
    assert ("不是测评结论" if lang == "zh" else "not an assessment") in first
    assert "SIMULATED" in first
    assert "UNWITNESSED" in first
    assert ("请对照标准原文核实" if lang == "zh" else "verify against the standard") in html


def test_what_is_unverified_is_not_printed() -> None:
    """Standards of which we could verify no clause are in no profile."""
    everything = repr(PROFILES)
    for name in ("JR/T 0068", "JR/T 0071", "金规", "央行令", "[U]"):
        assert name not in everything
    assert {item.mark for profile in PROFILES.values() for item in profile.items} <= {"S2", "K"}


def has_font() -> bool:
    """Whether this machine has a font with Chinese."""
    try:
        fonts.find()
    except UsageError:
        return False
    return True


def test_the_command_writes_every_form(tmp_path: Path) -> None:
    """HTML, JSON and PDF come from one judgement; files are never overwritten."""
    made = busy()
    pack = made.pack(tmp_path / "a.zip")
    trust = tmp_path / "trust.yaml"
    pin = {
        "origin": made.pin.origin,
        "keys": [key.encode() for key in made.pin.keys],
        "witnesses": [],
        "quorum": 0,
    }
    trust.write_text(yaml.safe_dump({"log": pin, "policies": [], "exporters": []}))
    arguments = ["report", str(pack), "--trust", str(trust), "--profile", "gbt39786"]
    runner = CliRunner()
    config = tmp_path / "gateway.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "log": {"origin": made.pin.origin, "twin": True, "publish": {"directory": "/x"}},
                "require_constant_time_crypto": True,
                "administration": {
                    "administrators": [
                        {"name": "a", "role": "system"},
                        {"name": "b", "role": "audit"},
                    ],
                },
                "forwarding": {"centres": [{"transport": "tls", "format": "syslog"}]},
            }
        )
    )
    arguments += ["--config", str(config)]
    for form in ("html", "json", "pdf"):
        if form == "pdf" and not has_font():
            continue
        out = tmp_path / f"r.{form}"
        more = ["--format", form, "--out", str(out), "--jobs", "1"]
        # The log is dated in the future of the clock this runs by, or in its past: both verify.
        result = runner.invoke(command, [*arguments, *more])
        assert result.exit_code in {0, 1}, result.exception
        assert out.exists()
        again = runner.invoke(command, [*arguments, *more])
        assert again.exception is not None
    document = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert len(document["items"]) == len(PROFILES["gbt39786"].items)
    assert document["notice"].startswith("本报告是证据汇总")
    assert document["configuration"]["retention_days"] == 3 * 365
    assert document["configuration"]["roles"] == {"system": 1, "security": 0, "audit": 1}
    login = next(item for item in document["items"] if item["id"] == "8.3 a/b")
    assert "配置中无人担任：security" in login["missing"]


@pytest.mark.parametrize("data", [b"", b"[]", b"log: 7", b"\x00", b"a: [", b"log: {origin: }}"])
def test_what_is_no_configuration_is_refused(data: bytes, tmp_path: Path) -> None:
    """A file that is not a gateway's configuration is an error of usage, not a silent nothing."""
    path = tmp_path / "g.yaml"
    path.write_bytes(data)
    with pytest.raises(UsageError):
        Configuration.read(path)


def test_configuration_of_odd_shape_is_read_as_stating_nothing(tmp_path: Path) -> None:
    """Sections of the wrong kind state nothing; nothing raises."""
    path = tmp_path / "g.yaml"
    path.write_text("log: {origin: o, publish: [1]}\nadministration: {a: 1}\nforwarding: 7\n")
    stated = Configuration.read(path)
    assert stated.retention_days is None
    assert stated.forwarding == ()
    assert not any(stated.roles.values())
