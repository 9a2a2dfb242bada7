"""Bodies of requests: what is read off them, what is refused, and that all but two fields pass byte for byte."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.gateway.json_texts import SPACES, STRINGS, VALUES
from wattshed.domain.schema import MOST_TOKENS
from wattshed.gateway.api.body import MOST_DEPTH, Call, Route, read_call, rewritten
from wattshed.gateway.wire.refusals import Refusal

MESSAGES = '"messages":[{"role":"user","content":"Hi"}]'
MODEL_KEYS = st.sampled_from(['"model"', '"\\u006dodel"', '"mod\\u0065l"'])
OPTION_KEYS = st.sampled_from(['"stream_options"', '"stream\\u005foptions"'])
OPTIONS = {
    "null": '{"include_usage":true}',
    "{}": '{"include_usage":true}',
    "{ }": '{"include_usage":true }',
    '{"include_usage":false}': '{"include_usage":true}',
    '{"include_usage" : null, "x":1e400}': '{"include_usage" : true, "x":1e400}',
    '{"include_usage":true,"include_usage":false}': '{"include_usage":true,"include_usage":true}',
    '{"é":"\\u00e9","a":{"include_usage":false}}': '{"include_usage":true,"é":"\\u00e9","a":{"include_usage":false}}',
}
"""Stream options, and the same with the usage included."""

Member = tuple[str, str, str, str]
"""A key, its value, the value when only the model changes, and the value when the usage is asked for too."""


def _same(key: str, value: str) -> Member:
    return key, value, value, value


OTHER = st.builds(_same, STRINGS.filter(lambda key: json.loads(key) not in _TYPED), VALUES)
NAMED = st.builds(lambda key, value: (key, value, '"m\\u00fc"', '"m\\u00fc"'), MODEL_KEYS, st.just('"a:eco"') | STRINGS)
OPTED = st.builds(lambda key, value: (key, value, value, OPTIONS[value]), OPTION_KEYS, st.sampled_from(sorted(OPTIONS)))
_TYPED = frozenset({"model", "stream_options", "messages", "stream", "n", "tools", "functions", "response_format"})


def _text(members: list[Member], column: int, space: str) -> str:
    return "{" + ",".join(f"{space}{one[0]}{space}:{space}{one[column]}{space}" for one in members) + "}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"model":"a"}', '{"model":"b"}'),
        ('{"model": "a"}', '{"model": "b"}'),
        (' {"model" :\t"a"}', ' {"model" :\t"b"}'),
        ('{"x":{"model":"a"},"model" : "a"}', '{"x":{"model":"a"},"model" : "b"}'),
        ('{"x":{"model":"a"},"mod\\u0065l":"a"}', '{"x":{"model":"a"},"mod\\u0065l":"b"}'),
        ('{"x":"model","model":"a"}', '{"x":"model","model":"b"}'),
        ('{"x":"\\"model\\":\\"a\\"","model":"a"}', '{"x":"\\"model\\":\\"a\\"","model":"b"}'),
        ('{"model":"c","model":"a"}', '{"model":"b","model":"b"}'),
        ('{"model":"\\u0061"}', '{"model":"b"}'),
    ],
)
def test_only_the_models_own_name_changes(body: str, expected: str) -> None:
    """Wherever the same words stand, and however key and name are written."""
    assert rewritten(body.encode(), "a", model="b", include_usage=False) == expected.encode()


@settings(deadline=None, max_examples=50)
@given(
    members=st.lists(OTHER | OPTED | NAMED, max_size=5).flatmap(
        lambda some: NAMED.flatmap(lambda name: st.permutations([*some, name]))
    ),
    space=SPACES,
    asked=st.booleans(),
)
def test_all_but_model_and_stream_options_pass_byte_for_byte(members: list[Member], space: str, asked: bool) -> None:
    """Whatever stands around and however it is written, only the values of the two members change."""
    body = _text(members, 1, space).encode()
    *_, named = [json.loads(value) for key, value, *_ in members if json.loads(key) == "model"]

    changed = rewritten(body, named, model="mü", include_usage=asked)

    options = any(json.loads(key) == "stream_options" for key, *_ in members)
    expected = _text(members, 3 if asked else 2, space).replace("m\\u00fc", "mü")
    if asked and not options:
        expected = '{"stream_options":{"include_usage":true},' + expected[1:]
    assert changed == expected.encode()


@settings(deadline=None, max_examples=50)
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | VALUES.map(str.encode))
@example(b"\xef\xbb\xbf{}")
@example(b'{"model":"\xff"}')
@example(b'{"model":"a","x":"\xff",' + MESSAGES.encode() + b"}")
@example(b'{"model":"\\ud800",' + MESSAGES.encode() + b"}")
@example(b'{"model":"a","x":' + b"[" * 100_000)
@example(b'{"model":"a","x":NaN,' + MESSAGES.encode() + b"}")
@example(b'{"model":"a",' + MESSAGES.encode() + b"}{}")
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """Any bytes that are no valid request get a 400, and never another error."""
    with pytest.raises(Refusal) as caught:
        read_call("chat", body)

    assert caught.value.status == 400
    assert json.loads(caught.value.as_json())["error"]["type"] == "invalid_request_error"


@settings(deadline=None, max_examples=50)
@given(cut=st.integers(0, 200), byte=st.integers(0, 255))
def test_what_is_taken_is_json(cut: int, byte: int) -> None:
    """A body with one byte changed is refused, or is JSON to Python's parser as well."""
    body = bytearray('{"model":"a","é":[1.5e3,{"b":"\\u00e9"}],"stream":true,' + MESSAGES + "}", "utf-8")
    body[cut % len(body)] = byte

    try:
        read_call("chat", bytes(body))
    except Refusal:
        return
    assert json.loads(body.decode())["model"]


WRONG: list[tuple[Route, str, str | None, str]] = [
    ("chat", "[]", None, "invalid_type"),
    ("chat", "", None, "invalid_json"),
    ("chat", "{" + MESSAGES + "}", "model", "missing_field"),
    ("chat", '{"model":null,' + MESSAGES + "}", "model", "invalid_type"),
    ("chat", '{"model":"",' + MESSAGES + "}", "model", "invalid_value"),
    ("chat", '{"model":"a"}', "messages", "missing_field"),
    ("chat", '{"model":"a","messages":"Hi"}', "messages", "invalid_type"),
    ("chat", '{"model":"a","messages":[ ]}', "messages", "invalid_value"),
    ("chat", '{"model":"a","messages":["Hi"]}', "messages[0]", "invalid_type"),
    ("chat", '{"model":"a","messages":[{},{"role":1}]}', "messages[1].role", "invalid_type"),
    ("chat", '{"model":"a","stream":"yes",' + MESSAGES + "}", "stream", "invalid_type"),
    ("chat", '{"model":"a","stream_options":[],' + MESSAGES + "}", "stream_options", "invalid_type"),
    ("chat", '{"model":"a","stream_options":{"include_usage":1},' + MESSAGES + "}", "stream_options.include_usage", ""),
    ("chat", '{"model":"a","max_tokens":1e400,' + MESSAGES + "}", "max_tokens", "invalid_type"),
    ("chat", '{"model":"a","max_completion_tokens":"8",' + MESSAGES + "}", "max_completion_tokens", "invalid_type"),
    ("chat", '{"model":"a","n":0,' + MESSAGES + "}", "n", "invalid_value"),
    ("chat", '{"model":"a","tools":{},' + MESSAGES + "}", "tools", "invalid_type"),
    ("chat", '{"model":"a","response_format":"json",' + MESSAGES + "}", "response_format", "invalid_type"),
    ("completions", '{"model":"a","prompt":7}', "prompt", "invalid_type"),
    ("embeddings", '{"model":"a"}', "input", "missing_field"),
    ("embeddings", '{"model":"a","input":null}', "input", "invalid_type"),
]


@pytest.mark.parametrize(("route", "body", "param", "kind"), WRONG, ids=[body[:60] for _, body, _, _ in WRONG])
def test_a_refusal_names_the_field(route: Route, body: str, param: str | None, kind: str) -> None:
    """Wrong types, missing and empty fields are told by the path of the field, in the message too."""
    with pytest.raises(Refusal) as caught:
        read_call(route, body.encode())

    assert caught.value.param == param
    assert caught.value.kind == (kind or "invalid_type")
    assert (param or "body") in caught.value.message


@pytest.mark.parametrize("opening", ["[", '{"x":', '[{"]}":'])
def test_nesting_has_a_bound(opening: str) -> None:
    """A body of the deepest nesting is taken, one level more is refused, whatever stands in strings."""
    closing = "".join("]" if mark == "[" else "}" for mark in reversed(opening.replace("]}", "")) if mark in "[{")
    levels = (MOST_DEPTH - 1) // len(closing)
    deep, deeper = ('{"model":"a","x":' + opening * n + "1" + closing * n + "," for n in (levels, levels + 1))

    assert read_call("chat", (deep + MESSAGES + "}").encode()).model == "a"
    with pytest.raises(Refusal, match="nested more than 128 deep"):
        read_call("chat", (deeper + MESSAGES + "}").encode())


def test_brackets_within_strings_are_no_nesting() -> None:
    """Code in a prompt may open as many brackets as it likes."""
    code = json.dumps("[{" * 500 + '"\\' * 99)

    assert read_call("chat", f'{{"model":"a","messages":[{{"content":{code}}}]}}'.encode()).model == "a"


def test_a_call_says_what_bears_on_the_placing() -> None:
    """Everything the router needs is read, and the last of a repeated key counts."""
    body = (
        '{"model":"a","model":"b","stream":true,"stream_options":{"include_usage":true},"max_tokens":9,"n":2,'
        '"max_completion_tokens":7,"tools":[{}],"response_format":{"type":"json_schema"},' + MESSAGES + "}"
    )

    call = read_call("chat", body.encode())

    length = len('{"role":"user","content":"Hi"}') + len("{}")
    assert call == Call("chat", "b", True, True, 7, length, (), True, True, 2)


def test_absent_and_null_fields_are_defaults() -> None:
    """What is not asked for is off, one answer, and no cap."""
    body = '{"model":"a","stream":null,"n":null,"tools":null,"max_tokens":-1,"response_format":null,' + MESSAGES + "}"

    call = read_call("chat", body.encode())

    assert (call.stream, call.include_usage, call.has_tools, call.wants_json) == (False, False, False, False)
    assert (call.most_output_tokens, call.choices) == (None, 1)


@pytest.mark.parametrize(
    ("said", "most"), [("8.0", 8), ("8e2", 800), ("0", 1), ("1" + "0" * 30, MOST_TOKENS), ("1e300", MOST_TOKENS)]
)
def test_a_cap_is_a_count_that_fits_a_column(said: str, most: int) -> None:
    """However it is written, and however large: a longer answer than the longest context has nobody."""
    assert read_call("chat", f'{{"model":"a","max_tokens":{said},{MESSAGES}}}'.encode()).most_output_tokens == most


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
def test_a_half_token_is_refused(name: str) -> None:
    """A count is whole, and the field is named."""
    with pytest.raises(Refusal, match="whole number") as caught:
        read_call("chat", f'{{"model":"a","{name}":1.5,{MESSAGES}}}'.encode())

    assert (caught.value.status, caught.value.param) == (400, name)


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [('"Hi"', 2), ('["Hi","Ho"]', 4), ("[1,2,3]", 2), ("[[1],[2],[3]]", 6), ("null", 2), ("[]", 2)],
)
def test_every_prompt_of_a_batch_is_answered(prompt: str, choices: int) -> None:
    """An array of strings or of token numbers is several prompts; an array of numbers is one."""
    assert read_call("completions", f'{{"model":"a","n":2,"prompt":{prompt}}}'.encode()).choices == choices
