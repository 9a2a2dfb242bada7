"""What engines say beside their text."""

import pytest

from wattshed.gateway.api.usage import PLAIN, Chunk, Usage, has_token, read_chunk, said_in

SAID = '"usage":{"prompt_tokens":7,"completion_tokens":3'


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ("{" + SAID + "}}", Usage(7, 3)),
        ('{"usage": {"prompt_tokens":7,"total_tokens":7}}', Usage(7, 0)),
        ("{" + SAID + ',"prompt_tokens_details":{"cached_tokens":4}}}', Usage(7, 3, 4)),
        ("{" + SAID + ',"prompt_tokens_details":null}}', Usage(7, 3)),
        ("{" + SAID + '},"timings":{"cache_n":5,"prompt_n":2}}', Usage(7, 3, 5)),
        ('{"usage":null}', None),
        ('{"choices":[{"text":"usage"}]}', None),
        ('{"usage":{"prompt_tokens":-1}}', None),
        ('{"usage":{"prompt_tokens":"7"}}', None),
        ('{"usage":{"prompt_tokens":999999999999,"completion_tokens":3}}', None),
        ('{"usage":{"prompt_tokens":7,"completion_tokens":1' + "0" * 30 + "}}", None),
        ('{"usage":', None),
        ("<usage>", None),
    ],
)
def test_tokens_are_what_the_engine_counts(answer: str, usage: Usage | None) -> None:
    """Those of OpenAI's form, with the cache's in either place; nonsense counts nothing."""
    assert said_in(answer.encode()).usage == usage


@pytest.mark.parametrize(
    ("event", "chunk"),
    [
        ('{"choices":[{"delta":{"content":"\\"usage\\""}}]}', PLAIN),
        ('{"choices":[{}],"usage":null}', PLAIN),
        ('{"choices":[],' + SAID + "}}", Chunk(Usage(7, 3), usage_only=True)),
        ('{"choices":[{"finish_reason":"stop"}],' + SAID + "}}", Chunk(Usage(7, 3))),
        ('{"choices":[],"prompt_filter_results":[],"usage":null}', PLAIN),
        ('{"error":{"message":"out of memory"}}', Chunk(failed=True)),
        ('{"error":null,"choices":[]}', PLAIN),
        ('{"error"', PLAIN),
    ],
)
def test_a_chunk_is_text_unless_it_says_more(event: str, chunk: Chunk) -> None:
    """Usage, usage and nothing else, or an error: everything else is passed on unread."""
    assert read_chunk(event.encode()) == chunk


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b' {"a": [1, {}]}\n', True),
        (b'{"a": [1', False),
        (b"[]", False),
        (b"", False),
        (b'"\xff"', False),
        (b"<p>{}</p>", False),
        (b'{"usage":7}', True),
        (b'{"usage":7', False),
    ],
)
def test_an_answer_is_a_whole_object(answer: bytes, whole: bool) -> None:
    """What breaks off, or is anything else, is no answer."""
    assert said_in(answer).whole is whole


@pytest.mark.parametrize(
    ("events", "begun"),
    [
        ('data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n', False),
        ('data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n', False),
        ('data: {"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[]}}]}\n\n', False),
        ('data:{"choices":[],"prompt_filter_results":[]}\n\n', False),
        (": waiting\n\n", False),
        ("", False),
        ('data: {"choices":[{"delta":{"content":" "}}]}\n\n', True),
        ('data: {"choices":[{"delta":{"role":"assistant","reasoning_content":"Hm"}}]}\n\n', True),
        ('data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', True),
        ('data: {"choices":[{"text":"a"}]}\n\n', True),
        ('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', True),
        ('data: {"choices":[{"delta":{"role":"assistant"}}]}\r\n\r\ndata: {"choices":[{"text":"a"}]}\r\n\r\n', True),
        ('data: {"error":{"message":"out of memory"}}\n\n', True),
        ("data: {", True),
    ],
)
def test_who_speaks_is_not_yet_a_token(events: str, begun: bool) -> None:
    """A role, an empty text and a comment say nothing; a word, a call, an end and what cannot be read do."""
    assert has_token(events.encode()) is begun
