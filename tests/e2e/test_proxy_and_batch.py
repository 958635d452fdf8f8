"""The local proxy in front of a real gateway, and a batch that is killed and resumed."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from mifeng.demo.cluster import ROOT, Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("cluster")]


def free_port() -> int:
    """Return a TCP port nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def proxy(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """A running proxy: its HTTP base URL and its gRPC address."""
    http, grpc = free_port(), free_port()
    arguments = ["--listen", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}"]
    config = str(cluster.directory / "client.yaml")
    process = subprocess.Popen(
        [sys.executable, "-m", "mifeng.cli", "proxy", "-c", config, *arguments],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{http}"
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", http)) == 0:
                break
        time.sleep(0.1)
    yield base, f"127.0.0.1:{grpc}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_infer_in_json_and_binary(proxy: tuple[str, str]) -> None:
    """The same tensor, in JSON and in the binary extension, gets the same verified answer."""
    base, _ = proxy
    x = [1.0, 2.0, -3.5]
    plain = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": x}], "id": "7"}
    answer = httpx.post(f"{base}/v2/models/neg/infer", json=plain, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [-1.0, -2.0, 3.5]
    assert answer.headers["mifeng-verified"] == "receipt"
    assert answer.headers["mifeng-node"] in ("node-1", "node-2")
    assert len(answer.headers["mifeng-receipt"]) == 64
    assert "SIMULATED" in answer.headers["mifeng-marks"]
    raw = struct.pack("<3f", *x)
    parameters = {"binary_data_size": len(raw)}
    tensor = {"name": "x", "datatype": "FP32", "shape": [3], "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    answer = httpx.post(
        f"{base}/v2/models/neg/infer",
        content=head + raw,
        headers={"inference-header-content-length": str(len(head))},
        timeout=30,
    )
    length = int(answer.headers["inference-header-content-length"])
    assert struct.unpack("<3f", answer.content[length:]) == (-1.0, -2.0, 3.5)


def test_health_metadata_and_errors(proxy: tuple[str, str]) -> None:
    """Health, model metadata and errors have the protocols' own shapes."""
    base, _ = proxy
    with httpx.Client(base_url=base, timeout=30) as session:
        assert session.get("/v2/health/live").json() == {"live": True}
        assert session.get("/v2/health/ready").json() == {"ready": True}
        assert session.get("/v2/models/neg/ready").status_code == 200
        assert session.get("/v2/models/none/ready").status_code == 404
        assert session.get("/v2/models/neg").json()["inputs"][0]["name"] == "x"
        assert session.get("/v2").json()["extensions"] == ["binary_tensor_data"]
        assert {row["id"] for row in session.get("/v1/models").json()["data"]} == {"neg", "sum"}
        bad = session.post("/v2/models/neg/infer", content=b"{}")
        assert bad.status_code == 400
        assert "inputs" in bad.json()["error"]
        wrong = session.post("/v1/chat/completions", json={"model": "neg", "messages": []})
        assert wrong.status_code == 400
        assert wrong.json()["error"]["code"] == "operation.unknown"
        none = session.post("/v1/chat/completions", json={"model": "none", "messages": []})
        assert none.status_code == 404
        assert "mifeng_proxy_requests_total" in session.get("/metrics").text


async def test_infer_over_grpc(proxy: tuple[str, str]) -> None:
    """The Open Inference Protocol over gRPC, with raw and typed contents."""
    import grpc

    from mifeng.proxy.oipgrpc import SERVICE
    from mifeng.proxy.oipschema import TYPES

    request = TYPES["ModelInferRequest"]
    tensor = TYPES["ModelInferRequest.InferInputTensor"]
    contents = TYPES["InferTensorContents"]
    async with grpc.aio.insecure_channel(proxy[1]) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=TYPES["ModelInferResponse"].FromString,
        )
        raw = request(
            model_name="neg",
            id="9",
            inputs=[tensor(name="x", datatype="FP32", shape=[2])],
            raw_input_contents=[struct.pack("<2f", 1, 2)],
        )
        typed = request(
            model_name="neg",
            inputs=[
                tensor(
                    name="x",
                    datatype="FP32",
                    shape=[2],
                    contents=contents(fp32_contents=[1.0, 2.0]),
                )
            ],
        )
        for each in (raw, typed):
            answer = await call(each)
            assert struct.unpack("<2f", answer.raw_output_contents[0]) == (-1.0, -2.0)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request(model_name="none"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_batch_killed_and_resumed_has_every_result_once(cluster: Cluster, tmp_path: Path) -> None:
    """The client dies in the middle; the same command finishes, and nothing is done twice."""
    lines = [json.dumps({"inputs": {"x": [float(n), 1.0]}}) for n in range(120)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    config = str(cluster.directory / "client.yaml")
    command = [sys.executable, "-m", "mifeng.cli", "batch", "submit", "-c", config, "--json"]
    command += ["-m", "neg", "-o", str(out), str(tmp_path / "in.jsonl")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    manifest = out / "manifest.jsonl"
    while not manifest.exists() or manifest.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    with manifest.open("ab") as file:
        file.write(b'{"index": 119, "sour')
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*/*.receipt.json")}
    assert 19 <= len(before) < 120
    resumed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, env=os.environ)
    report = json.loads(resumed.stdout)
    assert report["failed"] == 0
    assert report["done"] + report["already_done"] == report["total"] == 120
    assert report["already_done"] >= 19
    for number in range(120):
        result = json.loads((out / "00000" / f"{number:08d}.json").read_text())
        assert result["outputs"]["y"]["data"] == [-float(number), -1.0]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, env=os.environ)
    assert json.loads(again.stdout)["done"] == 0
    wrong = subprocess.run(
        [*command[:-4], "sum", "-o", str(out), str(tmp_path / "in.jsonl")],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert wrong.returncode == 2
