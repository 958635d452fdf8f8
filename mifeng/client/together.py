"""What a client does at once for the requests of one turn: wrap secrets, check receipts."""

from collections.abc import Sequence

from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import KeysetRejectedError
from mifeng.protocol.receipt import VerifiedReceipt, verify_receipts
from mifeng.protocol.session import TrustedNode, Wrap, wrap_many
from mifeng.together import by_key

Claim = tuple[bytes, VerifyKey]
"""A statement, untrusted, and the key of the node it should be by."""


def wrap(nodes: Sequence[TrustedNode]) -> list[Wrap | Exception]:
    """Return a fresh encapsulation for each request to a node, or why it has no key for one."""

    def many(node: TrustedNode, requests: list[None]) -> Sequence[Wrap | Exception]:
        try:
            return wrap_many(node, len(requests))
        except KeysetRejectedError as exc:
            return [exc] * len(requests)

    return by_key([(node, None) for node in nodes], many)


def check(claims: Sequence[Claim]) -> Sequence[VerifiedReceipt | Exception]:
    """Return each receipt, verified, or what is wrong with that one alone."""
    return verify_receipts(claims)
