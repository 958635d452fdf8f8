"""What may know what, at run time and in the source; what import contracts cannot see."""

import ast
import subprocess
import sys

import pytest

from tests.packaging.trees import ROOT, called, imported, modules, name_of, tree

OPENERS = (
    *("mifeng.protocol.envelope", "mifeng.protocol.stream", "mifeng.protocol.body"),
    *("mifeng.protocol.session", "mifeng.crypto.suites", "mifeng.crypto.kem"),
    *("mifeng.client", "enclave", "accel_backends"),
)
"""What it takes to open or to answer a sealed request."""

MAX_FILE = 600
MAX_FUNCTION = 80
"""Lines. New code aims at half of the first and at 60 of the second."""


def loaded(statement: str) -> set[str]:
    """Return the modules of a fresh interpreter after one statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def within(name: str, package: str) -> bool:
    """Whether a module is a package or inside it."""
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("entry", ["gateway.main", "gateway.api.grpc", "gateway.api.http"])
def test_a_running_gateway_holds_nothing_that_opens_a_request(entry: str) -> None:
    """Not even by way of something it imports: the code is not in the process."""
    found = loaded(f"import {entry}")
    assert not [name for name in found if any(within(name, opener) for opener in OPENERS)]


def test_a_running_node_holds_no_client() -> None:
    """A node has neither the client, nor the gateway, nor anybody's policies in it."""
    found = loaded("import enclave.main")
    absent = ("mifeng.client", "mifeng.cli", "mifeng.protocol.session", "policies", "gateway")
    assert not [name for name in found if any(within(name, each) for each in absent)]


def test_importing_the_product_loads_almost_nothing() -> None:
    """`import mifeng` is for everybody: what a use needs loads with that use."""
    heavy = ("httpx", "numpy", "onnxruntime", "pydantic", "grpc", "cryptography", "rich", "yaml")
    found = loaded("import mifeng")
    assert not [name for name in found if any(within(name, each) for each in heavy)]
    assert not [name for name in found if within(name, "attestation")]


def test_the_client_needs_no_accelerator_software() -> None:
    """A partner's process loads no numpy and no runtime, unless it hands over arrays."""
    found = loaded("import mifeng; mifeng.Client")
    assert "mifeng.client" in found
    absent = ("numpy", "onnxruntime", "grpc", "enclave", "gateway", "accel_backends")
    assert not [name for name in found if any(within(name, each) for each in absent)]


def test_one_function_mints_attested_keys() -> None:
    """An `AttestedKey` in somebody's hands means that `appraise` went through."""
    sites = {
        name_of(path) for path in modules() for name, _ in called(path) if name == "AttestedKey"
    }
    assert sites == {"attestation/appraise.py"}
    minting = {
        name_of(path)
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name | ast.alias)
        and "MINT" in (getattr(node, "id", ""), getattr(node, "name", ""))
    }
    assert minting <= {"attestation/appraise.py", "attestation/result.py"}


def test_only_the_registry_gives_verifiers_their_roots() -> None:
    """No other code makes a verifier, so nothing can be made to trust another root."""
    verifiers = {
        node.name
        for path in modules("attestation")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and node.name.endswith("Verifier")
        and node.name != "Verifier"
    }
    assert len(verifiers) > 5
    sites = {
        (name_of(path), name) for path in modules() for name, _ in called(path) if name in verifiers
    }
    assert sites == {("attestation/registry.py", "SimulatedVerifier")}
    registry = (ROOT / "attestation" / "registry.py").read_text("utf-8")
    assert registry.count(".roots") == 2, "one import of roots, and the sentence about it"


def test_roots_stay_inside_attestation() -> None:
    """Nobody else so much as imports a vendor's roots."""
    reaching = {
        name_of(path)
        for path in modules("mifeng", "policies", "accel_backends", "enclave", "gateway")
        for name in imported(path)
        if name.startswith("attestation.") and "roots" in name.split(".")
    }
    assert reaching == set()


def test_the_protocol_draws_randomness_in_one_place() -> None:
    """Nothing that makes protocol values names a source of random numbers but `mifeng.crypto`."""
    sources = ("secrets", "random", "numpy.random")
    drawing = {
        name_of(path)
        for path in modules("attestation", "policies", "mifeng", "gateway")
        for name in imported(path)
        if any(within(name, each) for each in sources) or name == "os.urandom"
    }
    drawing |= {
        name_of(path) for path in modules() for name, _ in called(path) if name == "urandom"
    }
    elsewhere = ("mifeng/crypto/", "mifeng/demo/", "mifeng/cli/")  # the latter two: API keys
    assert {name for name in drawing if not name.startswith(elsewhere)} == set()


def test_no_parameter_switches_a_check_off() -> None:
    """No function of core or client takes a Boolean called `verify`, `strict`, `skip` or so."""
    suspicious = {"verify", "strict", "insecure", "skip", "check", "unsafe", "allow_simulated"}
    found = [
        f"{name_of(path)}:{node.lineno} {argument.arg}"
        for path in modules("attestation", "mifeng/protocol", "mifeng/client", "mifeng/crypto")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.arg in suspicious
        and isinstance(argument.annotation, ast.Name)
        and argument.annotation.id == "bool"
    ]
    assert found == []


def test_files_and_functions_stay_readable() -> None:
    """A ceiling, not an aim: what reaches it has to be divided first."""
    too_long = [name_of(p) for p in modules() if len(p.read_text("utf-8").splitlines()) > MAX_FILE]
    too_long += [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION
    ]
    assert too_long == []
