"""Designs: which cells a campaign measures, and in which order it visits them.

    reference, cell, cell, ..., cell, reference, cell, ..., reference

The order is random and follows from the seed, so that slow drift of the machine (heat, neighbours) becomes scatter and
not a slope along the tokens. One cell, the *reference*, is visited again at the start, after every few cells and at the
end: what drift there was can be read off it. It is the middle cell, or any that is named: a design of long cells is
better watched by a short one, and several campaigns by the same. Sources: the two sweeps are those of section 5.1 of
the paper.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from wattshed.datasets.defects import advice, quoted
from wattshed.domain.schema import MOST_TOKENS
from wattshed.errors import InputError, MissingError

REFERENCE: Final = "reference"
"""Experiment of the trials in the reference cell; kept out of every fit."""

FIXED_TOKENS: Final = 32
"""The length that a sweep of the paper holds still (section 5.1)."""

COLUMNS: Final = ("input_tokens", "output_tokens", "concurrency")
"""Of a file of cells; the last may be missing."""

MOST: Final = MOST_TOKENS
"""Tokens, or queries at once, that a cell may have: no file of ours holds more."""

DesignName = Literal["paper-input", "paper-output", "grid", "batch"]
DESIGNS: Final[tuple[DesignName, ...]] = get_args(DesignName)


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """A cell: `concurrency` queries at once, of m input and n output tokens each."""

    input_tokens: int
    output_tokens: int
    concurrency: int = 1

    def __post_init__(self) -> None:
        if min(self.input_tokens, self.output_tokens, self.concurrency) < 1:
            raise ValueError(f"a cell has at least one query with one token each way, got {self}")

    @property
    def total_tokens(self) -> int:
        """Tokens of all its queries, in and out."""
        return (self.input_tokens + self.output_tokens) * self.concurrency

    def __str__(self) -> str:
        together = f" x {self.concurrency}" if self.concurrency > 1 else ""
        return f"({self.input_tokens}, {self.output_tokens}){together}"


@dataclass(frozen=True, slots=True)
class Design:
    """The cells of a campaign, each once; `name` becomes the experiment of their trials.

    `named_reference` need not be among them.
    """

    name: str
    shapes: tuple[Shape, ...]
    named_reference: Shape | None = None

    def __post_init__(self) -> None:
        if not self.shapes:
            raise ValueError(f"design {self.name!r} has no cells")
        if len(set(self.shapes)) < len(self.shapes):
            raise ValueError(f"design {self.name!r} names a cell twice")

    @property
    def reference(self) -> Shape:
        """The cell that was named, or else the one in the middle: neither too short to measure nor too long to repeat.

        By output tokens first, since a query lasts as long as its steps; among those that share them, by all tokens.
        """
        if self.named_reference is not None:
            return self.named_reference
        output_tokens = _middle(sorted(self.shapes, key=lambda shape: shape.output_tokens)).output_tokens
        alike = [shape for shape in self.shapes if shape.output_tokens == output_tokens]
        return _middle(sorted(alike, key=lambda shape: (shape.total_tokens, shape)))


@dataclass(frozen=True, slots=True)
class Visit:
    """The `number`-th cell that a campaign goes to."""

    number: int
    experiment: str
    shape: Shape

    @property
    def is_reference(self) -> bool:
        """Whether the visit looks for drift."""
        return self.experiment == REFERENCE


def paper_input() -> Design:
    """The sweep of m = 8, 16, ..., 2048 with n = 32."""
    return Design("paper-input", tuple(Shape(tokens, FIXED_TOKENS) for tokens in _powers(8, 2048)))


def paper_output() -> Design:
    """The sweep of n = 8, 16, ..., 4096 with m = 32."""
    return Design("paper-output", tuple(Shape(FIXED_TOKENS, tokens) for tokens in _powers(8, 4096)))


def grid(input_tokens: Sequence[int], output_tokens: Sequence[int]) -> Design:
    """Every m with every n."""
    return Design("grid", tuple(Shape(*pair) for pair in product(input_tokens, output_tokens)))


def batch(input_tokens: Sequence[int], output_tokens: Sequence[int], concurrency: Sequence[int]) -> Design:
    """Every (m, n) at every concurrency."""
    return Design("batch", tuple(Shape(*cell) for cell in product(input_tokens, output_tokens, concurrency)))


def paper_sweeps(shape: Shape) -> tuple[str, ...]:
    """The sweeps of the paper that a cell lies on, whatever design it was measured in: none, one, or both."""
    return tuple(sweep.name for sweep in (paper_input(), paper_output()) if shape in sweep.shapes)


def read_design(path: Path) -> Design:
    """The cells of a CSV with columns `input_tokens`, `output_tokens` and, where it has one, `concurrency`.

    Raises `MissingError` where there is no such file, and `InputError` for its first defect.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        known = ", ".join(DESIGNS)
        raise MissingError(f"{path}: no such design; give one of {known}, or a CSV with your cells") from error
    except (UnicodeDecodeError, OSError) as error:
        raise InputError("is not a text file", path=path, fix="save the cells as CSV in UTF-8") from error
    rows = csv.DictReader(lines)
    rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
    _refuse_columns(rows.fieldnames, path)
    shapes = [_shape(row, number, path) for number, row in enumerate(rows, 1)]
    try:
        return Design(path.stem, tuple(shapes))
    except ValueError as error:
        raise InputError(str(error), path=path, fix="give each cell once, and at least one") from error


def count(text: str) -> int | None:
    """The count from 1 to `MOST` that a text says; `None` where it says another thing."""
    digits = text.strip().lstrip("0")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > len(str(MOST)) or int(digits) > MOST:
        return None
    return int(digits)


def visits(design: Design, rng: np.random.Generator, *, reference_every: int) -> tuple[Visit, ...]:
    """Every cell once in random order, and the reference at the start, after every so many cells, and at the end."""
    plan: list[tuple[str, Shape]] = [(REFERENCE, design.reference)]
    for position, index in enumerate(rng.permutation(len(design.shapes)), 1):
        plan.append((design.name, design.shapes[index]))
        if position % reference_every == 0 or position == len(design.shapes):
            plan.append((REFERENCE, design.reference))
    return tuple(Visit(number, *cell) for number, cell in enumerate(plan))


def _middle(shapes: Sequence[Shape]) -> Shape:
    return shapes[(len(shapes) - 1) // 2]


def _powers(first: int, last: int) -> Iterable[int]:
    tokens = first
    while tokens <= last:
        yield tokens
        tokens *= 2


def _refuse_columns(names: Sequence[str], path: Path) -> None:
    """`InputError` for a column that no cell has, or where one is missing."""
    for name in names:
        if name not in COLUMNS:
            raise InputError("no cell has such a column", path=path, field=name, fix=advice(name, COLUMNS))
    missing = set(COLUMNS[:2]) - set(names)
    if missing:
        raise InputError("the column is missing", path=path, field=min(missing), fix="add it to the first line")


def _shape(row: dict[str, str | None], number: int, path: Path) -> Shape:
    def counted(field: str, missing: str = "") -> int:
        text = row.get(field) or missing
        found = count(text)
        if found is None:
            problem = f"is {quoted(text)}, not a count from 1 to {MOST:,}"
            raise InputError(problem, path=path, row=number, field=field, fix="mend it")
        return found

    return Shape(counted("input_tokens"), counted("output_tokens"), counted("concurrency", "1"))
