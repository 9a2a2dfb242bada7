"""Points 1 to 12 of the checklist: the meter. One function a point, in order."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from wattshed.datasets.manifest import MeterRecord, SessionRecord
from wattshed.domain.energy import Part
from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import METER_REASONS, channel_reason
from wattshed.profiler.evidence import NO_METER, Evidence, Finding, beside_the_point, failed, judged, passed
from wattshed.profiler.pace import DISAGREEMENT, FEWEST_SAMPLES
from wattshed.profiler.trial import PARTS

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
    zero = [trial for trial in bundle.trials for part in PARTS if _energy_j(trial, part) == 0]
    metered = [set(_expected(session)) for session in bundle.campaign.sessions]
    parts = [(trial, metered[trial.session or 0] if metered else set()) for trial in bundle.trials]
    mute = [trial for trial, known in parts for part in PARTS if not _explained(trial, part, part in known)]
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


def _expected(session: SessionRecord) -> Iterator[Part]:
    """The parts that a session had a meter of, but for channels that their certificate already says no joules of."""
    for meter in session.meters:
        silent = _silent(meter)
        yield from (channel.part for channel in meter.channels if channel.name not in silent)


def _silent(meter: MeterRecord) -> set[str]:
    """The channels whose certificate holds a reason; whatever else a certificate is made of is passed over."""
    found = set()
    channels = (meter.certificate or {}).get("channels")
    for channel in channels if isinstance(channels, list) else []:
        match channel:
            case {"channel": {"name": str(name)}, "reason": str()}:
                found.add(name)
    return found


def _energy_j(trial: Measurement, part: Part) -> float | None:
    return {
        "gpu": trial.gpu_energy_j,
        "cpu": trial.cpu_energy_j,
        "memory": trial.memory_energy_j,
        "platform": trial.platform_energy_j,
    }[part]


def _explained(trial: Measurement, part: Part, metered: bool) -> bool:
    """Whether a part has joules or a reason; where memory or platform has no meter, as mostly, that needs none."""
    missing = _energy_j(trial, part) is None
    reasoned = bool({channel_reason(part, reason) for reason in METER_REASONS} & set(trial.reasons))
    return missing == reasoned or (missing and not metered and part in ("memory", "platform"))


def _void(bundle: Evidence, reason: str, words: str) -> Finding:
    """Whether trials with a meter's reason have no joules of that part."""
    if not bundle.has_meter:
        return beside_the_point(NO_METER)
    hit = [(t, part) for part in PARTS for t in bundle.trials if channel_reason(part, reason) in t.reasons]
    full = [trial for trial, part in hit if _energy_j(trial, part) is not None]
    return judged(not full, f"{len(hit)} windows in which the {words}, none with joules", f"{len(full)} bear joules")


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
