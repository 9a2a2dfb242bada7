"""The checklist passes a sound bundle, and each of its points catches what it is there for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.profiler.cases import bundle, campaign, journalled, world
from wattshed.datasets.manifest import CampaignRecord, ChannelRecord
from wattshed.datasets.profiles import profile_directory
from wattshed.domain.measurement import Measurement
from wattshed.errors import InputError
from wattshed.profiler.bundle import Publication, write_bundle
from wattshed.profiler.checklist import POINTS, check_bundle, write_validation
from wattshed.profiler.design import Shape
from wattshed.profiler.evidence import Evidence, read_evidence
from wattshed.profiler.scrub import Identity
from wattshed.testing import Sensor

Tampering = Callable[[Evidence], Evidence]
CAMPAIGNS = Path(__file__).parents[2] / "campaigns"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with windows long enough to hold counter against samples."""
    return bundle(tmp_path_factory.mktemp("sound"), campaign(window_s=25.0), world())


@pytest.fixture(scope="module")
def unknown_sensor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of which nobody knows how accurate its sensor is."""
    return bundle(tmp_path_factory.mktemp("unknown"), campaign(), world(sensor=Sensor(tolerance=None)))


def first(change: Callable[[Measurement], dict[str, object]]) -> Tampering:
    """Change the first trial that counts."""

    def tampered(bundle: Evidence) -> Evidence:
        position = next(i for i, trial in enumerate(bundle.trials) if not trial.warm_up)
        trial = bundle.trials[position]
        changed = replace(trial, **change(trial))  # type: ignore[arg-type]  # fields by name
        return replace(bundle, trials=(*bundle.trials[:position], changed, *bundle.trials[position + 1 :]))

    return tampered


def record(change: Callable[[CampaignRecord], dict[str, object]]) -> Tampering:
    """Change the record of the campaign."""
    return lambda bundle: replace(bundle, campaign=bundle.campaign.model_copy(update=change(bundle.campaign)))


def first_cell(**changes: object) -> Tampering:
    """Change the first cell of the record."""

    def change(campaign_: CampaignRecord) -> dict[str, object]:
        return {"cells": (campaign_.cells[0].model_copy(update=changes), *campaign_.cells[1:])}

    return record(change)


def meter(**changes: object) -> Tampering:
    """Change the meter of the first session."""

    def change(campaign_: CampaignRecord) -> dict[str, object]:
        one = campaign_.sessions[0]
        return {"sessions": (one.model_copy(update={"meters": (one.meters[0].model_copy(update=changes),)}),)}

    return record(change)


def reason(code: str) -> Tampering:
    """Give the first trial a reason that its joules contradict."""
    return first(lambda trial: {"reasons": (*trial.reasons, code)})


def without(keep: Callable[[Measurement], bool]) -> Tampering:
    """Drop trials."""
    return lambda bundle: replace(bundle, trials=tuple(trial for trial in bundle.trials if keep(trial)))


TAMPERINGS: dict[int, Tampering] = {
    1: meter(certificate=None),
    2: first(lambda trial: {"reasons": ()}),
    3: first(lambda trial: {"energy_method": "TDP"}),
    4: reason("gpu_wrap_ambiguous"),
    5: reason("gpu_counter_reset"),
    6: reason("gpu_counter_frozen"),
    7: lambda bundle: meter(channels=bundle.campaign.sessions[0].meters[0].channels * 2)(bundle),
    8: first(lambda trial: {"gpu_energy_j": 1.2 * (trial.gpu_energy_j or 0.0)}),
    9: reason("gpu_sampling_gap"),
    10: reason("gpu_not_bracketed"),
    11: first(lambda trial: {"host_cpu_s": None}),
    13: without(lambda trial: not trial.warm_up),
    15: record(lambda campaign_: {"idle": campaign_.idle[:1]}),
    16: record(lambda campaign_: {"settings": campaign_.settings | {"seed": 8}}),
    17: record(lambda campaign_: {"cells": tuple(c for c in campaign_.cells if c.experiment != "reference")}),
    18: first(lambda trial: {"host_load": None}),
    20: first(lambda trial: {"output_tokens": 1}),
    21: first(lambda trial: {"cached_tokens": 3.0}),
    22: record(lambda campaign_: {"cells": campaign_.cells[1:]}),
    23: first_cell(runtime_half_width_s=0.001),
    24: first_cell(runtime_half_width_s=None),
    25: first(lambda trial: {"sensor_uncertainty": None}),
    26: first(lambda trial: {"gpu_energy_j": -1.0}),
    27: without(lambda trial: trial.order != 3),
    28: first_cell(stop_reason=""),
    30: first(lambda trial: {"idle_power_w": None}),
    33: lambda bundle: replace(bundle, trials=tuple(replace(trial, idle_power_w=None) for trial in bundle.trials)),
    34: first(lambda trial: {"boundary": "something else"}),
    35: record(lambda campaign_: {"settings_sha256": "0"}),
    36: first_cell(energy_j=1.0),
    37: first(lambda trial: {"boundary": "board of 10.1.2.3"}),
}
"""One thing that each point must catch; the others cannot fail on a bundle that was read."""


def test_a_sound_bundle_passes(sound: Path) -> None:
    """Every point of a sound bundle has passed or does not apply, and says so in a sentence."""
    verdicts = check_bundle(sound)

    assert [verdict.number for verdict in verdicts] == list(range(1, 39))
    assert [str(verdict) for verdict in verdicts if verdict.status == "failed"] == []
    assert all(verdict.sentence for verdict in verdicts)


@pytest.mark.parametrize("number", TAMPERINGS)
def test_each_point_catches_its_fault(number: int, sound: Path) -> None:
    """A bundle with the fault that a point is there for fails that point."""
    point = POINTS[number - 1]

    finding = point.check(TAMPERINGS[number](_evidence(sound)))

    assert point.number == number
    assert finding.status == "failed", finding.sentence


def test_a_changed_file_is_caught(tmp_path: Path) -> None:
    """Files that are not those of their sums fail point 36."""
    bundle(tmp_path)
    (tmp_path / "README.md").write_text("better numbers")

    failed = [verdict.number for verdict in check_bundle(tmp_path) if verdict.status == "failed"]

    assert failed == [36]


DAMAGES: dict[str, tuple[int, Tampering]] = {
    "no sums": (36, record(lambda campaign_: {"files": {}})),
    "no sessions": (36, record(lambda campaign_: {"sessions": ()})),
    "another end": (36, record(lambda campaign_: {"ended": "engine_gone"})),
    "no samples": (36, lambda bundle: replace(bundle, samples=bundle.samples.clear())),
    "half the samples": (36, lambda bundle: replace(bundle, samples=bundle.samples.head(bundle.samples.height // 2))),
    "a named host": (
        37,
        record(lambda c: {"sessions": tuple(one.model_copy(update={"host": "gandalf"}) for one in c.sessions)}),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bundle_that_departs_from_its_journal_is_caught(damage: str, sound: Path) -> None:
    """The journal is the source: what the bundle says otherwise, and who it names, fails."""
    number, tamper = DAMAGES[damage]

    assert POINTS[number - 1].check(tamper(_evidence(sound))).status == "failed"


def test_joules_without_a_meter_are_looked_at(sound: Path) -> None:
    """Taking the sessions out does not spare a bundle the points about meters."""
    evidence = record(lambda campaign_: {"sessions": ()})(_evidence(sound))

    assert POINTS[0].check(evidence).status == "failed"


def test_an_address_in_the_journal_is_found(tmp_path: Path) -> None:
    """The journal is published too, so it is searched too."""
    bundle(tmp_path)
    path = tmp_path / "trials.jsonl"
    path.write_text(path.read_text().replace('"note":null', '"note":"asked alice@example.org"', 1))

    assert 37 in [verdict.number for verdict in check_bundle(tmp_path) if verdict.status == "failed"]


def test_a_missing_journal_is_caught(tmp_path: Path) -> None:
    """Without the journal nobody can tell whether a trial was dropped, and the points that need it fail."""
    bundle(tmp_path)
    (tmp_path / "trials.jsonl").unlink()

    failed = [verdict.number for verdict in check_bundle(tmp_path) if verdict.status == "failed"]

    assert failed == [27, 36, 37]


@pytest.mark.parametrize("samples", [None, b"no table", pl.DataFrame({"watts": [1.0]})], ids=["gone", "text", "alien"])
def test_samples_that_cannot_be_read_are_an_error(samples: bytes | pl.DataFrame | None, tmp_path: Path) -> None:
    """Damaged samples are an input error with their place, like any other damaged file."""
    bundle(tmp_path)
    path = tmp_path / "samples.parquet"
    path.unlink()
    if isinstance(samples, bytes):
        path.write_bytes(samples)
    elif samples is not None:
        samples.write_parquet(path)

    with pytest.raises(InputError, match=r"samples\.parquet"):
        check_bundle(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "x"},
        {"cells": [[1, 2]]},
        {"cells": []},
        {"reference_every": 0},
        {"reference": [8, 0, 1]},
        {"reference": "8,8"},
    ],
)
def test_settings_that_make_no_sense_fail(change: dict[str, object], sound: Path) -> None:
    """Settings from which no order follows fail the points that need it, and nothing breaks."""
    evidence = record(lambda campaign_: {"settings": campaign_.settings | change})(_evidence(sound))

    with pytest.raises(InputError, match="settings of the campaign make no sense"):
        POINTS[15].check(evidence)


def test_a_named_reference_is_checked_like_any(tmp_path: Path) -> None:
    """A reference outside the design is planned, visited and told of its drift, and no point fails."""
    design = replace(campaign().design, named_reference=Shape(16, 16))
    bundle(tmp_path, campaign(design=design, window_s=25.0))

    verdicts = check_bundle(tmp_path)

    assert [str(verdict) for verdict in verdicts if verdict.status == "failed"] == []
    assert verdicts[16].sentence.startswith("3 visits to the reference cell")
    assert {t.requested_input_tokens for t in _evidence(tmp_path).trials if t.experiment == "reference"} == {16}


def test_another_reference_is_another_order(tmp_path: Path) -> None:
    """Settings that name a reference which nobody visited fail points 16 and 22."""
    evidence = record(lambda campaign_: {"settings": campaign_.settings | {"reference": [8, 9, 1]}})(
        _evidence(bundle(tmp_path))
    )

    assert [POINTS[point].check(evidence).status for point in (15, 21)] == ["failed", "failed"]


@pytest.mark.parametrize("raw", sorted(CAMPAIGNS.glob("*/*/manifest.json")), ids=lambda path: path.parent.name)
def test_raw_bundles_stay_valid(raw: Path) -> None:
    """Those of our campaigns pass, whose settings are from before a reference cell could be named."""
    assert [str(verdict) for verdict in check_bundle(raw.parent) if verdict.status == "failed"] == []


def test_a_cpu_only_bundle_is_valid(tmp_path: Path) -> None:
    """Without any meter the points about meters do not apply, and no other fails."""
    at = world()
    at.metered = False
    bundle(tmp_path, campaign(), at)

    assert {verdict.status for verdict in check_bundle(tmp_path)} == {"passed", "not applicable"}


def test_an_unknown_sensor_leaves_nothing_to_combine(unknown_sensor: Path) -> None:
    """Without a sensor's uncertainty point 25 does not apply and says what is left; all else is as sound as before."""
    verdicts = check_bundle(unknown_sensor)

    assert [str(verdict) for verdict in verdicts if verdict.status == "failed"] == []
    assert verdicts[24].status == "not applicable"
    assert verdicts[24].sentence == "no sensor's uncertainty is known; half-widths of energy are scatter alone"


def test_a_combined_width_without_a_sensor_is_made_up(unknown_sensor: Path) -> None:
    """A cell that stores a combined half-width although no sensor is known fails point 25, be it the scatter's own."""
    evidence = _evidence(unknown_sensor)
    scatter_j = evidence.campaign.cells[0].energy_half_width_j

    finding = POINTS[24].check(first_cell(combined_half_width_j=scatter_j)(evidence))

    assert finding.status == "failed"
    assert "combined half-widths that scatter and sensor do not give" in finding.sentence


def test_a_sensor_that_is_left_out_of_a_cell_is_caught(sound: Path) -> None:
    """A known sensor belongs into the combined half-width: one without it, or none at all, fails point 25."""
    evidence = _evidence(sound)
    scatter_j = evidence.campaign.cells[0].energy_half_width_j

    for width_j in (scatter_j, None):
        assert POINTS[24].check(first_cell(combined_half_width_j=width_j)(evidence)).status == "failed"


def test_cells_of_scatter_alone_are_counted(sound: Path) -> None:
    """Where one cell's sensor is not known point 25 passes, and its sentence leaves that cell out of its claim."""
    evidence = _evidence(sound)
    cell = evidence.campaign.cells[0]
    place = (cell.experiment, cell.input_tokens, cell.output_tokens)
    trials = tuple(
        replace(t, sensor_uncertainty=None)
        if (t.experiment, t.requested_input_tokens, t.requested_output_tokens) == place
        else t
        for t in evidence.trials
    )

    finding = POINTS[24].check(first_cell(combined_half_width_j=None)(replace(evidence, trials=trials)))

    assert finding.status == "passed"
    assert "2.9% beside the scatter of 4 cells; scatter alone in 1, whose sensor is not known" in finding.sentence


def test_the_verdicts_are_written(tmp_path: Path) -> None:
    """`validation.json` holds the counts and every point."""
    bundle(tmp_path)
    verdicts = write_validation(tmp_path)

    document: Any = json.loads((tmp_path / "validation.json").read_text())
    assert document["points"][0]["title"] == "meters are probed"
    assert sum(document["counts"].values()) == len(verdicts) == len(POINTS) == 38


def test_a_profile_from_elsewhere_has_no_checklist() -> None:
    """Published data that no campaign of ours made is not held against the points."""
    assert check_bundle(profile_directory("bundled:wilkins2024")) == ()


def test_an_unfinished_campaign_fails(tmp_path: Path) -> None:
    """A campaign that was broken off lacks its second idle, its cells and its drift."""
    journalled(tmp_path, campaign(), world(), events=8)
    write_bundle(tmp_path, Publication("small"))

    failed = {verdict.number for verdict in check_bundle(tmp_path) if verdict.status == "failed"}

    assert {15, 17, 22} <= failed


def _evidence(directory: Path) -> Evidence:
    (evidence,) = read_evidence(directory)
    return evidence


def test_two_halves_on_two_hosts_are_no_whole(tmp_path: Path) -> None:
    """Drift and cells are counted host by host: what one of them lacks, the other does not make good."""
    journalled(tmp_path, campaign(), world(), events=8)
    bundle(tmp_path, campaign(), world(host="host-00000002"))

    sentences = {verdict.number: verdict.sentence for verdict in check_bundle(tmp_path) if verdict.status == "failed"}

    assert "was visited once on host-00000001; drift needs two visits there" in sentences[17]
    assert "cells planned on host-00000001 are neither finished nor failed" in sentences[22]


def test_two_whole_campaigns_on_two_hosts_pass(tmp_path: Path) -> None:
    """Where each host came to its end, both say so."""
    journalled(tmp_path, campaign(), world())
    bundle(tmp_path, campaign(), world(host="host-00000002"))

    verdicts = check_bundle(tmp_path)

    assert {verdict.status for verdict in verdicts} == {"passed", "not applicable"}
    assert "host-00000001: 3 visits to the reference cell" in verdicts[16].sentence
    assert "host-00000002: 3 visits to the reference cell" in verdicts[16].sentence


def test_the_platform_needs_a_reason_too(sound: Path) -> None:
    """A meter of the whole machine whose joules are missing says why, in its trials or in its certificate."""
    evidence = _evidence(sound)
    facts = evidence.campaign.sessions[0].meters[0]
    plug = ChannelRecord(name="plug", part="platform", boundary="all of it")
    silent = {"channels": [{"channel": {"name": "plug"}, "reason": "counter_frozen"}]}

    mute = meter(channels=(*facts.channels, plug))(evidence)
    explained = meter(channels=(*facts.channels, plug), certificate=silent)(evidence)

    assert POINTS[1].check(mute).status == "failed"
    assert POINTS[1].check(explained).status == "passed"


@pytest.mark.parametrize("part", ["memory", "platform"])
def test_a_part_that_the_meter_failed_on_has_no_joules(part: str, sound: Path) -> None:
    """Points about meters look at all four parts: joules beside a reset of their counter are caught."""
    full = first(lambda trial: {f"{part}_energy_j": 1.0, "reasons": (*trial.reasons, f"{part}_counter_reset")})

    assert POINTS[4].check(full(_evidence(sound))).status == "failed"


def test_names_of_this_machine_are_found_in_what_was_said_to_it(tmp_path: Path) -> None:
    """The machine that measured knows its names; words of ours in tables and cards are not taken for them."""
    bundle(tmp_path)
    named, common = (
        Identity.of(["small"]),
        Identity.of(["max", "trials"]),
    )  # the title says small; columns say the others

    assert [v.sentence for v in check_bundle(tmp_path, named) if v.status == "failed"] == ["found: name"]
    assert [v.number for v in check_bundle(tmp_path, common) if v.status == "failed"] == []
