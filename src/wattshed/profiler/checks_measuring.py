"""Points 1 to 22 of the checklist: the meter, and the run. One function a point, in order."""

from collections import Counter
from itertools import groupby, pairwise
from typing import Final

import numpy as np
import polars as pl

from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import METER_REASONS, channel_reason
from wattshed.profiler.bundle import planned_visits
from wattshed.profiler.design import REFERENCE, Visit
from wattshed.profiler.evidence import Evidence, Finding, beside_the_point, failed, judged, passed
from wattshed.profiler.pace import DISAGREEMENT, FEWEST_SAMPLES

NO_METER: Final = "there was no meter"
NO_SAMPLES: Final = "no meter sampled power"

BLUR: Final = 0.02
"""How far means over half a second may move the integral of a window: by up to 1 % in 81 windows on an H100 (measured).
"""


def probed(bundle: Evidence) -> Finding:
    """Point 1: each meter has its certificate."""
    meters = {meter.name: meter.certificate for session in bundle.campaign.sessions for meter in session.meters}
    if not bundle.has_meter:
        return beside_the_point(NO_METER)
    if not meters:
        return failed(f"{len(bundle.metered)} trials bear joules, and no session had a meter")
    bare = [name for name, certificate in meters.items() if certificate is None]
    return judged(not bare, f"certificates of {', '.join(meters)}", f"no certificate of {', '.join(bare)}")


def missing_is_none(bundle: Evidence) -> Finding:
    """Point 2: an energy that is not there has a reason, and none is 0."""
    zero = [trial for trial in bundle.trials if trial.gpu_energy_j == 0 or trial.cpu_energy_j == 0]
    mute = [trial for trial in bundle.trials for part in ("gpu", "cpu") if not _explained(trial, part)]
    gaps = sum(trial.gpu_energy_j is None or trial.cpu_energy_j is None for trial in bundle.trials)
    otherwise = f"{len(mute)} energies are missing without a reason, and {len(zero)} are 0"
    return judged(not zero and not mute, f"{gaps} trials lack a part, each with its reason", otherwise)


def nothing_estimated(bundle: Evidence) -> Finding:
    """Point 3: every joule was counted or integrated."""
    methods = {trial.energy_method for trial in bundle.metered}
    if not methods:
        return beside_the_point(NO_METER)
    measured = all(method and ("counter" in method or "integral" in method) for method in methods)
    said = "; ".join(sorted(str(method) for method in methods))
    return judged(measured, f"joules by {said}", f"an energy came by {said}")


def wraps_exact(bundle: Evidence) -> Finding:
    """Point 4: no joules where a counter may have wrapped twice, and none below 0."""
    return _void(bundle, "wrap_ambiguous", "counter wrapped beyond telling")


def resets_void(bundle: Evidence) -> Finding:
    """Point 5: no joules where a counter started again."""
    return _void(bundle, "counter_reset", "counter started again")


def frozen_void(bundle: Evidence) -> Finding:
    """Point 6: no joules where a counter stood still."""
    return _void(bundle, "counter_frozen", "counter stood still")


def counted_once(bundle: Evidence) -> Finding:
    """Point 7: no channel twice in a session."""
    if not bundle.has_meter:
        return beside_the_point(NO_METER)
    twice = [
        name
        for session in bundle.campaign.sessions
        for name, times in Counter(channel.name for meter in session.meters for channel in meter.channels).items()
        if times > 1
    ]
    return judged(not twice, f"{len(bundle.channels)} channels, each once", f"counted twice: {', '.join(twice)}")


def counter_against_integral(bundle: Evidence) -> Finding:
    """Point 8: where counted joules and integrated power differ by more than 5 %, the trial says so."""
    ratios = [(trial, ratio) for trial in bundle.measured if (ratio := _ratio(bundle, trial)) is not None]
    if not ratios:
        return beside_the_point("no counter has enough power samples beside it")
    most = DISAGREEMENT if bundle.is_raw else DISAGREEMENT + BLUR
    silent = [t for t, ratio in ratios if abs(ratio - 1) > most and "counter_disagrees" not in t.reasons]
    median = float(np.median([ratio for _, ratio in ratios]))
    sentence = f"integral over counter is {median:.3f} (median of {len(ratios)} trials)"
    return judged(not silent, sentence, f"{len(silent)} trials disagree and do not say so; {sentence}")


def gaps_recorded(bundle: Evidence) -> Finding:
    """Point 9: how far samples lie apart; too far, and the window has no joules."""
    gaps_s = [later - sooner for times in _times_s(bundle) for sooner, later in pairwise(times)]
    if not gaps_s:
        return beside_the_point(NO_SAMPLES)
    void = _void(bundle, "sampling_gap", "samples lay too far apart")
    between = "" if bundle.is_raw else " between means"
    return Finding(void.status, f"longest gap within a window{between} {max(gaps_s):.2f} s; {void.sentence}")


def bracketed(bundle: Evidence) -> Finding:
    """Point 10: no joules of a window without readings on both sides."""
    return _void(bundle, "not_bracketed", "window was not bracketed")


def observer_billed(bundle: Evidence) -> Finding:
    """Point 11: what the profiler itself took of the processor is stated."""
    known = [trial.host_cpu_s for trial in bundle.trials if trial.host_cpu_s is not None]
    length_s = sum(trial.window_s or 0.0 for trial in bundle.trials)
    sentence = f"profiler and its children took {sum(known) / max(length_s, 1e-9):.2f} cores"
    return judged(len(known) == len(bundle.trials), sentence, "its processor time was not recorded")


def units_typed(bundle: Evidence) -> Finding:
    """Point 12: columns carry their units; the schema was checked as the bundle was read."""
    return passed(f"{len(bundle.trials)} rows in the columns of the schema")


def warmed_up(bundle: Evidence) -> Finding:
    """Point 13: each cell was warmed up, and whether heat had settled is recorded."""
    cells = bundle.campaign.cells
    cold = len(cells) - len({_place(trial) for trial in bundle.trials if trial.warm_up})
    settled = Counter({True: "settled", False: "did not settle in time", None: "unknown"}[one.settled] for one in cells)
    said = ", ".join(f"{number} {word}" for word, number in settled.items())
    return judged(cold <= 0, f"all cells warmed up; heat: {said}", f"{cold} cells without a warm-up")


def heat_traced(bundle: Evidence) -> Finding:
    """Point 14: temperature, clock and throttling were sampled."""
    samples = bundle.samples.drop_nulls(["temperature_c", "clock_mhz"])
    if samples.is_empty():
        return beside_the_point("no sensor told temperature and clock")
    throttled = sum("throttled" in trial.reasons for trial in bundle.measured)
    hottest = max(samples["temperature_c"].to_list())
    return passed(f"{samples.height} samples, up to {hottest:.0f} degrees, {throttled} trials throttled")


def idle_measured(bundle: Evidence) -> Finding:
    """Point 15: idle power with the model loaded, before and after."""
    if not bundle.has_meter:
        return beside_the_point(NO_METER)
    idle = bundle.campaign.idle
    known = {one.when for one in idle if any(watts is not None for watts in one.power_w.values())}
    watts = [f"{part} {w:.1f} W" for one in idle for part, w in one.power_w.items() if w is not None]
    sentence = f"{', '.join(watts)}, {idle[0].state if idle else ''}"
    return judged(known == {"before", "after"}, sentence, f"measured only {', '.join(known) or 'never'}")


def random_order(bundle: Evidence) -> Finding:
    """Point 16: cells came in the order that the recorded seed gives."""
    expected = [_cell(visit) for visit in planned_visits(bundle.campaign.settings)]
    for number in range(len(bundle.campaign.sessions)):
        trials = [trial for trial in bundle.trials if trial.session == number]
        seen = [_place(trial)[1:] for trial in sorted(trials, key=lambda trial: trial.order or 0)]
        visited = [place for place, _ in groupby(seen)]
        places = iter(expected)
        if not all(place in places for place in visited):  # each is looked for behind the one before it
            return failed(f"session {number} does not follow the order of seed {bundle.campaign.settings['seed']}")
    return passed(f"{len(expected)} visits in the order of seed {bundle.campaign.settings['seed']}")


def drift_watched(bundle: Evidence) -> Finding:
    """Point 17: the reference cell was visited more than once; the drift is stated."""
    runtimes_s = [trial.runtime_s for trial in bundle.measured if trial.experiment == REFERENCE]
    visits = sum(cell.visits for cell in bundle.campaign.cells if cell.experiment == REFERENCE)
    if visits < 2:
        return failed(f"the reference cell was visited {visits} times; drift needs two")
    spread = (max(runtimes_s) - min(runtimes_s)) / float(np.mean(runtimes_s))
    return passed(f"{visits} visits to the reference cell; its runtime spread by {spread:.1%}")


def neighbours_checked(bundle: Evidence) -> Finding:
    """Point 18: who else kept the host busy."""
    unknown = sum(trial.host_load is None for trial in bundle.trials)
    busy = sum("busy_host" in trial.reasons for trial in bundle.measured)
    return judged(unknown == 0, f"{busy} trials beside other work on the host", f"{unknown} trials without host load")


def cap_recorded(bundle: Evidence) -> Finding:
    """Point 19: the power limit."""
    limits = bundle.samples["power_limit_w"].drop_nulls().unique().sort()
    if limits.is_empty():
        return beside_the_point("no sensor told a power limit")
    return passed(f"power limit {', '.join(f'{watts:.0f} W' for watts in limits)}")


def tokens_achieved(bundle: Evidence) -> Finding:
    """Point 20: fewer or more tokens than asked for are marked."""
    off = [trial for trial in bundle.trials if trial.output_tokens != trial.requested_output_tokens]
    silent = [trial for trial in off if not {"short_output", "long_output"} & set(trial.reasons)]
    sentence = f"{len(off)} trials with other tokens than asked for"
    return judged(not silent, sentence, f"{len(silent)} of them do not say so")


def caches_measured(bundle: Evidence) -> Finding:
    """Point 21: prompts that a cache answered are marked."""
    known = [trial for trial in bundle.trials if trial.cached_tokens is not None]
    if not known:
        return beside_the_point("the engine does not say")
    hits = [trial for trial in known if trial.cached_tokens]
    marked = all("cache_hit" in trial.reasons for trial in hits)
    return judged(marked, f"{len(hits)} of {len(known)} trials with cache hits", "cache hits are not marked")


def all_accounted(bundle: Evidence) -> Finding:
    """Point 22: every planned cell was finished or has failed for a reason, and no trial is there twice."""
    keys = [(_place(trial), trial.trial) for trial in bundle.trials]
    ends = [(one.experiment, one.input_tokens, one.output_tokens, one.concurrency) for one in bundle.campaign.cells]
    ends += [(o.experiment, o.input_tokens, o.output_tokens, o.concurrency) for o in bundle.campaign.failures]
    planned = {_cell(visit) for visit in planned_visits(bundle.campaign.settings)}
    lost = planned - set(ends)
    if len(set(keys)) < len(keys):
        return failed(f"{len(keys) - len(set(keys))} trials are there twice")
    sentence = f"{len(planned)} cells, {len(bundle.campaign.failures)} failed, each with its reason"
    return judged(not lost, sentence, f"{len(lost)} planned cells are neither finished nor failed")


def _explained(trial: Measurement, part: str) -> bool:
    energy_j = trial.gpu_energy_j if part == "gpu" else trial.cpu_energy_j
    codes = {channel_reason(part, reason) for reason in METER_REASONS}
    return (energy_j is None) == bool(codes & set(trial.reasons))


def _void(bundle: Evidence, reason: str, words: str) -> Finding:
    """Whether trials with a meter's reason have no joules of that part."""
    if not bundle.has_meter:
        return beside_the_point(NO_METER)
    hit = {part: [t for t in bundle.trials if channel_reason(part, reason) in t.reasons] for part in ("gpu", "cpu")}
    full = [t for t in hit["gpu"] if t.gpu_energy_j is not None] + [t for t in hit["cpu"] if t.cpu_energy_j is not None]
    number = len(hit["gpu"]) + len(hit["cpu"])
    return judged(not full, f"{number} windows in which the {words}, none with joules", f"{len(full)} bear joules")


def _window(bundle: Evidence, trial: Measurement) -> pl.DataFrame:
    """Samples of a trial's window."""
    start_s = trial.started_at_s or 0.0
    inside = pl.col("at_s").is_between(start_s, start_s + (trial.window_s or 0.0))
    return bundle.samples.filter(inside & (pl.col("session") == trial.session))


def _times_s(bundle: Evidence) -> list[list[float]]:
    """Instants of the samples, window by window and channel by channel."""
    windows = [_window(bundle, trial) for trial in bundle.measured]
    return [frame["at_s"].to_list() for window in windows for frame in window.partition_by("channel")]


def _ratio(bundle: Evidence, trial: Measurement) -> float | None:
    """Integrated over counted joules of the accelerators in a window; `None` where they cannot be compared."""
    if trial.gpu_energy_j is None or "gpu counter" not in (trial.energy_method or ""):
        return None
    names = {channel.name for channel in bundle.channels if channel.part == "gpu" and channel.inside is None}
    power_w = 0.0
    for frame in _window(bundle, trial).filter(pl.col("channel").is_in(list(names))).partition_by("channel"):
        at_s = frame["at_s"].to_numpy()
        if at_s.size < FEWEST_SAMPLES or at_s[-1] <= at_s[0]:
            return None
        power_w += float(np.trapezoid(frame["power_w"].to_numpy(), at_s)) / float(at_s[-1] - at_s[0])
    counted_j = trial.gpu_energy_j * (trial.window_queries or 1)
    return power_w * (trial.window_s or 0.0) / counted_j if power_w and counted_j else None


def _place(trial: Measurement) -> tuple[str | None, str, int, int, int]:
    tokens = (trial.requested_input_tokens, trial.requested_output_tokens, trial.system.concurrency)
    return (trial.system.host, trial.experiment, *tokens)


def _cell(visit: Visit) -> tuple[str, int, int, int]:
    shape = visit.shape
    return (visit.experiment, shape.input_tokens, shape.output_tokens, shape.concurrency)
