"""Which of the crypto suites that a client accepts its policy leaves to it, and in which order.

    allow      the client's list, in the client's order
    prefer     sm-pq before the others: used with every node that offers it; a gateway that offers
               only other nodes avoids it
    require    sm-pq alone: nodes without it are refused, whatever the gateway offers

The policy orders and narrows what a client lists; it adds nothing. One that wants sm-pq where the
client does not list it is an error, not a silent weaker choice.

Source: docs/spec/crypto.md §8, docs/spec/appraisal.md §2.
"""

from collections.abc import Sequence
from typing import Final

from .load import PolicyError, parse_document

HYBRID: Final = "sm-pq"


def choose(raw: bytes, accepted: Sequence[str]) -> tuple[str, ...]:
    """Return the suites to accept, best first.

    Args:
        raw: the policy document.
        accepted: names of suites, best first, as the client's configuration lists them.

    Raises:
        PolicyError: the document is not valid, or wants sm-pq and `accepted` has it not.
    """
    document = parse_document(raw)
    if document.post_quantum == "allow":
        return tuple(accepted)
    if HYBRID not in accepted:
        raise PolicyError(
            f"{document.name} says post_quantum: {document.post_quantum}, and `suites` does not"
            f" list {HYBRID}"
        )
    if document.post_quantum == "require":
        return (HYBRID,)
    return (HYBRID, *(name for name in accepted if name != HYBRID))
