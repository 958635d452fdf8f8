"""A node and a gateway that must be constant-time do not start where the active path leaks."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from enclave import config as node_config
from enclave.main import EXIT_CONFIG
from mifeng.crypto import providers
from mifeng.demo.cluster import Cluster
from tests.e2e.conftest import models

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """Return a directory with the configuration of a cluster that was never started."""
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(models(tmp_path), nodes=1, directory=tmp_path / "cluster")
    cluster.prepare()
    return cluster.directory


def started(program: str, path: Path, native: str) -> subprocess.CompletedProcess[str]:
    """Start a program that is expected to refuse."""
    return subprocess.run(
        [sys.executable, "-m", program, "--config", str(path)],
        env={"PATH": os.environ["PATH"], "HOME": str(path.parent), "MIFENG_NATIVE": native},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("program", "name"), [("enclave", "node-1"), ("gateway", "gateway")])
def test_a_leaking_path_is_refused_where_the_configuration_says_so(
    configured: Path, program: str, name: str
) -> None:
    """The exit status is that of a configuration error; the message names what leaks and why."""
    path = configured / f"{name}.yaml"
    document = yaml.safe_load(path.read_text("utf-8")) | {"require_constant_time_crypto": True}
    path.write_text(yaml.safe_dump(document), "utf-8")
    refused = started(program, path, "off")
    assert refused.returncode == EXIT_CONFIG
    assert "crypto.not_constant_time" in refused.stderr
    assert "SM4 (cryptography" in refused.stderr
    assert "MIFENG_NATIVE=off" in refused.stderr


def test_the_native_core_satisfies_it(configured: Path) -> None:
    """With it in use the same wish is fulfilled, and the node offers the hybrid suite too."""
    if providers.providers().sm4.name != "native":
        pytest.skip("the native core is not in use")
    assert providers.require_constant_time().sm2.constant_time
    settings, _ = node_config.load(configured / "node-1.yaml")
    assert "sm-pq" in settings.suites
