"""Defects of files: what is wrong, where, and what to do about it.

Readers raise the first defect as an `InputError`; `wattshed validate` shows them all. Documents are checked against a
pydantic model here, tables in `table_defects.py`, apart from this so that whoever reads no table loads no polars.
"""

import difflib
import re
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wattshed.errors import InputError

_MOST_SHOWN: Final = 60
"""Characters of a value in a message."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong with a file; rows count from 1, `field` is a column or a path like `systems[1].count`."""

    path: str
    problem: str
    row: int | None = None
    field: str | None = None
    fix: str = ""

    @property
    def error(self) -> InputError:
        """The defect as the error that a reader raises."""
        return InputError(self.problem, path=self.path, row=self.row, field=self.field, fix=self.fix)

    def __str__(self) -> str:
        return str(self.error)


def refuse(defects: Iterable[Defect]) -> None:
    """Raise the first defect, if there is one."""
    for defect in defects:
        raise defect.error


def advice(name: str, known: Iterable[str]) -> str:
    """What to write instead of `name`: the closest of the known names, or all of them."""
    names = {candidate.casefold(): candidate for candidate in known}
    wanted = name.casefold()
    close = difflib.get_close_matches(wanted, names) or [key for key in names if wanted and wanted in key]
    if close:
        return f"did you mean {' or '.join(repr(names[key]) for key in close[:3])}?"
    return f"known: {shortened(', '.join(names.values()), 2 * _MOST_SHOWN)}" if names else "none are known"


def quoted(value: object) -> str:
    """A value as a message shows it: in quotes where it is text, and never longer than some 60 characters."""
    brief = reprlib.Repr()
    brief.maxlevel = 1
    brief.maxstring = brief.maxlong = brief.maxother = _MOST_SHOWN
    try:
        return shortened(brief.repr(value))
    except ValueError:  # Python refuses to write numbers of more than 4,300 digits
        return "a number of thousands of digits"


def shortened(text: str, most: int = _MOST_SHOWN) -> str:
    """The text without its end, where it is longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def model_defects(error: ValidationError, model: type[BaseModel], path: str) -> list[Defect]:
    """What pydantic found, in our words; `model` is the document that was read."""
    return [_model_defect(detail, model, path) for detail in error.errors(include_url=False)]


def _model_defect(detail: ErrorDetails, model: type[BaseModel], path: str) -> Defect:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    field = shortened("".join(steps).lstrip(".")) or None
    if detail["type"] == "missing":
        return Defect(path, "is missing", field=field, fix="add it")
    if detail["type"] == "extra_forbidden":
        known = _keys_beside(model, detail["loc"])
        return Defect(path, "is an unknown key", field=field, fix=advice(str(detail["loc"][-1]), known))
    expected = detail["msg"].replace("Input should be", "expected").replace("Value error, ", "")
    expected = re.sub(r" or instance of \w+", "", expected)
    return Defect(path, f"{expected}, got {quoted(detail['input'])}", field=field, fix="correct the value")


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are legal where `location` points."""
    for part in location[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return list(model.model_fields)
