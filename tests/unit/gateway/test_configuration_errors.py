"""What a gateway says of a configuration that it refuses."""

from pathlib import Path

import pytest

from gateway.config import ConfigError, load

SECRET = "hunter2"


@pytest.mark.parametrize(
    "member",
    [
        {"kind": "rfc3161", "url": f"ftp://user:{SECRET}@tsa.example"},
        {"kind": "evm", "url": f"http//{SECRET}@node", "chain_id": 1, "key_env": SECRET},
    ],
)
def test_a_refusal_names_the_key_and_not_what_stands_there(
    tmp_path: Path, member: dict[str, object]
) -> None:
    """A URL may hold a password, and a secret may stand where its file's name belongs."""
    path = tmp_path / "gateway.yaml"
    document = {"directory": "d", "members": [{"name": "a", **member}]}
    path.write_text(f"anchors: {document}\n")
    with pytest.raises(ConfigError, match=r"anchors\.members\.0") as caught:
        load(path)
    assert SECRET not in str(caught.value)
