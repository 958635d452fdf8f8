"""Offers: three parts, each behind its length, one version."""

import pytest

from mifeng.errors import MalformedError
from mifeng.protocol.codec import blob, u8, u32
from mifeng.protocol.offer import MAX_BUNDLE, MAX_PART, Offer
from tests.harness.memorylog import MemoryLog

LOG = MemoryLog()
LOG.append(b"entry")
OFFER = Offer(b"bundle", b"entry", LOG.inclusion(0))


def test_an_offer_travels() -> None:
    """What was offered is what arrives."""
    assert Offer.decode(OFFER.encode()) == OFFER


@pytest.mark.parametrize(
    "data",
    [
        b"",
        u8(2) + OFFER.encode()[1:],
        OFFER.encode()[:-1],
        OFFER.encode() + b"\0",
        u8(1) + u32(MAX_BUNDLE + 1),
        u8(1) + blob(b"") + u32(MAX_PART + 1),
        u8(1) + blob(b"") + blob(b"") + blob(b"{}"),
        u8(1) + blob(b"") + blob(b"") + blob(b"not JSON"),
    ],
    ids=["empty", "version", "cut", "long", "bundle", "entry", "no-proof", "no-json"],
)
def test_an_offer_of_another_form_is_refused(data: bytes) -> None:
    """One error of ours, whatever is wrong."""
    with pytest.raises(MalformedError):
        Offer.decode(data)
