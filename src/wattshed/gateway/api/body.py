"""A client's request body: what the gateway must know of it, and the two fields it changes.

    read_call   bytes -> Call, or a `Refusal` that names the field. What engines choke on is refused here, so that no
                client can make a system look ill: JSON that is none, is not UTF-8 or is nested too deeply.
    rewritten   bytes -> bytes: `model` and `stream_options` are spliced in by position, every other byte is as it was

Nothing is decoded and encoded again, so fields nobody knows, numbers that no float holds, escapes, order, white space
and repeated keys reach the engine as the client wrote them. Of a repeated key the last counts, as Python and llama.cpp
have it; a repeated `model` is replaced each time.

What is said in prompts is never kept: a `Call` holds its length and hashes of its leading parts.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

import msgspec
from msgspec import Raw

from wattshed.domain.schema import MOST_TOKENS
from wattshed.gateway.api.splice import Edit, Member, is_deeper, members, spliced
from wattshed.gateway.placing.conversation import blocks, prompt_count, text_bytes
from wattshed.gateway.placing.tokenizer import Counted
from wattshed.gateway.wire.refusals import Kind, Refusal

Route = Literal["chat", "completions", "embeddings"]

PATHS: Final[Mapping[Route, str]] = MappingProxyType(
    {"chat": "/v1/chat/completions", "completions": "/v1/completions", "embeddings": "/v1/embeddings"}
)
"""Where each is asked for, at the gateway and at every engine."""

ROUTES: Final[Mapping[str, Route]] = MappingProxyType({path: route for route, path in PATHS.items()})
"""The same the other way round."""

MOST_DEPTH: Final = 128
"""Deepest nesting: serde_json's limit, and an eighth of what Python's `json` takes before it raises (3.11)."""

_WHERE: Final = re.compile(r"^(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(.+)`")


class Call(msgspec.Struct, frozen=True):
    """What a request asks for, as far as it bears on where it should go.

    `most_output_tokens` is the client's cap, `None` where it set none. `prompt_bytes` counts prompt and tools without
    pictures and sound. `blocks` are 64-bit hashes, each of the tools and the conversation from its first byte to the
    end of one more whole block of `BLOCK_BYTES`: two conversations share as many as they begin alike, whatever the
    model. `choices` counts the answers wanted, over all prompts. `counted` is there where the model has a tokenizer.
    """

    route: Route
    model: str
    stream: bool
    include_usage: bool
    most_output_tokens: int | None
    prompt_bytes: int
    blocks: tuple[int, ...]
    has_tools: bool
    wants_json: bool
    choices: int
    counted: Counted | None = None


class _Options(msgspec.Struct):
    include_usage: bool | None = None


class _Format(msgspec.Struct):
    type: str | None = None


class _Message(msgspec.Struct):
    role: str = ""


class _Body(msgspec.Struct):
    """The fields of all routes that are looked at; the others only have to be JSON."""

    model: str
    messages: Raw = Raw()
    prompt: Raw = Raw()
    input: Raw = Raw()
    stream: bool | None = None
    stream_options: _Options | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    n: int | float | None = None
    tools: list[Raw] | None = None
    functions: list[Raw] | None = None
    response_format: _Format | None = None


_MODEL: Final = (b'"model":', b'"model": ')
_OPTIONS: Final = b"stream_options"
_ASKING: Final = b'"stream_options":{"include_usage":true},'

_BODY: Final = msgspec.json.Decoder(_Body)
_MESSAGES: Final = msgspec.json.Decoder(list[_Message])


def read_call(route: Route, body: bytes) -> Call:
    """What the body asks for; `Refusal` 400 where no engine could make sense of it."""
    asked = _decoded(body)
    prompt = _prompt(route, asked)
    tools = (
        b"".join(map(bytes, (asked.tools or []) + (asked.functions or []))) if asked.tools or asked.functions else b""
    )
    options, wanted = asked.stream_options, asked.response_format
    return Call(
        route,
        asked.model,
        bool(asked.stream),
        options is not None and bool(options.include_usage),
        _most_output_tokens(asked),
        text_bytes(prompt) + len(tools),
        () if route == "embeddings" else blocks(tools, prompt[:-1]),
        bool(tools),
        wanted is not None and wanted.type not in {None, "text"},
        (1 if asked.n is None else _choices(asked.n)) * (prompt_count(prompt) if route == "completions" else 1),
    )


def rewritten(body: bytes, asked: str, *, model: str, include_usage: bool) -> bytes:
    """A body that `read_call` took, with the name that the engine has for the model in place of the one `asked` for.

    `include_usage` asks for the tokens at the end of a stream, and leaves what else stands in `stream_options`; without
    it they are as the client wrote them.
    """
    name = _quoted(model)
    if not include_usage or _OPTIONS not in body:
        start, stop = _lone_model(body, _quoted(asked))
        if stop:
            first = body.index(b"{") + 1
            asking = _ASKING if include_usage else b""
            return b"".join((body[:first], asking, body[first:start], name, body[stop:]))
    places = list(members(body))
    edits = [Edit(place.start, place.stop, name) for place in places if place.key == "model"]
    if include_usage:
        options = [place for place in places if place.key == "stream_options"]
        edits += [edit for place in options for edit in _including(body, place)] if options else _asking(body)
    return spliced(body, edits)


@lru_cache(maxsize=256)
def _quoted(name: str) -> bytes:
    """The name of a model as JSON; of names that the settings know."""
    return msgspec.json.encode(name)


def _lone_model(body: bytes, name: bytes) -> tuple[int, int]:
    """Where the name of the model starts and stops, where that takes no search; else 0 and 0.

    The body has such a member. If no escaped letters could spell its key, the one place that the key is written at is
    the member's own; and mostly nothing stands before its value, or a blank.
    """
    for before in _MODEL:
        at = body.find(before + name)
        if at >= 0 and body.count(b'"model"') == 1 and b"\\u00" not in body:
            start = at + len(before)
            return start, start + len(name)
    return 0, 0


def _asking(body: bytes) -> list[Edit]:
    """What puts stream options into a body that has none."""
    first = body.index(b"{") + 1
    return [Edit(first, first, _ASKING)]


def _including(body: bytes, options: Member) -> list[Edit]:
    """What makes stream options include the usage."""
    start, stop = options.start, options.stop
    value = body[start:stop]
    if not value.startswith(b"{"):
        return [Edit(start, stop, b'{"include_usage":true}')]
    inside = list(members(value))
    first = start + 1
    there = [Edit(start + one.start, start + one.stop, b"true") for one in inside if one.key == "include_usage"]
    return there or [Edit(first, first, b'"include_usage":true' + (b"," if inside else b""))]


def _decoded(body: bytes) -> _Body:
    """The body's fields; `Refusal` for anything that is no JSON object with these types."""
    try:
        if not body.isascii():
            body.decode()
        asked = _BODY.decode(body)
    except UnicodeDecodeError as error:
        raise _refused("invalid_json", f"the body is not UTF-8 from byte {error.start} on") from error
    except msgspec.ValidationError as error:
        raise _mistyped(error) from error
    except msgspec.DecodeError as error:
        problem = str(error).removeprefix("JSON is malformed: ")
        raise _refused("invalid_json", f"the body is no JSON: {problem}") from error
    except RecursionError as error:
        raise _too_deep() from error
    if is_deeper(body, MOST_DEPTH):
        raise _too_deep()
    if not asked.model:
        raise _refused("invalid_value", "'model' is empty; name a model that /v1/models lists", "model")
    return asked


def _prompt(route: Route, asked: _Body) -> bytes:
    """The JSON of what the model is to read; b"" where nothing is."""
    if route == "chat":
        return _messages(bytes(asked.messages))
    name, prompt = ("prompt", asked.prompt) if route == "completions" else ("input", asked.input)
    text = bytes(prompt)
    if route == "completions" and text in {b"", b"null"}:
        return b""  # vLLM takes `prompt_embeds` in its place
    if not text:
        raise _refused("missing_field", f"'{name}' is missing", name)
    if not text.startswith((b'"', b"[", b"{")):
        raise _refused("invalid_type", f"'{name}': expected a string or an array", name)
    return text


def _messages(text: bytes) -> bytes:
    if not text:
        raise _refused("missing_field", "'messages' is missing", "messages")
    try:
        count = len(_MESSAGES.decode(text))
    except msgspec.ValidationError as error:
        raise _mistyped(error, "messages") from error
    if not count:
        raise _refused("invalid_value", "'messages' is empty; send at least one", "messages")
    return text


def _most_output_tokens(asked: _Body) -> int | None:
    """The client's cap; llama.cpp takes numbers below 0 for none, and nobody answers with less than one token."""
    if asked.max_completion_tokens is not None:
        most = _whole(asked.max_completion_tokens, "max_completion_tokens")
    elif asked.max_tokens is not None:
        most = _whole(asked.max_tokens, "max_tokens")
    else:
        return None
    return None if most < 0 else min(max(most, 1), MOST_TOKENS)


def _choices(asked: int | float) -> int:
    wanted = _whole(asked, "n")
    if wanted < 1:
        raise _refused("invalid_value", f"'n' is {wanted}; ask for at least one answer", "n")
    return wanted


def _whole(number: int | float, name: str) -> int:
    """A count; JSON has one kind of number, and to many engines 8.0 is one, too."""
    if isinstance(number, float) and not number.is_integer():
        raise _refused("invalid_type", f"'{name}': expected a whole number, got {number}", name)
    return int(number)


def _mistyped(error: msgspec.ValidationError, within: str = "") -> Refusal:
    """What msgspec found wrong, as a refusal that names the field."""
    problem, path = _WHERE.findall(str(error))[0]
    missing = _MISSING.search(problem)
    param = within + path + (f".{missing[1]}" if missing and path else missing[1] if missing else "")
    if missing:
        return _refused("missing_field", f"'{param}' is missing", param)
    what = f"'{param}'" if param else "the body"
    return _refused("invalid_type", f"{what}: {problem[:1].lower()}{problem[1:].replace('`', '')}", param or None)


def _too_deep() -> Refusal:
    return _refused("invalid_value", f"the body is nested more than {MOST_DEPTH} deep; send flatter JSON")


def _refused(kind: Kind, message: str, param: str | None = None) -> Refusal:
    return Refusal(400, kind, message, param=param)
