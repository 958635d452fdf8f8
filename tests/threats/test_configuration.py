"""Threats 9, 22, 39: configuration that forgets a check, SM2's own traps, a restored backup."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import policies
from enclave import config as node_config
from gateway import config as gateway_config
from gateway.auditlog.config import LogConfig, create
from gateway.auditlog.errors import LogRefusedError
from gateway.auditlog.keys import LogKeys
from gateway.auditlog.log import AuditLog
from mifeng.client import ClientConfig
from mifeng.crypto import DecryptionError, KeyFormatError, SignatureError, Sm2PrivateKey
from mifeng.crypto import Sm2PublicKey as PublicKey
from mifeng.crypto.sm2_curve import N, P
from mifeng.demo.cluster import Cluster
from mifeng.errors import UsageError
from mifeng.protocol.entries import Heartbeat
from tests.e2e.conftest import models

ANCHORS = {
    "client.yaml": (
        ("policy",),
        ("log",),
        ("log", "origin"),
        ("log", "keys"),
        ("log", "witnesses"),
        ("log", "quorum"),
        ("suites",),
        ("tenant",),
        ("api_key",),
    ),
    "node-1.yaml": (
        ("tee",),
        ("tee", "kind"),
        ("tee", "accelerators"),
        ("log",),
        ("log", "keys"),
        ("log", "quorum"),
        ("suites",),
        ("keyset",),
        ("backends",),
        ("require_constant_time_crypto",),
    ),
    "gateway.yaml": (
        ("policy",),
        ("log", "guard"),
        ("log", "keys"),
        ("log", "passphrase"),
        ("log", "twin"),
        ("tenants",),
        ("require_constant_time_crypto",),
    ),
}
LOADERS = {
    "client.yaml": (ClientConfig.load, UsageError),
    "node-1.yaml": (node_config.load, node_config.ConfigError),
    "gateway.yaml": (gateway_config.load, gateway_config.ConfigError),
}
CASES = [(name, path) for name, paths in ANCHORS.items() for path in paths]


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of configuration files that work."""
    directory = tmp_path_factory.mktemp("cfg")
    Cluster(models(directory), nodes=1, directory=directory).prepare()
    for name, (load, _) in LOADERS.items():
        load(directory / name)
    return directory


def without(tree: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of a document that lacks one key."""
    made = copy.deepcopy(tree)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return made


@pytest.mark.parametrize(("name", "path"), CASES)
def test_threat_09_a_configuration_without_an_anchor_does_not_load(
    configured: Path, name: str, path: tuple[str, ...]
) -> None:
    """An operator forgets a trust anchor: nothing starts, instead of starting unchecked."""
    tree = yaml.safe_load((configured / name).read_text())
    spoilt = configured / f"spoilt-{name}"
    spoilt.write_text(yaml.safe_dump(without(tree, path)))
    load, error = LOADERS[name]
    with pytest.raises(error):
        load(spoilt)
    spoilt.write_text(yaml.safe_dump(tree | {"skip_attestation": True}))
    with pytest.raises(error):
        load(spoilt)


@pytest.mark.parametrize("name", policies.load.__globals__["SHIPPED"])
def test_threat_09_a_policy_without_a_field_does_not_load(name: str) -> None:
    """Every field of every shipped policy is required; there is no "unset, so unchecked"."""
    tree = yaml.safe_load(policies.load.__globals__["shipped_bytes"](name))
    policies.parse(yaml.safe_dump(tree, sort_keys=False).encode())
    for key in tree:
        if key == "tests":
            continue
        with pytest.raises(policies.PolicyError):
            policies.parse(yaml.safe_dump(without(tree, (key,)), sort_keys=False).encode())


def test_threat_22_sm2_traps() -> None:
    """Off-curve and out-of-range points, swapped C2 and C3, bent C3, r and s out of range."""
    key = Sm2PrivateKey.generate()
    public = key.public_key()
    sealed = public.encrypt(b"thirty-two bytes of secret data!")
    assert key.decrypt(sealed) == b"thirty-two bytes of secret data!"
    x, y, c3, c2 = sealed[1:33], sealed[33:65], sealed[65:97], sealed[97:]
    for wrong in (
        b"\x04" + x + bytes(32) + c3 + c2,
        b"\x04" + P.to_bytes(32, "big") + y + c3 + c2,
        b"\x04" + bytes(64) + c3 + c2,
        b"\x04" + x + y + c2 + c3,
        b"\x04" + x + y + bytes(32) + c2,
        b"\x04" + x + y + c3 + c2[:-1],
        sealed[1:],
        b"\x03" + sealed[1:],
        sealed + b"\0",
        b"",
    ):
        with pytest.raises(DecryptionError):
            key.decrypt(wrong)
    for point in (b"\x04" + bytes(64), b"\x04" + x + bytes(32), public.to_bytes()[:-1], b""):
        with pytest.raises(KeyFormatError):
            PublicKey.from_bytes(point)
    signature = key.sign(b"message")
    public.verify(signature, b"message")
    r, s = signature[:32], signature[32:]
    order = N.to_bytes(32, "big")
    flipped = (N - int.from_bytes(r, "big")).to_bytes(32, "big")
    for wrong in (bytes(32) + s, r + bytes(32), order + s, r + order, r + flipped, s + r, r):
        with pytest.raises(SignatureError):
            public.verify(wrong, b"message")
    with pytest.raises(SignatureError):
        public.verify(signature, b"message", uid=b"another id")
    for scalar in (bytes(32), order, (N - 1).to_bytes(32, "big")):
        with pytest.raises(KeyFormatError):
            Sm2PrivateKey.from_scalar(scalar)


async def test_threat_39_a_restored_backup_does_not_open(tmp_path: Path) -> None:
    """A backup of the database is restored after further entries were promised."""
    config = LogConfig(
        path=tmp_path / "log.db",
        guard=tmp_path / "elsewhere" / "guard",
        origin="log.example/backup",
        instance="one",
        twin=False,
    )
    config.guard.parent.mkdir()
    create(config)
    keys = LogKeys.generate(twin=False)
    log = await AuditLog.open(config, keys)
    await log.append(Heartbeat(at=1, instance="one", interval=60))
    await log.close()
    shutil.copy(config.path, tmp_path / "backup.db")
    log = await AuditLog.open(config, keys)
    promised = await log.append(Heartbeat(at=2, instance="one", interval=60))
    await log.close()
    assert promised.promise
    for side in tmp_path.glob("log.db*"):
        side.unlink()
    shutil.copy(tmp_path / "backup.db", config.path)
    with pytest.raises(LogRefusedError):
        await AuditLog.open(config, keys)
