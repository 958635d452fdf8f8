"""A language model behind the executor: the API's shapes, sealed streams, leaving early."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from accel_backends.llm import LanguageModel, Reason, Usage
from accel_backends.llm.text import TextStream
from enclave.engines import EngineError, Job
from enclave.llm import LlmEngine, _Output
from enclave.openai_api import events
from enclave.pacing import Beat, Pacing
from examples.chat.folder import write
from mifeng.errors import PeerError
from mifeng.protocol.messages import Message, MessageType
from mifeng.protocol.receipt import verify_receipt

from .llm_world import FAST, ChatWorld, document, model, text_of

CHAT = "openai.chat.completions"
TEXT = "openai.completions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the example's folder with random weights."""
    path = tmp_path_factory.mktemp("chat")
    write(path, steps=0)
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Iterator[LanguageModel]:
    """Return a running model."""
    running = model(folder, kept=2, chunk=8, budget=16)
    yield running
    running.close()


def engine(running: LanguageModel, *, paced: bool = True) -> LlmEngine:
    """Return the engine of a world."""
    return LlmEngine(running, name="chat", backend="onnxruntime", pacing=FAST if paced else None)


def job(body: Any, *, operation: str = CHAT, isolation: bytes = bytes(32)) -> Job:
    """Return an opened request."""
    data = json.dumps(body).encode() if not isinstance(body, bytes) else body
    stream = isinstance(body, dict) and body.get("stream") is True
    return Job(
        operation=operation, body=memoryview(bytearray(data)), isolation=isolation, stream=stream
    )


async def answer(running: LanguageModel, body: Any, **more: Any) -> bytes:
    """Return a whole answer of the engine itself: the plaintext side of comparisons."""
    return b"".join([piece async for piece in engine(running).run(job(body, **more))])


async def test_an_answer_has_the_shape_of_the_api(loaded: LanguageModel) -> None:
    """Every field of a chat completion, with usage that adds up."""
    made = json.loads(await answer(loaded, document()))
    assert made["id"].startswith("chatcmpl-")
    assert (made["object"], made["model"]) == ("chat.completion", "chat")
    assert type(made["created"]) is int
    (choice,) = made["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    usage = made["usage"]
    assert usage["completion_tokens"] == 24
    assert usage["total_tokens"] == usage["prompt_tokens"] + 24


async def test_a_stream_has_the_shape_of_the_api(loaded: LanguageModel) -> None:
    """Events as the reference has them: role first, text, finish, usage if asked, [DONE]."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    raw = await answer(loaded, document(**options))
    *parts, done = events(raw)
    assert raw == b"".join(b"data: " + part + b"\n\n" for part in [*parts, done])
    assert done == b"[DONE]"
    chunks = [json.loads(part) for part in parts]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in chunks[1:-2])
    assert chunks[-2]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "length"}
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 24
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    whole = json.loads(await answer(loaded, document()))
    assert text_of(raw) == whole["choices"][0]["message"]["content"]


async def test_a_completion_continues_text_or_tokens(loaded: LanguageModel) -> None:
    """Prompts as text and as token ids are the same request; 16 tokens unless said."""
    body = {"model": "chat", "prompt": "The capital", "temperature": 0}
    tokens = list(loaded.tokenizer.encode("The capital", special=True))
    made = [
        json.loads(await answer(loaded, body | {"prompt": prompt}, operation=TEXT))
        for prompt in ("The capital", tokens, ["The capital"], [tokens])
    ]
    assert made[0]["object"] == "text_completion"
    assert made[0]["usage"]["completion_tokens"] == 16
    assert len({each["choices"][0]["text"] for each in made}) == 1
    raw = await answer(loaded, body | {"stream": True}, operation=TEXT)
    assert text_of(raw) == made[0]["choices"][0]["text"]


async def test_a_stop_string_ends_an_answer(loaded: LanguageModel) -> None:
    """The text before it is all there is, and the reason is stop."""
    whole = json.loads(await answer(loaded, document()))["choices"][0]["message"]["content"]
    stop = whole[8:11]
    made = json.loads(await answer(loaded, document(stop=[stop])))["choices"][0]
    assert made["message"]["content"] == whole[: whole.index(stop)]
    assert made["finish_reason"] == "stop"


async def test_a_seed_repeats_an_answer(loaded: LanguageModel) -> None:
    """Drawn text is the same for a seed and another for another."""
    drawn = [
        json.loads(await answer(loaded, document(temperature=1.5, seed=seed)))["choices"][0]
        for seed in (1, 1, 2)
    ]
    texts = [choice["message"]["content"] for choice in drawn]
    assert texts[0] == texts[1] != texts[2]


async def test_isolation_decides_who_shares_a_prefix(loaded: LanguageModel) -> None:
    """A second request of one isolation has cached tokens; the same prompt of another has none."""
    body = document("Tell me about the branch on Friday, please. " * 3)
    cached = []
    for isolation in (b"a" * 32, b"b" * 32, b"a" * 32):
        made = json.loads(await answer(loaded, body, isolation=isolation))
        cached.append(made["usage"]["prompt_tokens_details"]["cached_tokens"])
    assert cached[:2] == [0, 0]
    assert cached[2] >= 8


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "request.malformed"),
        (b"[]", "request.malformed"),
        (b'{"messages": [], "messages": []}', "request.malformed"),
        ({"messages": []}, "request.malformed"),
        ({"messages": [{"role": "user"}]}, "request.malformed"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "request.malformed"),
        ({"messages": [{"role": "oracle", "content": "x"}]}, "backend.input.messages"),
        (document("x" * 9000), "backend.input.context"),
        (document(temperature=3), "request.malformed"),
        (document(temperature=True), "request.malformed"),
        (document(max_tokens=0), "request.malformed"),
        (document(max_tokens="9"), "request.malformed"),
        (document(stop=[""]), "request.malformed"),
        (document(stop=["a"] * 5), "request.malformed"),
        (document(stream_options=[]), None),
        (document(stream=True, stream_options=[]), "request.malformed"),
        (document(answer_with="x"), "request.unknown_key"),
        (document(n=2), "request.unsupported.n"),
        (document(n=True), "request.unsupported.n"),
        (document(tools=[{"type": "function"}]), "request.unsupported.tools"),
        (document(logprobs=True), "request.unsupported.logprobs"),
        (document(frequency_penalty=0.5), "request.unsupported.frequency_penalty"),
        (document(response_format={"type": "json_object"}), "request.unsupported.response_format"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "request.unsupported.content",
        ),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
            "request.unsupported.tools",
        ),
        (document(n=1, user="u", logprobs=False, frequency_penalty=0.0, tools=[]), None),
        (document(seed=None, stop=None, response_format={"type": "text"}), None),
        (
            {
                "messages": [
                    {"role": "developer", "content": [{"type": "text", "text": "a"}]},
                    {"role": "user", "content": "b"},
                ],
                "max_completion_tokens": 2,
            },
            None,
        ),
    ],
)
async def test_what_is_asked_is_done_or_refused_by_name(
    loaded: LanguageModel, body: Any, code: str | None
) -> None:
    """Nothing that would change the answer is ignored, and neutral values are accepted."""
    if code is None:
        assert await answer(loaded, body)
        return
    with pytest.raises(EngineError) as caught:
        await answer(loaded, body)
    assert caught.value.code == code


async def test_header_and_body_must_agree_about_streaming(loaded: LanguageModel) -> None:
    """A request that streams in one place only is malformed."""
    body = json.dumps(document(stream=True)).encode()
    with pytest.raises(EngineError, match="stream"):
        await answer(loaded, body)


# Sealed.


@pytest.mark.parametrize("paced", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_sealed_answer_is_the_plaintext_answer(
    loaded: LanguageModel, *, paced: bool, stream: bool
) -> None:
    """Through nine steps, the text is that of the engine asked directly, token for token."""
    world = ChatWorld(engine=engine(loaded, paced=paced))
    body = document("几点营业？", stream=stream, max_tokens=60)
    pieces, done, _ = await world.chat(body)
    assert done.problem is None
    plain = await answer(loaded, body)
    sealed = b"".join(pieces)
    if stream:
        assert text_of(sealed) == text_of(plain)
        assert events(sealed)[-1] == b"[DONE]"
    else:
        assert json.loads(sealed)["choices"] == json.loads(plain)["choices"]
    assert done.receipt.outcome == "completed"


async def test_frames_of_different_answers_look_the_same(loaded: LanguageModel) -> None:
    """Every frame of a paced stream has one size, and their number is a multiple of the round."""
    counts = []
    for content, most in (("a", 3), ("谁能看到我的问题？", 9), ("When? " * 9, 5)):
        world = ChatWorld(engine=engine(loaded))
        _, _, sizes = await world.chat(document(content, stream=True, max_tokens=most))
        assert set(sizes) == {4 + 256 + 16}
        counts.append(len(sizes) - 1)  # the first frame holds the salt
    assert all((count // FAST.round_ticks).bit_count() == 1 for count in counts)
    assert all(count % FAST.round_ticks == 0 for count in counts)


@pytest.mark.parametrize(("name", "frames"), [("chat", 1), ("m" * 40, 2), ("m" * 128, 2)])
def test_a_tick_has_room_for_its_event(loaded: LanguageModel, name: str, frames: int) -> None:
    """Events carry the model's name: a long one gets more frames, or text would fall behind."""
    made = LlmEngine(loaded, name=name, backend="onnxruntime", pacing=FAST)
    assert made.pacing is not None
    assert made.pacing.frames == frames
    more = LlmEngine(loaded, name=name, backend="o", pacing=Pacing(frames=4))
    assert more.pacing is not None
    assert more.pacing.frames == 4
    assert LlmEngine(loaded, name=name, backend="o", pacing=None).pacing is None


async def test_an_answer_that_begins_with_half_a_character_comes_through(
    loaded: LanguageModel,
) -> None:
    """The first look finds tokens and no text; the stream goes on all the same."""
    assert loaded.tokenizer.decode([259]) == "\ufffd"
    beat = Beat()
    stream = TextStream(loaded.tokenizer)
    output = _Output(asyncio.get_running_loop(), stream, beat, stops=False)
    texts = output.texts()
    output.token(259)
    first = asyncio.ensure_future(anext(texts))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not first.done()
    for token in loaded.tokenizer.encode("Peru", special=False):
        output.token(token)
    assert (await first).endswith("Peru")
    output.token(loaded.tokenizer.encode("!", special=False)[0])
    output.finish(Reason.STOP, Usage(prompt=1, completion=3, cached=0))
    later = asyncio.ensure_future(anext(texts))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not later.done()
    beat.strike()
    assert await later == "!"


async def test_a_failure_is_sealed(loaded: LanguageModel) -> None:
    """A refused request ends in a failed receipt and a code inside the seal."""
    world = ChatWorld(engine=engine(loaded))
    pieces, done, _ = await world.chat(document(n=3, stream=True))
    assert pieces == []
    assert done.problem == "request.unsupported.n"
    assert done.receipt.outcome == "failed"


async def test_the_tenant_s_name_is_no_key_to_a_cache(loaded: LanguageModel) -> None:
    """Requests labelled alike share nothing; a sealed secret of the client's does (control)."""
    world = ChatWorld(engine=engine(loaded))
    body = document("A long beginning that two requests have in common, word for word. " * 2)
    cached = []
    for isolation in (None, None, b"k" * 32, b"l" * 32, b"k" * 32):
        pieces, _, _ = await world.chat(body, isolation=isolation)
        usage = json.loads(b"".join(pieces))["usage"]
        cached.append(usage["prompt_tokens_details"]["cached_tokens"])
    assert cached[:4] == [0, 0, 0, 0]
    assert cached[4] >= 8


def dropped(number: int, message: Message) -> Sequence[Message]:
    """Leave the fourth frame out."""
    return [] if message.type is MessageType.FRAME and number == 4 else [message]


def doubled(number: int, message: Message) -> Sequence[Message]:
    """Send the fourth frame twice."""
    return [message] * (2 if message.type is MessageType.FRAME and number == 4 else 1)


def swapped() -> Any:
    """Return a lie that exchanges frames four and five."""
    held: list[Message] = []

    def lie(number: int, message: Message) -> Sequence[Message]:
        if message.type is MessageType.FRAME and number == 4:
            held.append(message)
            return []
        if message.type is MessageType.FRAME and number == 5:
            return [message, held.pop()]
        return [message]

    return lie


def bent(number: int, message: Message) -> Sequence[Message]:
    """Change one bit of the fourth frame's contents."""
    if message.type is not MessageType.FRAME or number != 4:
        return [message]
    payload = bytearray(message.payload)
    payload[40] ^= 1
    return [Message(message.type, bytes(payload))]


def drawn_out(running: LanguageModel) -> LlmEngine:
    """Return an engine whose streams have sixteen frames at least, however quick it is."""
    pacing = Pacing(tick_s=0.001, frames=1, round_ticks=16)
    return LlmEngine(running, name="chat", backend="onnxruntime", pacing=pacing)


@pytest.mark.parametrize("lie", [dropped, doubled, swapped(), bent])
async def test_a_gateway_that_touches_a_stream_is_caught(loaded: LanguageModel, lie: Any) -> None:
    """Dropping, repeating, exchanging and bending frames all end the client's exchange."""
    world = ChatWorld(engine=drawn_out(loaded), lie=lie)
    with pytest.raises(PeerError):
        await world.chat(document(stream=True, max_tokens=60))


async def test_frames_of_another_stream_do_not_pass(loaded: LanguageModel) -> None:
    """A gateway that gives one client's frame to another of the same model is caught."""
    taken: list[Message] = []

    def takes(number: int, message: Message) -> Sequence[Message]:
        if message.type is MessageType.FRAME and number == 4:
            taken.append(message)
        return [message]

    def gives(number: int, message: Message) -> Sequence[Message]:
        return taken if message.type is MessageType.FRAME and number == 4 else [message]

    body = document(stream=True, max_tokens=60)
    await ChatWorld(engine=drawn_out(loaded), lie=takes).chat(body)
    assert len(taken) == 1
    with pytest.raises(PeerError):
        await ChatWorld(engine=drawn_out(loaded), lie=gives).chat(body)


async def test_whole_answers_cannot_be_exchanged(loaded: LanguageModel) -> None:
    """Every message of another's answer, in order and complete, does not open."""
    others: list[Message] = []

    def takes(_: int, message: Message) -> Sequence[Message]:
        others.append(message)
        return [message]

    def gives(_: int, message: Message) -> Sequence[Message]:
        return [others.pop(0)] if others else [message]

    body = document(stream=True, max_tokens=30)
    await ChatWorld(engine=drawn_out(loaded), lie=takes).chat(body)
    with pytest.raises(PeerError):
        await ChatWorld(engine=drawn_out(loaded), lie=gives).chat(body)


async def test_delaying_changes_nothing_but_the_time(loaded: LanguageModel) -> None:
    """Frames that are held and let go together are still the answer, once and in order."""
    held: list[Message] = []

    def late(number: int, message: Message) -> Sequence[Message]:
        if message.type is MessageType.FRAME and number < 8:
            held.append(message)
            return []
        said, held[:] = [*held, message], []
        return said

    body = document(stream=True, max_tokens=60)
    world = ChatWorld(engine=drawn_out(loaded), lie=late)
    pieces, done, _ = await world.chat(body)
    assert done.problem is None
    assert text_of(b"".join(pieces)) == text_of(await answer(loaded, body))


async def test_a_truncated_stream_is_not_an_answer(loaded: LanguageModel) -> None:
    """Without the final frame there is no `Done`."""
    from mifeng.errors import MifengError

    def cut(number: int, message: Message) -> Sequence[Message]:
        return [] if number > 3 else [message]

    world = ChatWorld(engine=drawn_out(loaded), lie=cut)
    with pytest.raises(MifengError):
        await world.chat(document(stream=True, max_tokens=60))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("paced", [True, False])
async def test_a_client_that_leaves_frees_its_slot(
    folder: Path, *, stream: bool, paced: bool
) -> None:
    """The slot is empty soon after, its rows wiped, and the receipt says aborted."""
    running = model(folder, slots=1, context=512)
    world = ChatWorld(engine=engine(running, paced=paced))
    # This answer is known to go on until its last token.
    body = document(stream=stream, max_tokens=400)
    state, request = world.begin(await world.trusted(), body, CHAT)
    assert state is not None
    stalled = asyncio.Event()
    real = running.runner.engine.step
    steps = 0

    def slow(now: float) -> bool:
        nonlocal steps
        steps += 1
        if steps == 5:
            loop.call_soon_threadsafe(stalled.set)
        if steps >= 5:
            import time

            time.sleep(0.002)
        return real(now)

    loop = asyncio.get_running_loop()
    running.runner.engine.step = slow  # type: ignore[method-assign]
    messages: AsyncIterator[Message] = world.relay(request)
    reader = asyncio.create_task(_read(messages))
    await stalled.wait()
    assert world.source is not None
    assert running.runner.engine.active == 1
    world.source.gone.set()
    at = steps
    messages_seen = await reader
    while running.runner.engine.active:
        await asyncio.sleep(0.001)
    assert steps - at < 200
    (statement,) = (m.payload for m in messages_seen if m.type is MessageType.STATEMENT)
    receipt = verify_receipt(statement, world.keyring.active.sign["sm2"].verify_key())
    assert (receipt.outcome, receipt.reason) == ("aborted", "request.cancelled")
    running.close()


async def _read(messages: AsyncIterator[Message]) -> list[Message]:
    return [message async for message in messages]
