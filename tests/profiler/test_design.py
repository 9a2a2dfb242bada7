"""Designs: which cells there are, and in which order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.errors import InputError, MissingError
from wattshed.profiler.design import (
    Design,
    Shape,
    batch,
    grid,
    paper_input,
    paper_output,
    paper_sweeps,
    read_design,
    visits,
)

SHAPES = st.lists(
    st.builds(Shape, *[st.integers(1, 4096)] * 2, st.integers(1, 64)), min_size=1, max_size=12, unique=True
)


def test_the_sweeps_are_those_of_the_paper() -> None:
    """The input sweep has m = 8..2048 with n = 32, the output sweep n = 8..4096 with m = 32."""
    inputs, outputs = paper_input().shapes, paper_output().shapes

    assert [shape.input_tokens for shape in inputs] == [8, 16, 32, 64, 128, 256, 512, 1024, 2048]
    assert [shape.output_tokens for shape in outputs] == [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
    assert {shape.output_tokens for shape in inputs} == {shape.input_tokens for shape in outputs} == {32}


@pytest.mark.parametrize(
    ("shape", "sweeps"),
    [
        (Shape(2048, 32), ("paper-input",)),
        (Shape(32, 4096), ("paper-output",)),
        (Shape(32, 32), ("paper-input", "paper-output")),
        (Shape(512, 128), ()),
        (Shape(4096, 32), ()),
        (Shape(512, 32, 4), ()),
    ],
)
def test_a_cell_knows_the_sweeps_it_lies_on(shape: Shape, sweeps: tuple[str, ...]) -> None:
    """A cell of any design lies on a sweep of the paper if the sweep has it, one query at a time."""
    assert paper_sweeps(shape) == sweeps


def test_grids_and_batches_are_products() -> None:
    """A grid has every pair, a batch every pair at every concurrency."""
    assert grid([1, 2], [3]).shapes == (Shape(1, 3), Shape(2, 3))
    assert batch([1], [2, 3], [1, 4]).shapes == (Shape(1, 2), Shape(1, 2, 4), Shape(1, 3), Shape(1, 3, 4))


@settings(deadline=None, max_examples=30)
@given(shapes=SHAPES, seed=st.integers(0, 99), every=st.integers(1, 5))
def test_each_cell_is_visited_once_between_references(shapes: list[Shape], seed: int, every: int) -> None:
    """Every cell comes once; the reference comes first, last, and after at most `every` cells."""
    design = Design("any", tuple(shapes))

    plan = visits(design, np.random.default_rng(seed), reference_every=every)

    assert sorted(visit.shape for visit in plan if not visit.is_reference) == sorted(shapes)
    assert plan[0].is_reference
    assert plan[-1].is_reference
    kinds = "".join("R" if visit.is_reference else "c" for visit in plan)
    assert max(len(run) for run in kinds.split("R")) <= every
    assert [visit.number for visit in plan] == list(range(len(plan)))
    assert plan == visits(design, np.random.default_rng(seed), reference_every=every)


@settings(deadline=None, max_examples=20)
@given(shapes=SHAPES, reference=st.builds(Shape, *[st.integers(1, 64)] * 3), seed=st.integers(0, 99))
def test_a_named_reference_takes_the_place_of_the_middle(shapes: list[Shape], reference: Shape, seed: int) -> None:
    """Named, any cell is the reference, of the design or not; cells and their order stay as they were."""
    design = Design("any", tuple(shapes))

    plain = visits(design, np.random.default_rng(seed), reference_every=2)
    named = visits(replace(design, named_reference=reference), np.random.default_rng(seed), reference_every=2)

    assert {visit.shape for visit in named if visit.is_reference} == {reference}
    assert [visit for visit in named if not visit.is_reference] == [one for one in plain if not one.is_reference]


def test_a_file_holds_any_cells(tmp_path: Path) -> None:
    """A CSV with the three columns is a design named after it; concurrency is 1 where it is left out."""
    path = tmp_path / "mine.csv"
    path.write_text("input_tokens, output_tokens, concurrency\n8, 16, 4\n32,1,\n")

    assert read_design(path) == Design("mine", (Shape(8, 16, 4), Shape(32, 1)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input_tokens\n8\n", "field 'output_tokens': the column is missing; add it to the first line"),
        ("input_tokens,output_tokens\n8,0\n", "row 1, field 'output_tokens': is '0', not a count from 1 to 10,000,000"),
        (
            "input_tokens,output_tokens\n8,8\nx,8\n",
            "row 2, field 'input_tokens': is 'x', not a count from 1 to 10,000,000",
        ),
        ("input_tokens,output_tokens\n8,10000001\n", "is '10000001', not a count from 1 to 10,000,000"),
        (
            "input_tokens,output_tokens,concurency\n8,8,4\n",
            "field 'concurency': no cell has such a column; did you mean 'concurrency'?",
        ),
        ("input_tokens,output_tokens\n8,8\n8,8\n", "design 'cells' names a cell twice"),
        ("input_tokens,output_tokens\n", "design 'cells' has no cells"),
    ],
)
def test_a_bad_file_is_an_error_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    """A defect names file, row and field, and the fix."""
    path = tmp_path / "cells.csv"
    path.write_text(text)

    with pytest.raises(InputError) as refused:
        read_design(path)

    assert str(path) in str(refused.value)
    assert message in str(refused.value)


def test_an_unknown_design_says_what_there_is(tmp_path: Path) -> None:
    """A name that is neither a design nor a file is missing, with the names that there are."""
    with pytest.raises(MissingError, match="paper-input, paper-output, grid, batch"):
        read_design(tmp_path / "papr-input")
