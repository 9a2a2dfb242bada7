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
    """Profile, digest, kind, channel, pairs, how they ran and reasons come back."""
    again = load(path)

    assert (again.profile, again.profile_digest) == (fitted.profile, fitted.profile_digest)
    assert (again.kind, again.channel, again.skipped) == (fitted.kind, fitted.channel, fitted.skipped)
    assert again.predictors.keys() == fitted.predictors.keys() == fitted.ran.keys()
    assert again.ran == fitted.ran


def test_a_file_that_does_not_say_how_a_model_ran_is_read(path: Path) -> None:
    """Files from before they said so stay readable, and it is then not known."""
    document = json.loads(path.read_text())
    for one in document["predictors"]:
        del one["ran"]
    path.write_text(json.dumps(document))

    assert load(path).ran == {}


def _cut_coefficients(document: Document) -> None:
    document["predictors"][0]["energy"]["coefficients"].pop()


def _cut_refit(document: Document) -> None:
    document["predictors"][0]["runtime"]["replicates"][3].pop()


def _level_knots(document: Document) -> None:
    document["predictors"][0]["energy"]["tokens"][1] = 8


def _word_for_number(document: Document) -> None:
    document["predictors"][0]["energy"]["misfit"] = "small"


def _set(*place: str | int, value: object) -> Callable[[Document], None]:
    """A change of one value of the first predictor."""

    def change(document: Document) -> None:
        part = document["predictors"][0]
        for step in place[:-1]:
            part = part[step]
        part[place[-1]] = value

    return change


def _predictor_twice(document: Document) -> None:
    document["predictors"] *= 2


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
        (lambda document: document.update(schema_version=0), "field 'schema_version': versions count from 1, got 0"),
        (lambda document: document.update(predictors=[]), "field 'predictors': holds none"),
        (_predictor_twice, r"field 'predictors\[1\]': is the second one of bench, toy"),
        (
            _set("energy", "coefficients", 1, value=-1.0),
            r"\[0\].energy.coefficients': expected numbers from 0 to 1e\+12, got -1;",
        ),
        (_set("runtime", "coefficients", 0, value=1e300), r"\[0\].runtime.coefficients': .* got 1e\+300;"),
        (_set("runtime", "replicates", 7, 0, value=-2), r"\[0\].runtime.replicates': .* got -2;"),
        (_set("energy", "factor", 0, 0, value=1e300), r"\[0\].energy.factor': .* got 1e\+300;"),
        (_set("energy", "misfit", value=-0.1), r"\[0\].energy.misfit': .* got -0.1;"),
        (_set("energy", "residual_sd", value=-0.1), r"\[0\].energy.residual_sd': .* got -0.1;"),
        (
            _set("support", "max_input_tokens", value=1),
            r"\[0\].support.max_input_tokens': expected a range within 1 to 20,000,000 tokens, got 8 to 1;",
        ),
        (_set("support", "min_output_tokens", value=0), r"\[0\].support.max_output_tokens': .* got 0 to "),
        (_set("support", "max_total_tokens", value=10**12), r"\[0\].support.max_total_tokens': .* to 1000000000000;"),
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


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"[" * 100_000, b'{"format": ' + b"[" * 100_000, b"\xff\xfe{", b"input_tokens,output_tokens\n"],
)
def test_other_files_are_no_predictor_files(tmp_path: Path, content: bytes) -> None:
    """Anything else is refused, and would not be written over."""
    path = tmp_path / "else"
    path.write_bytes(content)

    assert not is_predictor_file(path)
    with pytest.raises(InputError, match="not a predictor file"):
        load(path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """The message says how to get one; a directory is none."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(MissingError, match="wattshed fit PROFILE --out"):
            load(path)


def test_a_file_that_cannot_be_written_leaves_nothing(fitted: Fitted, path: Path) -> None:
    """A failed write keeps the old file whole and no half-written one beside it."""
    before = path.read_bytes()
    taken = path.parent / "folder"
    taken.mkdir()

    with pytest.raises(MissingError, match="cannot be written"):
        save(fitted, taken)

    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["folder", "predictor.json"]
