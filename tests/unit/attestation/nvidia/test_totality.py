"""Any bytes are parsed or refused with our error; nothing else ever comes out."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attestation.errors import AttestationError
from tests.fuzz.nvidia import TARGETS, mutate


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300))
@example(data=b"")
@example(data=b"<")
@example(data=b"{")
@example(data=b"\x30\x80")
def test_any_bytes(name: str, data: bytes) -> None:
    """Arbitrary short inputs."""
    _try(TARGETS[name].run, data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**63))
def test_any_mutation_of_a_valid_object(name: str, seed: int) -> None:
    """Valid objects with bytes changed, cut, doubled and moved."""
    target = TARGETS[name]
    _try(target.run, mutate(target.valid, seed))


def _try(run: Callable[[bytes], object], data: bytes) -> None:
    with suppress(AttestationError):
        run(data)
