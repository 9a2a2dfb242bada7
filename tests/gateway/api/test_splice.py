"""Places in JSON: members as a parser sees them, and depth."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.json_texts import NAMES, SPACES, STRINGS, VALUES
from wattshed.gateway.api.splice import is_deeper, is_object, members, with_last

OBJECTS = st.lists(st.tuples(NAMES | STRINGS, VALUES), max_size=4)


def depth(value: object) -> int:
    """Levels of lists."""
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@settings(deadline=None, max_examples=50)
@given(pairs=OBJECTS, space=SPACES)
def test_members_stand_where_a_parser_finds_them(pairs: list[tuple[str, str]], space: str) -> None:
    """Keys are decoded, repeated ones come again, and the places hold the values to the byte."""
    body = f"{space}{{{','.join(f'{space}{key}{space}:{space}{value}' for key, value in pairs)}{space}}}".encode()

    found = list(members(body))

    assert [body[one.start : one.stop].decode() for one in found] == [value for _, value in pairs]
    names = [json.loads(key) for key, _ in pairs]
    assert all(one.key == name or not name.isascii() for one, name in zip(found, names, strict=True))


@settings(deadline=None, max_examples=50)
@given(value=VALUES.filter(lambda text: "9" * 5000 not in text), most=st.integers(0, 4))
def test_depth_is_that_of_a_parser(value: str, most: int) -> None:
    """Brackets within strings do not count, and a bound is exceeded exactly where the value is deeper."""
    levels = depth(json.loads(value, object_pairs_hook=lambda pairs: [inner for _, inner in pairs]))

    assert is_deeper(value.encode(), most) == (levels > most)


@pytest.mark.parametrize(("text", "whole"), [("{}", True), (" {} ", True), ("[]", False), ("{", False), ("{}x", False)])
def test_only_a_whole_object_is_one(text: str, whole: bool) -> None:
    """Text that is no JSON, or no object, gets no member."""
    assert is_object(text.encode()) is whole


@pytest.mark.parametrize(
    ("text", "longer"),
    [("{ }", '{ "a":1}'), ('{"b":{}}\n', '{"b":{},"a":1}\n'), ("data: {}\r\n\r\n", 'data: {"a":1}\r\n\r\n')],
)
def test_a_member_is_added_last(text: str, longer: str) -> None:
    """What ends the object, white space and the end of an event included, stays behind it."""
    assert with_last(text.encode(), "a", b"1").decode() == longer
