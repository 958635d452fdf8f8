"""How old evidence can be that was made after a checkpoint note, by the witnesses that cosigned it.

Evidence that binds a whole note, cosignatures included, is younger than they are. Witnesses say
when they cosigned; whoever pins them takes the time of as many of them as it pins a quorum of: with
fewer liars than that, one of them was honest. A note that no pinned witness cosigned says nothing:
the log could have signed it long ago (or for long after).

Source: docs/spec/binding.md §2; c2sp.org/tlog-cosignature.
"""

from typing import Final

from mifeng.errors import PeerError

from . import checkpoint
from .checkpoint import LogPin

CLOCK_SKEW_S: Final = 60
"""How far the clocks of witness, node and verifier may differ."""


def cosigned_at(note: bytes, pin: LogPin) -> int:
    """Return a time, Unix seconds, before which the note with its cosignatures did not exist.

    Args:
        note: untrusted; any bytes.
        pin: the log and the witnesses that the verifier trusts.

    Raises:
        MalformedError: not a note, or not a checkpoint.
        PeerError: not of the pinned log, or not cosigned by enough pinned witnesses.
    """
    quorum = max(1, pin.quorum)
    signed = checkpoint.verify_witnessed(note, pin)
    times = sorted((line.time for line in signed.cosigned if line.time is not None), reverse=True)
    if len(times) < quorum:
        raise PeerError(f"freshness: {len(times)} witnesses cosigned the note, need {quorum}")
    return times[quorum - 1]


def check_note(
    note: bytes, pin: LogPin, *, not_after: int, max_age_s: int, max_life_s: int, now: int
) -> int:
    """Return the time that a note proves, if evidence made after it may still be relied on.

    Args:
        note: what the evidence binds; untrusted.
        pin: the log and the witnesses that the verifier trusts.
        not_after: end of the keyset's life, Unix seconds.
        max_age_s: how old evidence may be.
        max_life_s: how long a keyset may be used after its evidence.
        now: Unix seconds.

    Raises:
        MalformedError, PeerError: as `cosigned_at`, or too old, or of a keyset that lives too long.
    """
    at = cosigned_at(note, pin)
    if not -CLOCK_SKEW_S <= now - at <= max_age_s:
        raise PeerError(f"freshness: the note was cosigned {now - at} s ago, at most {max_age_s}")
    if not_after > at + max_life_s + CLOCK_SKEW_S:
        raise PeerError(f"freshness: the keyset outlives the note by {not_after - at} s")
    return at
