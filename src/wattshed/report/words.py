"""Sentences generated from numbers, so that no reader has to trust a remembered figure."""

from collections.abc import Iterator, Sequence
from typing import Final

from wattshed.domain.plan import Interval, Plan
from wattshed.planner.changes import IdleChange, Trade, idle_change, little_trade, power_changes
from wattshed.planner.evaluate import best_baseline
from wattshed.planner.planning import Planning
from wattshed.planner.published import PublishedSaving
from wattshed.units import hours, kwh, percent

CLAIMED_SAVING: Final = 0.075
"""The saving that the paper's abstract and conclusion state, as a fraction."""


LEAST_SAVING: Final = 0.001
"""Fraction of energy or time from which on it is worth saying what undoes or buys it: any power undoes less."""


def in_percent(fraction: float, digits: int = 2) -> str:
    """A fraction as people read it, with its sign: -0.182 is "-18.20 %"."""
    return f"{percent(fraction):+.{digits}f} %"


def in_percent_with_bounds(interval: Interval, digits: int = 2) -> str:
    """A fraction with the bounds of its 95 % interval."""
    lower, upper = percent(interval.lower), percent(interval.upper)
    return f"{in_percent(interval.value, digits)} [{lower:+.{digits}f}, {upper:+.{digits}f}]"


def claim_statement(savings: Sequence[PublishedSaving]) -> str:
    """What the published figures imply, and how far that is from the published claim."""
    implied = {
        f"{saving.figure} against {baseline}": fraction
        for saving in savings
        for baseline, fraction in (("A100 only", saving.against_a100), ("M1 only", saving.against_m1))
    }
    nearest = min(implied, key=lambda name: abs(implied[name] - CLAIMED_SAVING))
    every = ", ".join(f"{percent(fraction):.2f} % ({name})" for name, fraction in implied.items())
    return (
        f"The text's {percent(CLAIMED_SAVING):.1f} % is computed by no published rule. The published figures imply "
        f"{every}; the nearest is {percent(implied[nearest]):.2f} % ({nearest})."
    )


def plan_advice(planning: Planning) -> str:
    """The plan in a sentence or two: shares, energy, and the saving against the best single system."""
    chosen, best = planning.chosen, best_baseline(planning.chosen)
    shares = ", ".join(f"{percent(s.queries / chosen.queries):.1f} % to {s.system}" for s in chosen.shares)
    verdict = (
        f"It uses {percent(best.energy.value):.2f} % ({bounds(best.energy)}) less energy than {best.baseline} alone, "
        f"the best single system"
        if best.energy.lower > 0
        else f"No saving against {best.baseline} alone, the best single system, is certain"
        f" ({in_percent_with_bounds(best.energy)})"
    )
    return (
        f"Place {chosen.queries:,} queries of {chosen.workload} by {chosen.policy}: {shares}. {verdict}. "
        f"Energy {kwh(chosen.energy_j.value):.4g} kWh, mean runtime {chosen.mean_runtime_s:.3g} s, "
        f"95 % of queries within {chosen.p95_runtime_s:.3g} s, no waiting."
    )


def plan_changes(planning: Planning) -> list[str]:
    """What would change the plan's mind, a sentence each."""
    trade, idle = little_trade(planning), idle_change(planning)
    saved = {saving.baseline: saving.energy.value for saving in planning.chosen.savings}
    said = [] if trade is None else list(_trade_words(trade, planning.chosen))
    said += [
        f"If {change.system} draws {change.power_w:.3g} W ({percent(change.share):.2g} %) more while it serves than "
        f"its meters saw: then nothing is saved against {change.baseline} alone."
        for change in power_changes(planning)
        if saved[change.baseline] >= LEAST_SAVING
    ]
    if idle is not None and best_baseline(planning.chosen).energy.value >= LEAST_SAVING:
        said.append(_idle_words(idle))
    return said


def _trade_words(trade: Trade, chosen: Plan) -> Iterator[str]:
    """What a little energy buys, where that is worth a sentence."""
    before_s, less_s = chosen.mean_runtime_s, trade.less_runtime_s / chosen.queries
    if less_s >= LEAST_SAVING * before_s:
        more = percent(trade.more_energy_j / chosen.energy_j.value)
        yield (
            f"If a second is worth {trade.exchange_w:.3g} W to you: {more:.2g} % more energy brings the mean runtime "
            f"from {before_s:.3g} to {before_s - less_s:.3g} s (--exchange-w {trade.exchange_w:.3g})."
        )


def _idle_words(change: IdleChange) -> str:
    return (
        f"If machines that have served their share wait for {change.last}, which takes {hours(change.horizon_s):.3g} h "
        f"for its own, and each draws {change.power_w:.3g} W as it waits, {hours(change.waiting_s):.3g} h in all: then "
        f"nothing is saved against {change.baseline} alone."
    )


def bounds(interval: Interval, digits: int = 2) -> str:
    """The bounds of an interval of fractions."""
    lower, upper = percent(interval.lower), percent(interval.upper)
    return f"95 % interval {lower:.{digits}f} to {upper:.{digits}f}"
