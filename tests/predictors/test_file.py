"""Predictor files; that they give the same predictions bit for bit is in the contract suite."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.predictors.cases import profile
from wattshed.errors import InputError, MissingError
from wattshed.predictors.file import is_predictor_file, load, save
from wattshed.predictors.fit import Fitted, fit

Document = dict[str, Any]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    """One predictor."""
    return fit(profile(lambda m, n: float(m + n)))


@pytest.fixture
def path(fitted: Fitted, tmp_path: Path) -> Path:
    """A sound file."""
    save(fitted, tmp_path / "predictor.json")
    return tmp_path / "predictor.json"


def test_keeps_everything_but_the_curves_as_it_was(fitted: Fitted, path: Path) -> None:
    """Profile, digest, kind, channel, pairs and reasons come back."""
    again = load(path)

    assert (again.profile, again.profile_digest) == (fitted.profile, fitted.profile_digest)
    assert (again.kind, again.channel, again.skipped) == (fitted.kind, fitted.channel, fitted.skipped)
    assert again.predictors.keys() == fitted.predictors.keys()


def _cut_coefficients(document: Document) -> None:
    document["predictors"][0]["energy"]["coefficients"].pop()


def _cut_refit(document: Document) -> None:
    document["predictors"][0]["runtime"]["replicates"][3].pop()


def _level_knots(document: Document) -> None:
    document["predictors"][0]["energy"]["tokens"][1] = 8


def _word_for_number(document: Document) -> None:
    document["predictors"][0]["energy"]["misfit"] = "small"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda document: document.pop("profile"), "missing required field `profile`"),
        (
            lambda document: document.update(format="else"),
            "field 'format': expected 'wattshed predictors', found 'else'",
        ),
        (lambda document: document.update(schema_version=99), "field 'schema_version': version 99 is newer than 1"),
        (lambda document: document.update(kind="oracle"), "field 'kind': not a predictor file: Invalid enum value"),
        (lambda document: document.update(colour="red"), "unknown field `colour`"),
        (_cut_coefficients, r"field 'predictors\[0\]': expected \d+ coefficients"),
        (_cut_refit, r"field 'predictors\[0\]': expected \d+ coefficients"),
        (_level_knots, r"field 'predictors\[0\]': knots are two or more rising prefix lengths"),
        (_word_for_number, r"field 'predictors\[0\].energy.misfit': .*Expected `float`, got `str`"),
    ],
)
def test_damage_is_located(path: Path, damage: Callable[[Document], object], message: str) -> None:
    """A file that was tampered with is refused in one line with file, field and fix."""
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))

    with pytest.raises(InputError, match=message) as caught:
        load(path)

    assert str(caught.value).startswith(str(path))
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{", b"input_tokens,output_tokens\n"])
def test_other_files_are_no_predictor_files(tmp_path: Path, content: bytes) -> None:
    """Anything else is refused, and would not be written over."""
    path = tmp_path / "else"
    path.write_bytes(content)

    assert not is_predictor_file(path)
    with pytest.raises(InputError, match="not a predictor file"):
        load(path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """The message says how to get one."""
    with pytest.raises(MissingError, match="wattshed fit PROFILE --out"):
        load(tmp_path / "none.json")


def test_a_file_that_cannot_be_written_leaves_nothing(fitted: Fitted, path: Path) -> None:
    """A failed write keeps the old file whole and no half-written one beside it."""
    before = path.read_bytes()
    taken = path.parent / "folder"
    taken.mkdir()

    with pytest.raises(MissingError, match="cannot be written"):
        save(fitted, taken)

    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["folder", "predictor.json"]
