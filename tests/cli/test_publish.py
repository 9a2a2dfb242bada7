"""`wattshed publish` from bundles to a profile that validates, fits and draws."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wattshed.cli.report import power_trace

if TYPE_CHECKING:
    from tests.cli.conftest import Ran

Wattshed = Callable[..., "Ran"]

GRID = ("--design", "grid", "--input-tokens", "8,32,128", "--output-tokens", "8,32")
BATCH = ("--design", "batch", "--input-tokens", "8", "--output-tokens", "8,32", "--concurrency", "1,4")
NAMED = ("--name", "pair", "--title", "Two campaigns", "--licence", "CC-BY-4.0", "--out", "pair")


@pytest.fixture
def bundles(wattshed: Wattshed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two bundles of the synthetic engine, `plain` and `batch`, in an empty folder and a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, design in (("plain", GRID), ("batch", BATCH)):
        flags = ("--engine", "synthetic", "--stopping", "fixed", "--trials", 2, "--out", name)
        assert wattshed("profile", *design, *flags).exit_code == 0
    return "plain", "batch"


def test_bundles_become_one_profile(wattshed: Wattshed, bundles: tuple[str, str]) -> None:
    """One command makes a profile that validates on every point for each campaign, and that can be fitted."""
    ran = wattshed("publish", *bundles, *NAMED, "--system", "batch=shared", "--fault", "The room was warm.")
    checked = wattshed("validate", "pair")
    fitted = wattshed("fit", "pair", "--channel", "gpu", "--kind", "regression", "--json")

    assert (ran.exit_code, checked.exit_code, fitted.exit_code) == (0, 0, 0)
    assert "wrote pair, " in ran.out
    assert "in 2 campaigns, 34 points passed, 4 points not applicable" in checked.out
    assert [one["system"] for one in fitted.document["systems"]] == ["synthetic"]
    assert "- The room was warm." in Path("pair/README.md").read_text()


def test_the_power_of_all_campaigns_is_laid_end_to_end(wattshed: Wattshed, bundles: tuple[str, str]) -> None:
    """Sessions have clocks of their own, so a trace of several takes as long as all of them together."""
    wattshed("publish", *bundles, *NAMED)

    lengths_s = []
    for profile in (*bundles, "pair"):
        (samples,) = power_trace(profile).values()
        lengths_s.append(samples[-1][0] - samples[0][0])

    assert lengths_s[2] == pytest.approx(lengths_s[0] + lengths_s[1], rel=0.01)


def test_what_was_published_is_json_too(wattshed: Wattshed, bundles: tuple[str, str]) -> None:
    """With `--json` stdout holds one document: campaigns, size and points."""
    document = wattshed("publish", *bundles, *NAMED, "--json").document

    assert [one["name"] for one in document["campaigns"]] == list(bundles)
    assert document["points"] == {"passed": 34, "not applicable": 4}
    assert 0 < document["size_bytes"] < 100_000


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        ("--name", "", "--name wants a word"),
        ("--name", "../../x", "--name wants a word"),
        ("--title", "two\nlines", "--title wants one line of text, got 'two\\nlines'"),
        ("--licence", " ", "--licence wants one line of text"),
        ("--fault", "", "--fault wants one line of text"),
    ],
)
def test_a_name_that_is_none_is_refused(wattshed: Wattshed, flag: str, text: str, message: str) -> None:
    """Names are words and texts are lines: what would break a path or a card is one line and exit code 2."""
    ran = wattshed("publish", "plain", *NAMED, flag, text)

    assert ran.exit_code == 2
    assert message in ran.err


def test_damaged_samples_are_no_traceback(wattshed: Wattshed, bundles: tuple[str, str]) -> None:
    """`wattshed report` names a samples file that it cannot read."""
    Path("plain/samples.parquet").write_bytes(b"PAR1 and no more")

    ran = wattshed("report", "plain")

    assert ran.exit_code == 2
    assert "plain/samples.parquet: is not Parquet" in ran.err


@pytest.mark.parametrize("pair", ["batch", "batch=", "=shared"])
def test_a_name_without_its_bundle_is_refused(pair: str, wattshed: Wattshed) -> None:
    """`--system` says which bundle it speaks of."""
    ran = wattshed("publish", "plain", *NAMED, "--system", pair)

    assert ran.exit_code == 2
    assert "wants BUNDLE=NAME" in ran.err


def test_a_bundle_that_fails_a_point_exits_with_1(wattshed: Wattshed, bundles: tuple[str, str]) -> None:
    """A bundle that `validate` fails is not published, and nothing is written."""
    path = Path("plain/manifest.json")
    document = json.loads(path.read_text())
    document["campaigns"][0]["idle"] = []
    path.write_text(json.dumps(document))

    ran = wattshed("publish", *bundles, *NAMED)

    assert ran.exit_code == 1
    assert "plain: point 15" in ran.err
    assert not Path("pair").exists()


def test_what_is_not_there_exits_with_3(wattshed: Wattshed) -> None:
    """A bundle that does not exist is missing."""
    assert wattshed("publish", "nowhere", *NAMED).exit_code == 3
