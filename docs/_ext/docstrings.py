"""Let autodoc read our docstrings, which are plain text: `code` in single backticks, drawings as indented blocks.

reStructuredText would take the first for a reference, an indented block for a quotation, and `sum_` for a link. Array
types are shown by the names that `domain/arrays.py` gives them.
"""

import re
from itertools import groupby

from sphinx.application import Sphinx

_CODE = re.compile(r"(`+[^`]+`+)")
_MARKUP = re.compile(r"(?<!\w)\*(?!\w)|\||_(?!\w)")  # *emphasis* stays
_ARRAY = re.compile(r"~?[\w.]*ndarray\[[^\[\]]*\[[^\]]*\], [^\[]*\[[\w.~]*?(float64|int64|bool)\]\]")
_NAME_OF_DTYPE = {"float64": "Floats", "int64": "Integers", "bool": "Booleans"}


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    sphinx.connect("autodoc-process-docstring", _translate)
    sphinx.connect("autodoc-process-signature", _shorten)
    sphinx.connect("autodoc-skip-member", _says_nothing)
    return {"parallel_read_safe": True}


def marked_up(lines: list[str]) -> list[str]:
    """A docstring of ours in reStructuredText, paragraph by paragraph."""
    text: list[str] = []
    for blank, paragraph in groupby(lines, key=lambda line: not line.strip()):
        block = list(paragraph)
        if not blank and _is_drawing(block):
            text += ["::", "", *("    " + line for line in block)]
        else:
            text += [_escaped(line) for line in block]
    return text


def _is_drawing(paragraph: list[str]) -> bool:
    """Whether lines stand where they do on purpose; those of a list are only continued."""
    return any(line.startswith(" ") for line in paragraph) and not paragraph[0].startswith("- ")


def _translate(_sphinx: Sphinx, _what: str, _name: str, _subject: object, _options: object, lines: list[str]) -> None:
    """Rewrite one docstring in place, as autodoc's event asks."""
    lines[:] = marked_up(lines)


def _shorten(
    _sphinx: Sphinx, _what: str, _name: str, _subject: object, _options: object, *signature: str | None
) -> tuple[str | None, ...]:
    """Parameters and return type with array types by their names, as autodoc's event asks."""
    return tuple(part and _ARRAY.sub(lambda array: _NAME_OF_DTYPE[array[1]], part) for part in signature)


def _says_nothing(
    _sphinx: Sphinx, _what: str, _name: str, subject: object, _skip: bool, _options: object
) -> bool | None:
    """Leave out the fields of named tuples, which Python documents by their number; None lets autodoc decide."""
    return True if (subject.__doc__ or "").startswith("Alias for field number") else None


def _escaped(line: str) -> str:
    """Prose with `code` as literals and no other mark-up but emphasis."""
    parts = _CODE.split(line)
    return "".join(
        f"``{part.strip('`')}``" if position % 2 else _MARKUP.sub(r"\\\g<0>", part)
        for position, part in enumerate(parts)
    )
