"""The command line's front door: every verb loads, errors become one line and a status."""

import json
import re

import pytest
from click.testing import CliRunner

from mifeng.cli.__main__ import VERBS, cli, describe, exit_status
from mifeng.crypto import hmac_sm3
from mifeng.errors import (
    InterruptedRequestError,
    MifengError,
    PeerError,
    RefusedError,
    TransportError,
    UsageError,
)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    """`mifeng VERB --help` says what the verb does and exits 0."""
    result = CliRunner().invoke(cli, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_the_front_page_lists_every_verb() -> None:
    """`mifeng --help` names every verb without loading any."""
    result = CliRunner().invoke(cli, ["--help"])
    assert all(re.search(rf"^  {verb} ", result.output, re.MULTILINE) for verb in VERBS)
    assert CliRunner().invoke(cli, ["nonsense"]).exit_code == 2


def test_errors_map_to_statuses() -> None:
    """Each kind of blame has its own exit status, and JSON carries the code."""
    errors = [
        (UsageError("x"), 2),
        (RefusedError("quota.exceeded", "x", retry_after_s=3), 3),
        (PeerError("x"), 4),
        (TransportError("x"), 5),
        (InterruptedRequestError("x"), 6),
        (MifengError("x"), 1),
    ]
    assert [exit_status(error) for error, _ in errors] == [status for _, status in errors]
    assert describe(errors[1][0])["error"] == {
        "code": "quota.exceeded",
        "message": "x",
        "retry_after_s": 3,
    }


def test_an_api_key_matches_what_is_stored() -> None:
    """`mifeng keys api` prints a key and the salted digest by which a gateway knows it."""
    result = CliRunner().invoke(cli, ["keys", "api", "--json"])
    made = json.loads(result.output)
    salt, _, digest = made["stored"].partition(":")
    assert hmac_sm3(bytes.fromhex(salt), made["api_key"].encode()).hex() == digest
    assert made["api_key"].startswith("mfk_")
