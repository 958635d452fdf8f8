"""Four gateways on one log, killed in turn under load; `MIFENG_GATEWAY_KILLS` for more kills."""

import os
from pathlib import Path

import pytest

from tests.drills.four_gateways import drill

pytestmark = [pytest.mark.drill, pytest.mark.xdist_group("pg")]


@pytest.mark.timeout(600)
async def test_clients_see_clean_retries_and_the_pack_stands(tmp_path: Path) -> None:
    """What clients were given is in the log; nothing else than "ask again" was ever said."""
    kills = int(os.environ.get("MIFENG_GATEWAY_KILLS", "2"))
    figures = await drill(kills, 4.0, tmp_path)
    assert figures["the pack stands"]
    assert figures["unclean"] == {}
    assert figures["answers"] > 0
