"""Text on both sides of the tokens."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_backends.errors import ModelError
from accel_backends.llm import TemplateError
from accel_backends.llm.text import ChatTemplate, TextStream, Tokenizer
from examples.chat.folder import TEMPLATE


@pytest.fixture(scope="module")
def tokenizer(files: Mapping[str, bytes]) -> Tokenizer:
    """Return the example's tokenizer."""
    return Tokenizer(files["tokenizer"])


def grown(tokenizer: Tokenizer, text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    """Return the pieces in which `text` comes, token by token."""
    stream = TextStream(tokenizer, stops)
    pieces = []
    for token in tokenizer.encode(text, special=False):
        pieces.append(stream.push(token))
        if stream.stopped:
            return pieces, True
    pieces.append(stream.end())
    return pieces, stream.stopped


@pytest.mark.parametrize(
    "text", ["", "plain words", "密封的数据帧", "🙂 mixed 混合 \n\t", "e\u0301 combining"]
)
def test_pieces_are_whole_characters_and_add_up(tokenizer: Tokenizer, text: str) -> None:
    """No piece holds half a character, and together they are the text."""
    pieces, _ = grown(tokenizer, text)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_any_text_survives(tokenizer: Tokenizer) -> None:
    """Whatever the text, its pieces add up to it."""

    @given(st.text(max_size=40))
    def law(text: str) -> None:
        assert "".join(grown(tokenizer, text)[0]) == text

    law()


def test_an_answer_cut_inside_a_character_shows_a_replacement(tokenizer: Tokenizer) -> None:
    """Bytes that never become a character are not lost silently."""
    stream = TextStream(tokenizer)
    tokens = tokenizer.encode("🙂", special=False)
    assert [stream.push(token) for token in tokens[:-1]] == [""] * (len(tokens) - 1)
    assert "\ufffd" in stream.end()


@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("one two three", ("two",), "one "),
        ("one two three", ("three", "two"), "one "),
        ("one two", ("xyz",), "one two"),
        ("aaab", ("aab",), "a"),
        ("Hello. How", (". H",), "Hello"),
        ("nearly sto", ("stop",), "nearly sto"),
        ("stop", ("stop",), ""),
        ("一二三", ("二",), "一"),
    ],
)
def test_stop_strings_end_the_text_before_them(
    tokenizer: Tokenizer, text: str, stops: tuple[str, ...], shown: str
) -> None:
    """Nothing of a stop string is ever shown, and what only looked like one is."""
    pieces, stopped = grown(tokenizer, text, stops)
    assert "".join(pieces) == shown
    assert stopped is any(stop in text for stop in stops)


def test_the_template_writes_a_conversation() -> None:
    """Roles become tokens, in order, and the assistant is asked to go on."""
    messages = [{"role": "user", "content": "{{ 7 * 7 }}"}]
    assert ChatTemplate(TEMPLATE, {}).render(messages) == "<|user|>{{ 7 * 7 }}<|end|><|assistant|>"


@pytest.mark.parametrize(
    ("source", "messages"),
    [
        (TEMPLATE, [{"role": "root", "content": "x"}]),
        (TEMPLATE, [{"role": "user", "content": None}]),
        (TEMPLATE, [{"role": "user"}]),
        ("{{ messages.append(1) }}", []),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", []),
        ("{% for i in range(10 ** 9) %}x{% endfor %}", []),
    ],
)
def test_a_template_refuses_without_quoting(source: str, messages: list[dict[str, str]]) -> None:
    """Unknown roles, missing parts, and whatever the sandbox forbids are one error."""
    with pytest.raises(TemplateError) as caught:
        ChatTemplate(source, {}).render(messages)
    assert caught.value.code == "backend.input.messages"
    assert caught.value.__cause__ is None


def test_templates_have_what_models_use() -> None:
    """`tojson` keeps characters, loops can break, special tokens have names."""
    template = "{{ bos_token }}{% for m in messages %}{{ m | tojson }}{% break %}{% endfor %}"
    rendered = ChatTemplate(template, {"bos_token": "<s>"}).render([{"a": "密"}, {"b": "c"}])
    assert rendered == "<s>" + json.dumps({"a": "密"}, ensure_ascii=False)


def test_files_that_are_none_are_refused() -> None:
    """A tokenizer or template that does not load is the model's fault."""
    for content in (b"", b"\xff", b"{}"):
        with pytest.raises(ModelError):
            Tokenizer(content)
    with pytest.raises(ModelError):
        ChatTemplate("{% if %}", {})
