"""What the demo's engines read and say: OpenAI's shapes, in which a token is a word, so that everyone can count.

The input tokens are the words of all messages (of the prompt, of the input), one at least. Answers are Latin of as many
words as there are output tokens: as many as `demo.output_tokens` in the body says or, where it is not there, as hang on
the prompt alone; and no more than the client's cap.
"""

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import msgspec

from wattshed.gateway.api.body import Route
from wattshed.gateway.wire.refusals import Refusal

WORDS: Final = ("lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "sed", "eiusmod")
_SHORTEST, _LENGTHS = 16, 97
"""Answers of no given length have 16 to 112 words."""
_DIMENSIONS = 8


class _Piece(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Piece] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Wish(msgspec.Struct):
    output_tokens: int | None = None


class _Function(msgspec.Struct):
    name: str


class _Tool(msgspec.Struct):
    function: _Function


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message] = []
    prompt: str | list[str] = ""
    input: str | list[str] = ""
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    encoding_format: str | None = None
    tools: list[_Tool] = []
    tool_choice: Any = None
    demo: _Wish | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as far as it matters; `tool` is the function that has to be called, if one has to."""

    route: Route
    model: str
    texts: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    cut: bool = False
    stream: bool = False
    include_usage: bool = False
    in_base64: bool = False
    tool: str | None = None

    @property
    def usage(self) -> dict[str, object]:
        """The token counts, which are exact."""
        made = 0 if self.route == "embeddings" else self.output_tokens
        counts = {"prompt_tokens": self.input_tokens, "total_tokens": self.input_tokens + made}
        if self.route == "embeddings":
            return dict(counts)
        return counts | {"completion_tokens": made, "prompt_tokens_details": {"cached_tokens": 0}}

    @property
    def finish_reason(self) -> str:
        """Why the answer ends."""
        return "length" if self.cut else "tool_calls" if self.tool else "stop"


def asked(route: Route, body: bytes) -> Asked:
    """What a body asks for; `Refusal` 400 where that cannot be."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal(400, "invalid_json", str(error)) from error
    if (read.n or 1) != 1:
        raise Refusal(400, "invalid_value", "this engine gives one choice", param="n")
    texts = tuple(_texts(route, read))
    input_tokens = max(1, sum(len(text.split()) for text in texts))
    if route == "embeddings":
        return Asked(route, read.model, texts, input_tokens, 1, in_base64=read.encoding_format == "base64")
    wanted, most = _length(read, texts), read.max_completion_tokens or read.max_tokens
    if min(wanted, most or 1) < 1:
        raise Refusal(400, "invalid_value", "an answer has at least one token", param="max_tokens")
    include_usage = read.stream_options is not None and bool(read.stream_options.include_usage)
    n = min(wanted, most or wanted)
    return Asked(
        route,
        read.model,
        texts,
        input_tokens,
        n,
        n < wanted,
        bool(read.stream),
        include_usage,
        tool=_called(route, read),
    )


def whole(asked: Asked, serial: int) -> bytes:
    """The answer in one piece."""
    if asked.route == "embeddings":
        vectors: list[dict[str, object]] = [
            {"object": "embedding", "index": index, "embedding": _vector(text, in_base64=asked.in_base64)}
            for index, text in enumerate(asked.texts)
        ]
        return msgspec.json.encode({"object": "list", "data": vectors, "model": asked.model, "usage": asked.usage})
    said = "".join(map(word, range(asked.output_tokens)))
    choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": asked.finish_reason}
    choice |= (
        {"text": said} if asked.route == "completions" else {"message": {"role": "assistant"} | _said(asked, said)}
    )
    kind = "text_completion" if asked.route == "completions" else "chat.completion"
    return msgspec.json.encode(_frame(asked, serial, kind) | {"choices": [choice], "usage": asked.usage})


def event(asked: Asked, serial: int, token: int) -> bytes:
    """The event with one token, counted from 0; the first has the role and the last the reason of the end."""
    last = token == asked.output_tokens - 1
    choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": asked.finish_reason if last else None}
    if asked.route == "completions":
        choice["text"] = word(token)
    else:
        choice["delta"] = ({"role": "assistant"} if token == 0 else {}) | _delta(asked, token)
    return _event(_chunk(asked, serial) | {"choices": [choice]})


def ending(asked: Asked, serial: int) -> Iterator[bytes]:
    """What follows the last token: the usage, where it was asked for, and the end mark."""
    if asked.include_usage:
        yield _event(_chunk(asked, serial) | {"choices": [], "usage": asked.usage})
    yield b"data: [DONE]\n\n"


def word(token: int) -> str:
    """The text of one token of an answer, counted from 0."""
    return ("" if token == 0 else " ") + WORDS[token % len(WORDS)]


def _texts(route: Route, read: _Body) -> Iterator[str]:
    if route == "chat":
        for message in read.messages:
            content = message.content
            yield content if isinstance(content, str) else " ".join(piece.text for piece in content or ())
        return
    text = read.prompt if route == "completions" else read.input
    yield from [text] if isinstance(text, str) else text


def _length(read: _Body, texts: tuple[str, ...]) -> int:
    if read.demo is not None and read.demo.output_tokens is not None:
        return read.demo.output_tokens
    return _SHORTEST + crc32("\n".join(texts).encode()) % _LENGTHS


def _called(route: Route, read: _Body) -> str | None:
    """The function that the client insists on."""
    if route != "chat" or not read.tools or read.tool_choice in (None, "auto", "none"):
        return None
    if isinstance(read.tool_choice, dict):
        return str(read.tool_choice.get("function", {}).get("name"))
    return read.tools[0].function.name


def _said(asked: Asked, said: str) -> dict[str, object]:
    if asked.tool is None:
        return {"content": said}
    return {"content": None, "tool_calls": [_call(asked.tool, _arguments(said))]}


def _delta(asked: Asked, token: int) -> dict[str, object]:
    if asked.tool is None:
        return {"content": word(token)}
    before, after = '{"words":"' if token == 0 else "", '"}' if token == asked.output_tokens - 1 else ""
    call = {"index": 0, **_call(asked.tool if token == 0 else None, before + word(token) + after)}
    return {"tool_calls": [call]}


def _call(name: str | None, arguments: str) -> dict[str, object]:
    """A call of a function, or where `name` is None more of its arguments."""
    if name is None:
        return {"function": {"arguments": arguments}}
    return {"id": "call_demo", "type": "function", "function": {"name": name, "arguments": arguments}}


def _arguments(said: str) -> str:
    return f'{{"words":"{said}"}}'


def _chunk(asked: Asked, serial: int) -> dict[str, object]:
    return _frame(asked, serial, "text_completion" if asked.route == "completions" else "chat.completion.chunk")


def _frame(asked: Asked, serial: int, kind: str) -> dict[str, object]:
    prefix = "cmpl" if asked.route == "completions" else "chatcmpl"
    return {"id": f"{prefix}-demo-{serial}", "object": kind, "created": serial, "model": asked.model}


def _event(document: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def _vector(text: str, *, in_base64: bool) -> list[float] | str:
    """A direction that hangs on the text alone."""
    parts = [crc32(f"{axis} {text}".encode()) / 2**31 - 1 for axis in range(_DIMENSIONS)]
    return base64.b64encode(struct.pack(f"<{_DIMENSIONS}f", *parts)).decode() if in_base64 else parts
