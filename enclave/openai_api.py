"""Requests and answers of the OpenAI API, as JSON and as server-sent events. Pure.

What the slot engine cannot do is refused by name (`request.unsupported.tools`), never ignored:
an answer that silently dropped a constraint would be a wrong answer. Keys that do not change an
answer (`user`, `metadata`, …) are accepted.

Left out: tools, JSON mode, images, log probabilities, penalties, several choices; an engine
behind `enclave.engine_adapter` gets the request as it is.

Source: OpenAI API reference, "Chat" and "Completions".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from accel_backends.llm import Sampling, Usage
from mifeng.errors import MalformedError
from mifeng.protocol.body import OPENAI_CHAT, loads_json

from .engines import EngineError
from .lane import tier

MAX_STOPS: Final = 4
_COMPLETION_TOKENS: Final = 16
"""`max_tokens` of a completion that names none, as the reference says."""
_MEANINGLESS: Final = frozenset(
    {
        "model",
        "user",
        "metadata",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "parallel_tool_calls",
        "stream",
    }
)
_NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "store": (False,),
    "logprobs": (False,),
    "top_logprobs": (),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "modalities": (["text"],),
}
"""Keys of features that are not there, and the values (besides null) that ask for nothing."""
_UNDERSTOOD: Final = frozenset(
    {
        "messages",
        "prompt",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "stop",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, understood."""

    messages: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    """Role and content of each; empty for a completion."""
    prompt: str | tuple[int, ...] = field(default="", repr=False)
    """Text or tokens of a completion."""
    most: int | None
    """Most tokens of the answer; None leaves it to the context."""
    stops: tuple[str, ...]
    sampling: Sampling
    include_usage: bool
    when: Mapping[str, Any] = field(default_factory=dict)
    """What `lane.Lane` reads: idle work if `service_tier` is `flex`."""


def parse(operation: str, body: bytes | memoryview, *, stream: bool) -> Ask:
    """Return what a request asks for.

    Args:
        operation: `openai.chat.completions` or `openai.completions`.
        body: untrusted JSON.
        stream: what the header says; the body must say the same.

    Raises:
        EngineError: `request.malformed`, `request.unknown_key`, `request.unsupported.*`.
    """
    try:
        document = loads_json(bytes(body))
    except MalformedError as exc:
        raise _malformed(str(exc)) from None
    if not isinstance(document, dict):
        raise _malformed("not an object")
    given = {key: value for key, value in document.items() if value is not None}
    _refuse(given)
    if given.get("stream", False) is not stream:
        raise _malformed("stream: header and body differ")
    chat = operation == OPENAI_CHAT
    most = _integer(given, "max_completion_tokens", low=1)
    most = _integer(given, "max_tokens", low=1) if most is None else most
    temperature = _number(given, "temperature", 1.0, high=2.0)
    top_p = _number(given, "top_p", 1.0, high=1.0)
    return Ask(
        messages=_messages(given.get("messages")) if chat else (),
        prompt="" if chat else _prompt(given.get("prompt")),
        most=_COMPLETION_TOKENS if most is None and not chat else most,
        stops=_stops(given.get("stop", [])),
        sampling=Sampling(
            temperature=temperature,
            # A share of nothing is the most likely token alone, as a share that small is.
            top_p=max(top_p, 1e-9),
            top_k=max(_integer(given, "top_k", low=-1) or 0, 0),
            seed=_integer(given, "seed", low=-(1 << 63)),
        ),
        when=tier(given),
        include_usage=stream and _include_usage(given.get("stream_options", {})),
    )


def _refuse(given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if key in _MEANINGLESS or key in _UNDERSTOOD:
            continue
        if key not in _NEUTRAL:
            raise EngineError("request.unknown_key", "the request has a key nobody knows")
        if not any(value == same and type(value) is type(same) for same in _NEUTRAL[key]):
            if value == 0 and 0 in _NEUTRAL[key] and not isinstance(value, bool):
                continue
            raise EngineError(f"request.unsupported.{key}", f"this model has no {key}")


def _messages(value: object) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list) or not value:
        raise _malformed("messages")
    return tuple(_message(item) for item in value)


def _message(item: object) -> Mapping[str, str]:
    if not isinstance(item, dict) or not isinstance(role := item.get("role"), str):
        raise _malformed("messages: role")
    if item.get("tool_calls") or item.get("function_call") or item.get("audio"):
        raise EngineError("request.unsupported.tools", "this model has no tools")
    content = item.get("content")
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    content = _text(content, "messages: content")
    _text(role, "messages: role")
    # OpenAI renamed the role; models' templates know the older name.
    return {"role": "system" if role == "developer" else role, "content": content}


def _part(part: object) -> str:
    if not isinstance(part, dict):
        raise _malformed("messages: content")
    if part.get("type") != "text":
        raise EngineError("request.unsupported.content", "this model reads text only")
    return _text(part.get("text"), "messages: content")


def _text(value: object, what: str) -> str:
    """Return text that has a UTF-8 form: JSON may hold half of a surrogate pair."""
    if not isinstance(value, str):
        raise _malformed(what)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _malformed(what) from None
    return value


def _prompt(value: object) -> str | tuple[int, ...]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, list)):
        value = value[0]
    if isinstance(value, str):
        return _text(value, "prompt")
    if isinstance(value, list) and all(type(token) is int for token in value):
        return tuple(value)
    if isinstance(value, list):
        raise EngineError("request.unsupported.prompt", "one prompt in a request")
    raise _malformed("prompt")


def _stops(value: object) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise _malformed("stop")
    if not all(stops):
        raise _malformed("stop")
    return tuple(_text(stop, "stop") for stop in stops)


def _include_usage(options: object) -> bool:
    if not isinstance(options, dict) or not set(options) <= {
        "include_usage",
        "include_obfuscation",
    }:
        raise _malformed("stream_options")
    return options.get("include_usage") is True


def _integer(given: Mapping[str, Any], key: str, *, low: int) -> int | None:
    value = given.get(key)
    if value is None:
        return None
    if type(value) is not int or not low <= value < 1 << 63:
        raise _malformed(key)
    return value


def _number(given: Mapping[str, Any], key: str, default: float, *, high: float) -> float:
    value = given.get(key, default)
    if type(value) not in (int, float) or not 0 <= value <= high:
        raise _malformed(key)
    return float(value)


def _malformed(what: str) -> EngineError:
    return EngineError("request.malformed", what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The parts that all pieces of one answer have in common."""

    operation: str
    id: str
    created: int
    model: str
    include_usage: bool = False

    def whole(self, text: str, finish: str, usage: Usage) -> bytes:
        """Return the answer of a request that does not stream."""
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish}
        if self.operation == OPENAI_CHAT:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
            kind = "chat.completion"
        else:
            choice["text"] = text
            kind = "text_completion"
        return _dump(self._head(kind) | {"choices": [choice], "usage": _usage(usage)})

    def piece(self, text: str, *, first: bool) -> bytes:
        """Return an event with the next text; the first of a chat names the role too."""
        delta = {"role": "assistant"} if first else {}
        return self._event(delta | {"content": text}, text, None)

    def end(self, finish: str, usage: Usage) -> bytes:
        """Return the events that end a stream."""
        last = self._event({}, "", finish)
        if self.include_usage:
            last += _event(self._head(self._kind) | {"choices": [], "usage": _usage(usage)})
        return last + b"data: [DONE]\n\n"

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self.operation == OPENAI_CHAT else "text_completion"

    def _event(self, delta: Mapping[str, str], text: str, finish: str | None) -> bytes:
        choice: dict[str, Any] = {"index": 0}
        choice |= {"delta": delta} if self.operation == OPENAI_CHAT else {"text": text}
        choice["finish_reason"] = finish
        document = self._head(self._kind) | {"choices": [choice]}
        return _event(document | {"usage": None} if self.include_usage else document)

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + _dump(document) + b"\n\n"


def events(stream: bytes) -> Sequence[bytes]:
    """Return the data of each event in a whole stream."""
    lines = stream.split(b"\n\n")
    return [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
