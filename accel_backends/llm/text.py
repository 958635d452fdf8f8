"""Text on both sides of the tokens: tokenizer, growing text, stop strings, chat template.

A token need not end on a character: `TextStream` holds back what is incomplete, and what may
become a stop string. Chat templates are Jinja; they come with the model, are measured with it,
and run in Jinja's immutable sandbox all the same.

Source: HuggingFace `tokenizers`; "Chat templates" of HuggingFace transformers.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from jinja2 import TemplateError as JinjaError  # the line above must come first
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer as _Tokenizer

from accel_backends.errors import ModelError

from .errors import TemplateError

__all__ = ["ChatTemplate", "TextStream", "Tokenizer"]

_INCOMPLETE: Final = "\ufffd"


class Tokenizer:
    """A `tokenizer.json`."""

    def __init__(self, content: bytes) -> None:
        """Take the file's content.

        Raises:
            ModelError: it is no tokenizer.
        """
        try:
            self._tokenizer = _Tokenizer.from_str(content.decode())
        except Exception as exc:  # the library raises `Exception` itself
            raise ModelError("backend.model.invalid", "the tokenizer does not load") from exc
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Return the tokens of `text`; `special` adds what the model expects around a text."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=special).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens`, special ones left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def token(self, text: str) -> int | None:
        """Return the id of one token by its text."""
        found: int | None = self._tokenizer.token_to_id(text)
        return found

    @property
    def size(self) -> int:
        """Tokens in the vocabulary, added ones included."""
        return int(self._tokenizer.get_vocab_size())


class TextStream:
    """The text of an answer as it grows, until a stop string."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        self._tokens: list[int] = []
        self._shown = 0
        """Tokens whose text is out; the ones from `_context` on are decoded with the next."""
        self._context = 0
        self._held = ""
        self.stopped = False

    def push(self, *tokens: int) -> str:
        """Return the text that is certain now; `stopped` says whether a stop string ended it.

        Several tokens at once are for streams without stop strings: nothing says at which of them
        a string was complete.
        """
        self._tokens.extend(tokens)
        return self._check(self._new(final=False))

    def end(self) -> str:
        """Return what was held back."""
        if self.stopped:
            return ""
        rest = self._check(self._new(final=True))
        # Nothing is held once a stop string was found.
        held, self._held = self._held, ""
        return rest + held

    def _new(self, *, final: bool) -> str:
        before = self._tokenizer.decode(self._tokens[self._context : self._shown])
        now = self._tokenizer.decode(self._tokens[self._context :])
        if now.endswith(_INCOMPLETE) and not final:
            return ""
        self._context, self._shown = self._shown, len(self._tokens)
        return now[len(before) :]

    def _check(self, text: str) -> str:
        if not self._stops:
            return text
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max(_overlap(text, stop) for stop in self._stops)
        cut = len(text) - keep
        self._held = text[cut:]
        return text[:cut]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    most = min(len(text), len(stop) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(stop[:size])), 0)


class ChatTemplate:
    """A model's way to write a conversation as one text."""

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        """Take the template and the special tokens that it may name (`bos_token`, …).

        Raises:
            ModelError: it is no template.
        """
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            extensions=["jinja2.ext.loopcontrols"],
        )
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = _to_json
        self._tokens = dict(tokens)
        try:
            self._template = environment.from_string(source)
        except JinjaError as exc:
            raise ModelError("backend.model.invalid", "the chat template does not load") from exc

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the prompt for the assistant's next message.

        Raises:
            TemplateError: the template refuses the messages; nothing is quoted.
        """
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, **self._tokens
            )
        except (JinjaError, TypeError, ValueError, KeyError, OverflowError):
            # `from None`: the message may quote the conversation.
            raise TemplateError("the chat template does not take these messages") from None


def _refuse(message: str) -> str:
    raise JinjaError(message)


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
