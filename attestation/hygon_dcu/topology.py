"""Judge several DCUs of one node together: one chip, one endorsement key.

Chip ids are what reports say; keys are what signed them. A key that answers for two chip ids,
or a chip id that two keys answer for, is not two devices.

Source: docs/attestation/hygon-dcu.md §3.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from attestation.claims import Claims
from attestation.errors import Finding
from attestation.evidence import EvidenceKind

RESOLVES: Final[frozenset[str]] = frozenset()


def findings(claims: Sequence[Claims], /) -> list[Finding]:
    """Return what is wrong with a node's DCUs; other devices are not looked at."""
    chips: defaultdict[str, set[str]] = defaultdict(set)
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for each in claims:
        if each.kind is EvidenceKind.HYGON_DCU:
            chip, key = str(each.hardware_id), str(each.details["cek"])
            chips[key].add(chip)
            keys[chip].add(key)
    return [
        Finding("hygon-dcu.key-shared", f"CEK {key}", "one chip", ", ".join(sorted(each)))
        for key, each in sorted(chips.items())
        if len(each) > 1
    ] + [
        Finding("hygon-dcu.chip-shared", f"chip {chip}", "one CEK", ", ".join(sorted(each)))
        for chip, each in sorted(keys.items())
        if len(each) > 1
    ]
