"""Several bundles become one profile that still passes every point, and says which campaign fails one."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiler.cases import bundle, campaign, journalled, world
from wattshed.datasets.profiles import read_manifest, read_profile
from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import SAMPLE
from wattshed.domain.system import Limits
from wattshed.engines.synthetic import SYSTEM
from wattshed.errors import CheckFailedError, InputError, UsageError
from wattshed.predictors.fit import fit
from wattshed.profiler.bundle import Publication, write_bundle
from wattshed.profiler.checklist import POINTS, check_bundle
from wattshed.profiler.design import Shape
from wattshed.profiler.evidence import Evidence, read_evidence
from wattshed.profiler.publish import Edition, publish, reduced
from wattshed.testing import Failures

SHAPES = tuple(Shape(m, n) for m in (8, 32, 64) for n in (8, 32))
EDITION = Edition(
    "pair", "Two campaigns", "CC-BY-4.0", source="a drawer", faults=("The room was warm.",), systems={"big": "other"}
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles: one that was broken off and resumed, and one with longer windows in which a cell did not fit."""
    folder = tmp_path_factory.mktemp("raw")
    small, big = folder / "small", folder / "big"
    journalled(small, campaign(SHAPES), world(), events=9)
    bundle(small, campaign(SHAPES), world())
    bundle(big, campaign((*SHAPES, Shape(64, 64)), window_s=25.0), world(failures=Failures(max_total_tokens=100)))
    return [small, big]


@pytest.fixture(scope="module")
def published(raw: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both as one profile."""
    directory = tmp_path_factory.mktemp("published")
    publish(raw, EDITION, directory)
    return directory


def failures(directory: Path) -> dict[int, str]:
    """The points that a profile fails, with their sentences."""
    return {one.number: one.sentence for one in check_bundle(directory) if one.status == "failed"}


def copied(directory: Path, to: Path) -> Path:
    """The files of a profile in another place."""
    for path in directory.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_it_passes_every_point(published: Path) -> None:
    """What was published from sound bundles is sound: schema, sums, cells and all the rest."""
    assert failures(published) == {}
    assert len(check_bundle(published)) == len(POINTS)


def test_every_trial_is_kept(published: Path, raw: list[Path]) -> None:
    """Trials are those of the bundles but for session and system's name; sessions count on, by clock and campaign."""
    before = [trial for directory in raw for trial in read_profile(directory).measurements]

    after = read_profile(published).measurements

    assert {trial.session for trial in after} == {0, 1, 2}
    assert {trial.system.name for trial in after if trial.session == 2} == {"other"}
    assert [replace(b, session=a.session, system=a.system) for a, b in zip(after, before, strict=True)] == list(after)


def test_records_stay_as_they_were(published: Path, raw: list[Path]) -> None:
    """Each campaign's record is the raw one under the name of its directory, with the sums of the raw files."""
    records = [read_manifest(directory).campaigns[0] for directory in raw]

    assert read_manifest(published).campaigns == tuple(
        record.model_copy(update={"name": directory.name}) for record, directory in zip(records, raw, strict=True)
    )


def test_limits_and_validation_experiments_go_along(published: Path) -> None:
    """What did not fit is a limit of the system as it is called now, and the reference stays out of fits."""
    profile = read_profile(published)

    assert profile.limits_of("other", "synthetic") == Limits(
        max_total_tokens=96, reason="out of memory at 128 tokens in all"
    )
    assert profile.limits_of("synthetic", "synthetic") == Limits()
    assert profile.validation_experiments == {"reference"}


def test_it_can_be_fitted(published: Path) -> None:
    """Both systems give a predictor, as any profile does."""
    fitted = fit(read_profile(published), kind="regression", channel="gpu")

    assert sorted(fitted.predictors) == [("other", "synthetic"), ("synthetic", "synthetic")]


def test_publishing_again_gives_the_same_bytes(published: Path, raw: list[Path], tmp_path: Path) -> None:
    """A publication follows from its bundles, so whoever holds them can check it."""
    publish(raw, EDITION, tmp_path)

    for path in tmp_path.iterdir():
        assert path.read_bytes() == (published / path.name).read_bytes()


def test_the_card_says_what_how_and_what_to_mind(published: Path, raw: list[Path]) -> None:
    """The card names licence, source, faults, failures, sweeps of the paper, and the sums of the raw journals."""
    text = (published / "README.md").read_text()

    assert "Source: measured by wattshed 0; raw bundles: a drawer. Licence: CC-BY-4.0." in text
    assert "- The room was warm." in text
    assert "- Failed, big (64, 64) after 0 windows: out_of_memory." in text
    assert "| small | 5 | fixed: 3 windows | 7 | gpu 60.0, gpu 60.0 | gpu 60.0 |" in text
    assert "| small | 32 | 32 | 1 | paper-input, paper-output | 3 |" in text
    assert read_manifest(raw[1]).campaigns[0].files["trials.jsonl"] in text


def test_no_window_loses_its_power(published: Path, raw: list[Path]) -> None:
    """Every window that had samples has some still, and its mean power is what it was."""
    for before, after in zip([read_evidence(path)[0] for path in raw], read_evidence(published), strict=True):
        assert after.samples.height <= before.samples.height
        for trial in before.trials:
            assert _power_w(after, trial) == pytest.approx(_power_w(before, trial), rel=0.02)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 29.9), st.sampled_from("ab"), st.floats(0, 700)), min_size=1, max_size=60))
def test_means_stay_among_their_samples(rows: list[tuple[float, str, float]]) -> None:
    """Windows and channels all stay, means lie within their samples, and the worst state of each is kept."""
    windows = [
        Measurement(SYSTEM, "grid", 8, 8, 8, 8, 0, False, 1.0, "board", session=0, started_at_s=start_s, window_s=10.0)
        for start_s in (0.0, 10.0, 20.0)
    ]
    raw = pl.DataFrame(
        [(0, at_s, channel, power_w, 700.0, 1.0, at_s, 1980.0, "hot;capped") for at_s, channel, power_w in rows],
        schema=[column.name for column in SAMPLE],
        orient="row",
    )

    few = reduced(raw, windows)

    window = (pl.col("at_s") // 10).alias("window")
    places = [set(frame.select(window, "channel").iter_rows()) for frame in (raw, few)]
    assert places[0] == places[1]
    assert few.height <= raw.height
    assert few["power_w"].is_between(raw["power_w"].min() - 0.1, raw["power_w"].max() + 0.1).all()
    assert few["temperature_c"].max() == raw["temperature_c"].max()
    assert set(few["throttle_reasons"]) == {"capped;hot"}


def test_a_bundle_that_fails_a_point_is_refused(raw: list[Path], tmp_path: Path) -> None:
    """An unfinished campaign is not published, and the error names the point."""
    journalled(tmp_path / "part", campaign(), world(), events=8)
    write_bundle(tmp_path / "part", Publication("part"))

    with pytest.raises(CheckFailedError, match=r"part: point 15 .* \(and \d+ more\); measure what is missing"):
        publish([raw[0], tmp_path / "part"], EDITION, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_two_configurations_under_one_name_are_refused(raw: list[Path], tmp_path: Path) -> None:
    """Systems that nobody could tell apart in a fit or a fleet need names of their own."""
    other = bundle(tmp_path / "other", campaign(), world(host="host-00000002"))

    with pytest.raises(UsageError, match="small and other measured synthetic · synthetic in two configurations"):
        publish([raw[0], other], Edition("pair", "Two", "CC0"), tmp_path / "out")


def test_what_cannot_stand_side_by_side_is_refused(raw: list[Path], published: Path, tmp_path: Path) -> None:
    """A campaign given twice, a name for no bundle, a bundle as --out, and what is no bundle are errors."""
    small, _ = raw
    plain = replace(EDITION, systems={})

    with pytest.raises(UsageError, match="hold the same campaign; give it once"):
        publish([small, small], plain, tmp_path)
    with pytest.raises(UsageError, match=r"--system big=\.\.\.: no such bundle is given; known: small"):
        publish([small], EDITION, tmp_path)
    with pytest.raises(UsageError, match="whose raw files would be lost"):
        publish(raw, EDITION, small)
    for source in (published, Path("bundled:wilkins2024")):
        with pytest.raises(InputError, match="is no bundle of wattshed profile"):
            publish([source], plain, tmp_path)


def test_a_fault_in_one_campaign_fails_by_its_name(published: Path, tmp_path: Path) -> None:
    """A point that one campaign fails is failed, and the sentence says whose fault it is."""
    path = copied(published, tmp_path) / "manifest.json"
    document = json.loads(path.read_text())
    document["campaigns"][1]["idle"].pop()
    path.write_text(json.dumps(document))

    assert failures(tmp_path) == {15: "big: measured before alone"}


DROPPED: dict[str, Callable[[Evidence], Measurement]] = {
    "amid": lambda part: next(trial for trial in part.trials if trial.order == 5),
    "last": lambda part: next(trial for trial in reversed(part.trials) if not trial.warm_up),
    "warm-up": lambda part: next(trial for trial in part.trials if trial.warm_up),
}


@pytest.mark.parametrize("which", DROPPED)
def test_a_dropped_trial_is_missed(which: str, published: Path) -> None:
    """Without the journal the order of trials and the counts of cells still tell that one is gone."""
    part = read_evidence(published)[1]
    gone = DROPPED[which](part)

    finding = POINTS[26].check(replace(part, trials=tuple(trial for trial in part.trials if trial is not gone)))

    assert finding.status == "failed"


def test_changed_files_and_missing_sums_are_caught(published: Path, tmp_path: Path) -> None:
    """Files must be those of the publication's sums, and each raw file must be named by its own."""
    path = copied(published, tmp_path) / "README.md"
    path.write_text("better numbers")
    manifest = tmp_path / "manifest.json"

    assert failures(tmp_path) == {36: "not the files that were summed: README.md"}

    path.write_bytes((published / "README.md").read_bytes())
    document = json.loads(manifest.read_text())
    del document["campaigns"][0]["files"]["trials.jsonl"]
    manifest.write_text(json.dumps(document))
    assert failures(tmp_path) == {36: "small: no sum of the raw trials.jsonl"}


def test_rows_of_no_campaign_are_an_error(published: Path, tmp_path: Path) -> None:
    """A trial whose session no campaign has would be judged by no point, so it is refused as it is read."""
    path = copied(published, tmp_path) / "trials.parquet"
    trials = pl.read_parquet(path)
    trials[3, "session"] = 9
    trials.write_parquet(path)

    with pytest.raises(InputError, match="row 4, field 'session': is 9, and the campaigns have 3 sessions"):
        check_bundle(tmp_path)


def _power_w(part: Evidence, trial: Measurement) -> float:
    """Mean power of a window by its samples, 0 where it has none."""
    start_s, length_s = trial.started_at_s or 0.0, trial.window_s or 0.0
    inside = pl.col("at_s").is_between(start_s, start_s + length_s) & (pl.col("session") == trial.session)
    mean_w = part.samples.filter(inside)["power_w"].mean()
    return mean_w if isinstance(mean_w, float) else 0.0
