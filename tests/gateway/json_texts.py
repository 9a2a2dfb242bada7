"""JSON as clients may write it: odd escapes, numbers that no float holds, white space, keys that repeat."""

from hypothesis import strategies as st

SPACES = st.sampled_from(["", " ", "\n", "\t\r\n  "])

ESCAPES = st.sampled_from(['\\"', "\\\\", "\\/", "\\n", "\\u0041", "\\u00e9", "\\ud83d\\ude00", "\\u2028"])
PLAIN = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters='"\\'), max_size=6)
STRINGS = st.lists(ESCAPES | PLAIN, max_size=4).map(lambda parts: '"' + "".join(parts) + '"')

NUMBERS = st.sampled_from(["0", "-0.0", "1e400", "-1E-999", "1.50", "12345678901234567890123", "9" * 5000])
SCALARS = STRINGS | NUMBERS | st.sampled_from(["true", "false", "null", '"model"', '"\\"model"', '"stream_options"'])

NAMES = st.sampled_from(['"a"', '"model"', '"mod\\u0065l"', '"stream_options"', '"x\\"model"', '""'])


def _array(items: list[str], space: str) -> str:
    return "[" + f"{space},".join(items) + space + "]"


def _object(items: list[tuple[str, str]], space: str) -> str:
    return "{" + ",".join(f"{space}{name}{space}:{space}{value}" for name, value in items) + space + "}"


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arrays = st.builds(_array, st.lists(inner, max_size=3), SPACES)
    return arrays | st.builds(_object, st.lists(st.tuples(NAMES | STRINGS, inner), max_size=3), SPACES)


VALUES = st.recursive(SCALARS, _containers, max_leaves=8)
"""Any JSON value, as text."""
