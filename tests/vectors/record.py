"""Record one whole exchange per suite: `python tests/vectors/record.py`.

Run once for each version of the wire format: encapsulation and SM2 signatures draw randomness that
no interface takes, so these files cannot be built again, only opened and verified. A new recording
is a new format, and the old one is then deleted with its version.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent.parent))

from attestation.bundle import Freshness  # noqa: E402 - after the path
from mifeng.crypto import kem  # noqa: E402
from mifeng.crypto.suites import SUITES  # noqa: E402
from mifeng.protocol import session  # noqa: E402
from tests.harness.world import World  # noqa: E402
from tests.vectors.keys import material, private_key  # noqa: E402

BODY: Final = "一张发票 ".encode() * 30 + bytes(range(256))


class Recorder:
    """Fixes decapsulation keys and keeps the secret of the last encapsulation."""

    def __init__(self) -> None:
        self.ss = b""
        self._encapsulate = vars(session)["encapsulate"]

    def install(self) -> None:
        """Take the place of key generation and encapsulation in this process."""
        for cls in (kem.Sm2Kem, kem.Sm2MlKem, kem.X25519Kem):
            setattr(cls, "generate", lambda _self, suite_id: private_key(suite_id))  # noqa: B010
        vars(session)["encapsulate"] = self.encapsulate

    def encapsulate(self, suite_id: int, public: bytes) -> tuple[bytes, bytes]:
        """Encapsulate and remember."""
        ct, self.ss = self._encapsulate(suite_id, public)
        return ct, self.ss


async def record(suite: int, recorder: Recorder) -> dict[str, Any]:
    """Carry one request through the real client, node and an in-memory log."""
    world = World(suite=suite)
    freshness = Freshness(kind=1, x=bytes(range(32)))
    offer = await world.offer(freshness)
    node = session.trust(offer, world.terms, nonce32s={freshness.nonce32}, now=world.now)
    state, request = world.start(node, BODY)
    answer = [message async for message in world.relay(request)]
    epoch = world.keyring.active
    index = len(world.log.entries) - 1
    return {
        "suite": f"{suite:04x}",
        "now": world.now,
        "log": {"origin": world.log.origin, "keys": [key.encode() for key in world.log.pin.keys]},
        "private_key": material(suite),
        "challenge": freshness.x.hex(),
        "keyset": epoch.keyset_bytes.decode(),
        "offer": offer.hex(),
        "ss": recorder.ss.hex(),
        "h": state.exchange.h.hex(),
        "to_node": [message.encode().hex() for message in world.sent_to_node],
        "to_client": [message.encode().hex() for message in answer],
        "tally": epoch.tally(now=world.now, final=False).decode(),
        "inclusion": json.loads(world.log.inclusion(index).dumps()),
    }


def main() -> None:
    """Write one file per suite."""
    recorder = Recorder()
    recorder.install()
    for suite in SUITES.values():
        document = asyncio.run(record(suite.id, recorder))
        path = HERE / "recorded" / f"exchange-{suite.name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
