"""What a signed manifest must look like inside, and how it compares with a device."""

from typing import ClassVar

import pytest

from attestation.errors import EvidenceMalformedError
from attestation.evidence import Collateral, Role
from attestation.nvidia import reference, rim
from attestation.nvidia.reference import Need
from tests.harness.tee import nvidia as sim

ROOTS = (sim.rim_root(),)
RESOURCE = (
    '<ns0:Resource type="Measurement" index="64" active="True" alternatives="1" {} size="48"/>'
)
HASH = f'ns2:Hash0="{"00" * 48}"'

BAD = {
    "another root element": sim.driver_rim(root="ns0:Other"),
    "index twice": sim.driver_rim(extra=RESOURCE.format(HASH).replace('"64"', '"63"')),
    "index too large": sim.driver_rim(extra=RESOURCE.format(HASH).replace('"64"', '"256"')),
    "index no number": sim.driver_rim(extra=RESOURCE.format(HASH).replace('"64"', '"+1"')),
    "index with zeros": sim.driver_rim(extra=RESOURCE.format(HASH).replace('"64"', '"064"')),
    "active lower case": sim.driver_rim(extra=RESOURCE.format(HASH).replace("True", "true")),
    "another type": sim.driver_rim(extra=RESOURCE.format(HASH).replace("Measurement", "File")),
    "another size": sim.driver_rim(extra=RESOURCE.format(HASH).replace('"48"', '"32"')),
    "no hash": sim.driver_rim(extra=RESOURCE.format("")),
    "hash too short": sim.driver_rim(extra=RESOURCE.format('ns2:Hash0="00"')),
    "hash no hex": sim.driver_rim(extra=RESOURCE.format(f'ns2:Hash0="{"zz" * 48}"')),
    "hash not counted": sim.driver_rim(extra=RESOURCE.format(f'{HASH} ns2:Hash1="{"00" * 48}"')),
    "hash missing": sim.driver_rim(extra=RESOURCE.format(HASH).replace('tives="1"', 'tives="2"')),
    "no alternatives": sim.driver_rim(
        extra=RESOURCE.format(HASH).replace('tives="1"', 'tives="0"')
    ),
    "too many": sim.driver_rim(extra=RESOURCE.format(HASH).replace('tives="1"', 'tives="9999"')),
    "no alternatives and no hash": sim.driver_rim(
        extra=RESOURCE.format("").replace('tives="1"', 'tives="0"')
    ),
    "another element of the same shape": sim.driver_rim(
        extra=RESOURCE.format(HASH).replace("ns0:Resource", "ns0:File")
    ),
    "another element": sim.driver_rim(extra="<ns0:File/>"),
    "Resource with children": sim.driver_rim(
        extra=RESOURCE.format(HASH).replace("/>", "><ns0:Resource/></ns0:Resource>")
    ),
    "Payload twice": sim.driver_rim(extra="</ns0:Payload><ns0:Payload>"),
    "no version": sim.driver_rim(version=""),
}


@pytest.mark.parametrize("case", BAD)
def test_signed_but_malformed_manifests_are_refused(case: str) -> None:
    """A genuine signature does not make an ambiguous document readable."""
    with pytest.raises(EvidenceMalformedError) as caught:
        rim.authenticate(BAD[case].xml(), ROOTS)
    assert caught.value.findings[0].code == "nvidia.rim.document"


class Edited(sim.Manifest):
    """A manifest whose text is edited before it is signed."""

    edit: ClassVar[tuple[str, str]]

    def unsigned(self) -> str:
        """Return the edited document."""
        old, new = self.edit
        text = super().unsigned()
        assert old in text
        return text.replace(old, new)


class MetaChild(Edited):
    """Something inside Meta."""

    edit = ('ns1:BindingSpec="RIMIM"/>', 'ns1:BindingSpec="RIMIM"><ns0:Meta/></ns0:Meta>')


class EntityChild(Edited):
    """Something inside Entity."""

    edit = ('tagCreator"/>', 'tagCreator"><ns0:Meta/></ns0:Entity>')


@pytest.mark.parametrize("bent", [MetaChild, EntityChild])
def test_children_beside_the_payload_are_refused(bent: type[Edited]) -> None:
    """Nothing may hide where attributes are read."""
    with pytest.raises(EvidenceMalformedError, match=r"nvidia\.rim\.document"):
        rim.authenticate(bent(version="1", product="GH100", active=()).xml(), ROOTS)


def test_the_last_index_is_allowed() -> None:
    """255 is an index like any other."""
    extra = RESOURCE.format(HASH).replace('"64"', '"255"')
    assert rim.authenticate(sim.driver_rim(extra=extra).xml(), ROOTS).golden[255] == (bytes(48),)


def test_values_come_out_by_index() -> None:
    """Active indices keep all their alternatives; inactive ones are not there."""
    values = [bytes(48), b"\x01" * 48]
    found = rim.authenticate(sim.driver_rim(golden={23: values}).xml(), ROOTS)
    assert found.golden[23] == tuple(values)
    assert sorted(found.golden) == sorted(sim.DRIVER_ACTIVE)
    assert (found.version, found.product) == ("580.159.03", "GH100")


def test_any_alternative_matches() -> None:
    """The second of several golden values is as good as the first."""
    need = Need(
        role=Role.SWITCH_RIM,
        rim_id="X",
        version="96.10.55.00.01",
        products=frozenset({"LS10"}),
        least=frozenset(),
    )
    manifest = sim.switch_rim(golden={3: [bytes(48), sim.measured(3)]})
    measured = {index: sim.measured(index) for index in range(31)}
    outcome = reference.compare(
        need,
        measured,
        Collateral(((Role.SWITCH_RIM, manifest.xml()),)),
        roots=ROOTS,
        skip=frozenset(),
        now=sim.NOW,
    )
    assert (outcome.refused, outcome.unchecked) == ((), ())


@pytest.mark.parametrize("least", [frozenset(), frozenset({1})])
def test_a_manifest_that_names_nothing_matches_nothing(least: frozenset[int]) -> None:
    """Vacuous success is refused, whether or not the chip's indices are known."""
    need = Need(
        role=Role.SWITCH_RIM,
        rim_id="X",
        version="96.10.55.00.01",
        products=frozenset({"LS10"}),
        least=least,
    )
    given = Collateral(((Role.SWITCH_RIM, sim.switch_rim(active=()).xml()),))
    outcome = reference.compare(need, {}, given, roots=ROOTS, skip=frozenset(), now=sim.NOW)
    assert [each.code for each in outcome.refused] == ["nvidia.switch-rim.coverage"]
