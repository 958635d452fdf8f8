"""Compare what a device measured with what its vendor published.

Rules, each for a reason: an active measurement must equal one of the golden values; RIM index i
is SPDM block i + 1; every manifest must name at least the measurements known for its chip (an
empty one matches everything); two manifests of one device must not claim the same index; index
35 is the video decoder's and is skipped only when the signed report says it is disabled.

Source: nv-local-gpu-verifier 2.7.3 `verifier/verifier.py`; docs/attestation/nvidia-gpu.md §4.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attestation.errors import Finding
from attestation.evidence import Collateral, Role

from . import rim
from .rim import Rim
from .roots import Root


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The manifest one firmware component of one device must match."""

    role: Role
    rim_id: str
    """The vendor's name for it, for the operator who has to fetch it."""

    version: str
    products: frozenset[str]
    least: frozenset[int]
    """Indices the manifest must have active at the very least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What comparing one component brought to light."""

    used: Rim | None
    refused: tuple[Finding, ...] = ()
    unchecked: tuple[Finding, ...] = ()


def compare(
    need: Need,
    measured: Mapping[int, bytes],
    collateral: Collateral,
    *,
    roots: Sequence[Root],
    skip: frozenset[int],
    now: int,
) -> Outcome:
    """Return how the device's measurements compare with the manifest it needs.

    Of several manifests that fit, the one signed last is used: vendors re-issue them under the
    same name. If none fits, the one signed last is compared all the same, so that the reader
    sees every difference; its version or product is then a refusal of its own.

    Args:
        need: which manifest.
        measured: authentic runtime values by RIM index.
        collateral: untrusted; every item of `need.role` is authenticated.
        roots: pins of RIM signing roots.
        skip: indices that need no match.
        now: Unix seconds.

    Raises:
        EvidenceMalformedError: an item is no manifest.
        EvidenceUntrustedError: an item's signature or path is wrong.
    """
    rims = [rim.authenticate(raw, tuple(roots)) for raw in collateral.all(need.role)]
    name = need.role.value
    if not rims:
        missing = Finding(
            f"nvidia.{name}.missing", f"{name} of {need.version}", need.rim_id, "none"
        )
        return Outcome(used=None, unchecked=(missing,))
    fitting = [each for each in rims if _fits(each, need)]
    chosen = max(fitting or rims, key=lambda each: (_current(each, now), each.window[0]))
    refused = [*_identity(chosen, need), *_coverage(chosen, need)]
    refused += _mismatches(chosen, measured, skip, name)
    unchecked = [] if _current(chosen, now) else [_stale(chosen, name, now)]
    return Outcome(used=chosen, refused=tuple(refused), unchecked=tuple(unchecked))


def overlap(outcomes: Iterable[Outcome]) -> list[Finding]:
    """Return a finding if two manifests of one device claim the same measurement."""
    claimed: set[int] = set()
    twice: set[int] = set()
    for each in outcomes:
        active = set(each.used.golden) if each.used else set()
        twice |= claimed & active
        claimed |= active
    if not twice:
        return []
    return [Finding("nvidia.rim.overlap", "indices of the manifests", "disjoint", _list(twice))]


def _fits(candidate: Rim, need: Need) -> bool:
    return not _identity(candidate, need)


def _current(candidate: Rim, now: int) -> bool:
    start, end = candidate.window
    return start <= now <= end


def _identity(chosen: Rim, need: Need) -> list[Finding]:
    """Compare the manifest's product and version with the signed report's."""
    name = need.role.value
    found = []
    if chosen.version != need.version.upper():
        required = need.version.upper()
        found.append(Finding(f"nvidia.{name}.version", f"{name} version", required, chosen.version))
    if chosen.product not in need.products:
        required = " or ".join(sorted(need.products))
        found.append(Finding(f"nvidia.{name}.product", f"{name} product", required, chosen.product))
    return found


def _coverage(chosen: Rim, need: Need) -> list[Finding]:
    """Refuse a manifest that would leave known measurements unjudged, or judge none."""
    name = need.role.value
    absent = need.least - set(chosen.golden)
    if not absent and chosen.golden:
        return []
    found = f"without {_list(absent)}" if absent else "none"
    return [Finding(f"nvidia.{name}.coverage", f"{name} indices", _list(need.least), found)]


def _mismatches(
    chosen: Rim, measured: Mapping[int, bytes], skip: frozenset[int], name: str
) -> list[Finding]:
    """Return one finding for every active measurement that equals no golden value."""
    return [
        Finding(
            f"nvidia.{name}.measurement",
            f"measurement {index}",
            " or ".join(value.hex() for value in accepted),
            measured[index].hex() if index in measured else "absent",
        )
        for index, accepted in sorted(chosen.golden.items())
        if index not in skip and measured.get(index) not in accepted
    ]


def _stale(chosen: Rim, name: str, now: int) -> Finding:
    start, end = chosen.window
    return Finding(
        f"nvidia.{name}.expired", f"signer of the {name}", f"valid at {now}", f"{start} … {end}"
    )


def _list(indices: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(indices))) or "at least one"
