"""Points 13 to 22 of the checklist: the run. One function a point, in order."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from wattshed.datasets.manifest import CellRecord, FailureRecord
from wattshed.domain.measurement import Measurement
from wattshed.profiler.bundle import planned_visits
from wattshed.profiler.design import REFERENCE, Visit
from wattshed.profiler.evidence import NO_METER, Evidence, Finding, beside_the_point, failed, judged, passed


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
    otherwise = f"measured {min(known)} alone" if known else "never measured"
    return judged(known == {"before", "after"}, sentence, otherwise)


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
    """Point 17: the reference cell was visited more than once on each host; the drift is stated."""
    said = []
    for host in _hosts(bundle):
        runtimes_s = [
            t.runtime_s for t in bundle.measured if t.experiment == REFERENCE and (t.system.host or "") == host
        ]
        visits = sum(
            one.visits for one in bundle.campaign.cells if one.experiment == REFERENCE and (one.host or "") == host
        )
        if visits < 2:
            return failed(f"the reference cell was visited {_times(visits)} on {host}; drift needs two visits there")
        spread = (max(runtimes_s) - min(runtimes_s)) / float(np.mean(runtimes_s))
        said.append(f"{visits} visits to the reference cell; its runtime spread by {spread:.1%}")
    return passed(_by_host(bundle, said))


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
    """Point 22: on each host every planned cell was finished or failed for a reason, and no trial is there twice."""
    keys = [(_place(trial), trial.trial) for trial in bundle.trials]
    if len(set(keys)) < len(keys):
        return failed(f"{len(keys) - len(set(keys))} trials are there twice")
    planned = {_cell(visit) for visit in planned_visits(bundle.campaign.settings)}
    said = []
    for host in _hosts(bundle):
        failures = [one for one in bundle.campaign.failures if (one.host or "") == host]
        ends: list[CellRecord | FailureRecord] = [one for one in bundle.campaign.cells if (one.host or "") == host]
        ends += failures
        lost = planned - {(end.experiment, end.input_tokens, end.output_tokens, end.concurrency) for end in ends}
        if lost:
            return failed(f"{len(lost)} cells planned on {host} are neither finished nor failed; go on there")
        said.append(f"{len(planned)} cells, {len(failures)} failed, each with its reason")
    return passed(_by_host(bundle, said))


def _hosts(bundle: Evidence) -> list[str]:
    """The labels of all hosts that bear a trial, in order."""
    return list(dict.fromkeys(trial.system.host or "" for trial in bundle.trials))


def _by_host(bundle: Evidence, said: Sequence[str]) -> str:
    """A sentence for each host, with its label where there are several."""
    hosts = _hosts(bundle)
    return said[0] if len(hosts) == 1 else "; ".join(map(": ".join, zip(hosts, said, strict=True)))


def _times(number: int) -> str:
    return {0: "never", 1: "once"}.get(number, f"{number} times")


def _place(trial: Measurement) -> tuple[str | None, str, int, int, int]:
    tokens = (trial.requested_input_tokens, trial.requested_output_tokens, trial.system.concurrency)
    return (trial.system.host, trial.experiment, *tokens)


def _cell(visit: Visit) -> tuple[str, int, int, int]:
    shape = visit.shape
    return (visit.experiment, shape.input_tokens, shape.output_tokens, shape.concurrency)
