"""Who holds which role: one name, one token, one role; nothing else gets in."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.problems import TABLE, ProblemError
from gateway.roles.actions import ROLES, Action, Role
from gateway.roles.config import AdministrationConfig
from gateway.tenants import digest_key

TOKEN = "mfa_" + "0" * 48
OTHER = "mfa_" + "1" * 48


def stored(token: str, salt: bytes = bytes(16)) -> str:
    """Return a token as configuration holds it."""
    return f"{salt.hex()}:{digest_key(token, salt).hex()}"


def person(name: str, role: str, *tokens: str) -> dict[str, Any]:
    """Return one administrator's configuration."""
    return {"name": name, "role": role, "tokens": list(tokens)}


def office(*persons: dict[str, Any]) -> AdministrationConfig:
    """Return a configuration."""
    return AdministrationConfig.model_validate(
        {"listen": "unix:/x.sock", "administrators": list(persons)}
    )


@pytest.mark.parametrize(
    ("listen", "here"),
    [
        ("unix:/run/admin.sock", True),
        ("tcp:127.0.0.1:8443", True),
        ("tcp:127.8.0.1:8443", True),
        ("tcp:localhost:8443", True),
        ("tcp:[::1]:8443", True),
        ("tcp:0.0.0.0:8443", False),
        ("tcp:[::]:8443", False),
        ("tcp:192.0.2.7:8443", False),
        ("tcp:admin.example:8443", False),
        ("tcp:localhost.example:8443", False),
    ],
)
def test_administrators_are_served_on_this_host_only(listen: str, *, here: bool) -> None:
    """Tokens in plain HTTP never cross a network: the configuration is refused and says why."""
    document = {"listen": listen, "administrators": [person("a", "system", stored(TOKEN))]}
    if here:
        assert AdministrationConfig.model_validate(document).listen == listen
        return
    with pytest.raises(ValidationError, match="on this host only: unix:PATH"):
        AdministrationConfig.model_validate(document)


def test_a_token_names_its_holder() -> None:
    """Each token finds its person and role."""
    directory = office(
        person("a", "system", stored(TOKEN)), person("b", "audit", stored(OTHER, b"\1" * 16))
    ).directory()
    assert directory.authenticate(f"Bearer {TOKEN}").role is Role.SYSTEM
    found = directory.authenticate(f"bearer {OTHER}")
    assert (found.name, found.role) == ("b", Role.AUDIT)
    assert [each.name for each in directory.all()] == ["a", "b"]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é" * 40],
)
def test_anything_else_is_a_stranger(header: str | None) -> None:
    """Missing, short, of another scheme, almost right: `admin.unauthenticated`."""
    directory = office(person("a", "system", stored(TOKEN))).directory()
    with pytest.raises(ProblemError) as refused:
        directory.authenticate(header)
    assert refused.value.code == "admin.unauthenticated"


def test_one_token_in_two_roles_serves_neither() -> None:
    """Under different salts it is not seen in the file; it is refused when it is used."""
    directory = office(
        person("a", "system", stored(TOKEN)), person("b", "audit", stored(TOKEN, b"\1" * 16))
    ).directory()
    with pytest.raises(ProblemError) as refused:
        directory.authenticate(f"Bearer {TOKEN}")
    assert refused.value.code == "admin.two_roles"


@pytest.mark.parametrize(
    "persons",
    [
        [],
        [person("a", "system", stored(TOKEN)), person("a", "audit", stored(OTHER))],
        [person("a", "system", stored(TOKEN)), person("b", "audit", stored(TOKEN))],
        [person("a", "root", stored(TOKEN))],
        [person("a", "system")],
        [person("a", "system", "00:00")],
        [person("a", "system", "zz:zz")],
        [person("a b", "system", stored(TOKEN))],
        [person("a", "system", stored(TOKEN)) | {"also": "audit"}],
    ],
)
def test_configuration_keeps_roles_apart(persons: list[dict[str, Any]]) -> None:
    """A name twice, a token twice, an unknown role or key, a bad digest: refused."""
    with pytest.raises(ValidationError):
        office(*persons)


def test_every_action_has_one_role_and_every_role_has_actions() -> None:
    """The table is total, and no role is empty."""
    assert set(ROLES) == set(Action)
    assert set(ROLES.values()) == set(Role)
    assert len({action.value for action in Action}) == len(Action)


def test_refusals_have_a_status() -> None:
    """Each code of administration is in the table of problems."""
    codes = {"admin.unauthenticated": 401, "admin.two_roles": 403, "admin.role": 403}
    assert {code: TABLE[code].http for code in codes} == codes
