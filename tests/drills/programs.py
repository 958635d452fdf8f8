"""What each client library is asked to do: ordinary programs, with nothing changed but the URL.

Each is the text of a program that runs in a process and an environment of its own. `HTTP` and
`GRPC` are the proxy's addresses. A program that ends without an error has succeeded.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["python", "langchain", "node", "shell"]


@dataclass(frozen=True, slots=True)
class Program:
    """One line of the drill's table."""

    client: str
    operation: str
    kind: Kind
    source: str


_TRITON = """
import numpy as np, tritonclient.{flavour} as t
c = t.InferenceServerClient({url})
assert c.is_server_live() and c.is_server_ready() and c.is_model_ready("neg")
assert not c.is_model_ready("none")
"""
_OPENAI = """
import openai
c = openai.OpenAI(base_url=f"http://{HTTP}/v1", api_key="local", max_retries=0, timeout=120)
ask = dict(model="chat", messages=[{"role": "user", "content": "What is the capital of Peru?"}],
           max_tokens=24, temperature=0)
"""
_NODE = """
import OpenAI from "openai";
const c = new OpenAI({baseURL: `http://${process.env.HTTP}/v1`, apiKey: "local", maxRetries: 0});
const ask = {model: "chat", messages: [{role: "user", content: "What is the capital of Peru?"}],
             max_tokens: 24, temperature: 0};
"""

PROGRAMS = (
    Program(
        "tritonclient[http]",
        "metadata, infer in binary and JSON",
        "python",
        _TRITON.format(flavour="http", url="HTTP")
        + """
assert c.get_model_metadata("neg")["inputs"][0]["name"] == "x"
x = np.arange(1000, dtype=np.float32)
for binary in (True, False):
    i = t.InferInput("x", [len(x)], "FP32"); i.set_data_from_numpy(x, binary_data=binary)
    r = c.infer("neg", [i], outputs=[t.InferRequestedOutput("y", binary_data=binary)], priority=3)
    assert (r.as_numpy("y") == -x).all()
""",
    ),
    Program(
        "tritonclient[http]",
        "large input, 16 MB; errors",
        "python",
        _TRITON.format(flavour="http", url="HTTP, network_timeout=120")
        + """
x = np.arange(4_000_000, dtype=np.float32)
i = t.InferInput("x", [len(x)], "FP32"); i.set_data_from_numpy(x)
assert (c.infer("neg", [i], request_compression_algorithm="gzip").as_numpy("y") == -x).all()
i = t.InferInput("x", [1], "INT64"); i.set_data_from_numpy(np.ones(1, np.int64))
try:
    c.infer("neg", [i])
except t.InferenceServerException as e:
    assert "backend.input.datatype" in str(e), e
else:
    raise SystemExit("a wrong datatype was accepted")
""",
    ),
    Program(
        "tritonclient[grpc]",
        "metadata, infer in raw contents",
        "python",
        _TRITON.format(flavour="grpc", url="GRPC")
        + """
assert c.get_model_metadata("neg").inputs[0].name == "x"
x = np.arange(1000, dtype=np.float32)
i = t.InferInput("x", [len(x)], "FP32"); i.set_data_from_numpy(x)
r = c.infer("neg", [i], request_id="7", priority=3, timeout=30_000_000)
assert (r.as_numpy("y") == -x).all() and r.get_response().id == "7"
""",
    ),
    Program(
        "tritonclient[grpc]",
        "large input, 16 MB; errors",
        "python",
        _TRITON.format(flavour="grpc", url="GRPC")
        + """
x = np.arange(4_000_000, dtype=np.float32)
i = t.InferInput("x", [len(x)], "FP32"); i.set_data_from_numpy(x)
assert (c.infer("neg", [i]).as_numpy("y") == -x).all()
try:
    c.infer("none", [i])
except t.InferenceServerException as e:
    assert "NOT_FOUND" in e.status(), e
else:
    raise SystemExit("an unknown model was accepted")
""",
    ),
    Program(
        "httpx",
        "infer in JSON, headers",
        "python",
        """
import httpx
body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
r = httpx.post(f"http://{HTTP}/v2/models/neg/infer", json=body, timeout=60)
assert r.json()["outputs"][0]["data"] == [-1.0, -2.0] and r.headers["mifeng-verified"] == "receipt"
assert r.headers["mifeng-node"].startswith("node-") and len(r.headers["mifeng-receipt"]) == 64
""",
    ),
    Program(
        "openai (Python)",
        "models, chat, completions",
        "python",
        _OPENAI
        + """
assert "chat" in [m.id for m in c.models.list()] and c.models.retrieve("chat").id == "chat"
whole = c.chat.completions.create(**ask)
assert "Lima" in whole.choices[0].message.content and whole.usage.completion_tokens > 0
plain = c.completions.create(model="chat", prompt="hello", max_tokens=4, temperature=0)
assert plain.choices[0].finish_reason in ("stop", "length")
try:
    c.chat.completions.create(model="none", messages=[])
except openai.NotFoundError as e:
    assert e.code == "model.unknown"
else:
    raise SystemExit("an unknown model was accepted")
""",
    ),
    Program(
        "openai (Python)",
        "stream, cancel in mid-stream",
        "python",
        _OPENAI
        + """
text = c.chat.completions.create(**ask).choices[0].message.content
events = list(c.chat.completions.create(stream=True, stream_options={"include_usage": True}, **ask))
assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == text
assert events[-1].usage.completion_tokens > 0
for _ in range(10):
    stream = c.chat.completions.create(stream=True, **ask | {"max_tokens": 400})
    next(iter(stream)); stream.close()
assert c.chat.completions.create(**ask).choices[0].message.content == text
""",
    ),
    Program(
        "openai (Python)",
        "embeddings: list, base64, tokens",
        "python",
        _OPENAI
        + """
texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
made = c.embeddings.create(model="embeddings", input=texts)
a, b, d = (row.embedding for row in made.data)
like = lambda x, y: sum(p * q for p, q in zip(x, y))
assert abs(like(a, b) - 0.6660) < 1e-3 and abs(like(a, d) - 0.1046) < 1e-3
assert len(a) == 384 and made.usage.prompt_tokens == made.usage.total_tokens > 10
for encoding in ("float", "base64"):
    one = c.embeddings.create(model="embeddings", input=texts[0], encoding_format=encoding)
assert c.embeddings.create(model="embeddings", input=[[101, 2748, 102]]).data[0].index == 0
try:
    c.embeddings.create(model="embeddings", input="word " * 400)
except openai.BadRequestError as e:
    assert e.code == "backend.input.context"
else:
    raise SystemExit("a text that is too long was accepted")
""",
    ),
    Program(
        "LangChain ChatOpenAI",
        "invoke, stream, batch",
        "langchain",
        """
from langchain_openai import ChatOpenAI
m = ChatOpenAI(base_url=f"http://{HTTP}/v1", api_key="local", model="chat", max_tokens=24,
               temperature=0, max_retries=0)
question = "What is the capital of Peru?"
text = m.invoke(question).content
assert "Lima" in text and "".join(c.content for c in m.stream(question)) == text
assert [each.content for each in m.batch([question, question])] == [text, text]
""",
    ),
    Program(
        "openai (npm)",
        "chat, stream, cancel in mid-stream",
        "node",
        _NODE
        + """
const text = (await c.chat.completions.create(ask)).choices[0].message.content;
let streamed = "";
for await (const e of await c.chat.completions.create({...ask, stream: true}))
  streamed += e.choices[0]?.delta?.content ?? "";
if (!text.includes("Lima") || streamed !== text) throw new Error(`${streamed} !== ${text}`);
const long = await c.chat.completions.create({...ask, max_tokens: 400, stream: true});
for await (const e of long) { long.controller.abort(); break; }
""",
    ),
    Program(
        "openai (npm)",
        "embeddings, errors",
        "node",
        _NODE
        + """
const made = await c.embeddings.create({model: "embeddings", input: ["a dog", "a puppy", "tax"]});
const [a, b, d] = made.data.map(row => row.embedding);
const like = (x, y) => x.reduce((sum, value, at) => sum + value * y[at], 0);
if (a.length !== 384 || like(a, b) < like(a, d)) throw new Error("not alike");
const tools = [{type: "function", function: {name: "f"}}];
try { await c.chat.completions.create({...ask, tools}); throw new Error("tools were ignored"); }
catch (e) { if (e.status !== 400 || e.param !== "tools") throw e; }
""",
    ),
    Program(
        "curl",
        "infer, chat stream, embeddings",
        "shell",
        """
curl -sf "http://$HTTP/v2/models/neg/infer" \
  -d '{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[5]}]}' |
  grep -e '-5.0' >/dev/null
curl -sfN "http://$HTTP/v1/chat/completions" -d '{"model":"chat","stream":true,"max_tokens":4,
  "messages":[{"role":"user","content":"hi"}]}' |
  grep -e ': mifeng-verified receipt' -A 2 | grep 'DONE' >/dev/null
curl -sf "http://$HTTP/v1/embeddings" -d '{"model":"embeddings","input":"hi"}' |
  grep '"total_tokens":3' >/dev/null
""",
    ),
)
