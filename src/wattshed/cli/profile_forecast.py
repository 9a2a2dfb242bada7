"""`wattshed profile --dry-run`: what a campaign will take, cell by cell and in all, before anything is measured."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wattshed.cli.engine_choice import DEFAULT_PRECISION
from wattshed.cli.frame import emit, table
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.cli.engine_choice import EngineChoice
    from wattshed.domain.plan import Interval
    from wattshed.predictors.fit import Pair, Ran
    from wattshed.profiler.campaign import Campaign
    from wattshed.profiler.design import Shape
    from wattshed.profiler.forecast import CostOf, Forecast, RequestCost, VisitForecast

NO_HOST: Final = "none"
"""The label of the host where none is asked for: a dry run leaves nothing behind, not even that."""

NO_PREDICTOR: Final = "nothing says what a query costs here; give --predictor FILE from a fit of a similar machine"
NOT_ALL: Final = "the predictor does not know every cell; for several queries at once fit with --kind batch"


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a forecast stands on: costs, where they come from, why there might be none, and how they are others."""

    cost_of: "CostOf"
    source: str | None
    unknown: str
    differences: tuple[str, ...] = ()


def show_forecast(
    campaign: "Campaign", choice: "EngineChoice", *, predictor: Path | None, before: Path | None, as_json: bool
) -> None:
    """Print the forecast of what is left, where `before` holds a campaign; nothing is measured and nothing written.

    Raises `UsageError` where the file holds several predictors and `--name` and `--model` do not say which, and where
    the campaign in `before` is another.
    """
    from wattshed.profiler.forecast import forecast

    basis = _basis(choice, predictor)
    over = frozenset() if before is None else _over(campaign, choice, before)
    foreseen = forecast(campaign, basis.cost_of, over)
    document = _document(campaign, foreseen, basis)
    emit(document, as_json=as_json, show=lambda console: _show(console, campaign, foreseen, basis))


def _over(campaign: "Campaign", choice: "EngineChoice", before: Path) -> frozenset[int]:
    """The visits that are over on this machine, by number; meters are not opened, so the channels are not compared."""
    from wattshed.cli.profile_rig import known_label
    from wattshed.profiler import journal

    path = before / journal.FILE
    if not path.exists() or path.stat().st_size == 0:
        return frozenset()
    record = journal.read_journal(path)
    kept = {name: value for name, value in record.settings.items() if name != "channels"}
    journal.refuse_other(kept, campaign.settings | choice.settings, path)
    label = known_label()
    return frozenset() if label is None else record.earlier(label).over


def _basis(choice: "EngineChoice", predictor: Path | None) -> _Basis:
    from wattshed.profiler.forecast import predicted_cost

    if predictor is None:
        if choice.kind == "synthetic":
            return _Basis(_true_cost, "the synthetic engine's own truth", "")
        return _Basis(lambda _: None, None, NO_PREDICTOR)
    from wattshed.predictors.file import load

    fitted = load(predictor)
    pair = _pair(tuple(fitted.predictors), choice, predictor)
    source = f"{fitted.kind} predictor of {pair[0]}, {pair[1]}, {fitted.channel} energy"
    differences = tuple(_differences(choice, fitted.ran[pair])) if pair in fitted.ran else ()
    return _Basis(predicted_cost(fitted.predictors[pair]), source, NOT_ALL, differences)


def _differences(choice: "EngineChoice", ran: "Ran") -> Iterator[str]:
    """What the predictor was measured with otherwise than the campaign would be, as far as both say."""
    settings = choice.settings
    kv_cache, precision = settings.get("kv_cache"), settings.get("precision")
    if choice.kind == "transformers" and precision is None:
        precision = DEFAULT_PRECISION
    if None not in (kv_cache, ran.kv_cache) and kv_cache != ran.kv_cache:
        yield f"it was measured {'with' if ran.kv_cache else 'without'} a KV cache"
    if None not in (precision, ran.precision) and precision != ran.precision:
        yield f"it was measured in {ran.precision}"
    words = {choice.kind, settings.get("configuration", choice.kind)}
    if ran.engine is not None and not words <= set(ran.engine.split()):
        yield f"it was measured on {ran.engine}"


def _pair(pairs: "tuple[Pair, ...]", choice: "EngineChoice", predictor: Path) -> "Pair":
    """The only pair of a file, or the one that `--name` and `--model` mean."""
    from wattshed.predictors.fit import resolve

    if len(pairs) == 1:
        return pairs[0]
    if choice.name is None or choice.model is None:
        known = "; ".join(", ".join(pair) for pair in pairs)
        raise UsageError(f"{predictor} holds {len(pairs)} predictors ({known}); say which with --name and --model")
    return resolve(pairs, choice.name, choice.model)


def _true_cost(shape: "Shape") -> "RequestCost":
    import numpy as np

    from wattshed.engines.engine import Request
    from wattshed.engines.synthetic import batched
    from wattshed.profiler.forecast import RequestCost

    true = batched(Request(shape.input_tokens, shape.output_tokens, shape.concurrency))
    return RequestCost(np.array([true.energy_j]), np.array([true.runtime_s]))


def _document(campaign: "Campaign", foreseen: "Forecast", basis: _Basis) -> dict[str, object]:
    return {
        "design": campaign.design.name,
        "reference": asdict(campaign.design.reference),
        "stopping": campaign.stopping.rule,
        "cells": [_cell(one) for one in foreseen.visits],
        "least_s": foreseen.least_s,
        "most_settle_s": foreseen.most_settle_s,
        **_expected(foreseen),
        "source": basis.source,
        "differences": list(basis.differences),
        "unknown": basis.unknown if foreseen.expected is None else None,
    }


def _cell(one: "VisitForecast") -> dict[str, object]:
    return {
        "experiment": one.visit.experiment,
        **asdict(one.visit.shape),
        "windows": one.windows,
        "least_s": one.least_s,
        **_expected(one),
        "extrapolated": one.extrapolated,
    }


def _expected(foreseen: "Forecast | VisitForecast") -> dict[str, object]:
    expected = foreseen.expected
    return {
        "duration_s": None if expected is None else expected.duration_s,
        "energy_j": None if expected is None else expected.energy_j,
    }


def _show(console: "Console", campaign: "Campaign", foreseen: "Forecast", basis: _Basis) -> None:
    if not foreseen.visits:
        console.print("Nothing is left to measure; without --dry-run the bundle would be written again.")
        return
    title = f"{len(campaign.design.shapes)} cells of {campaign.design.name}, in this order"
    if len(foreseen.visits) < len(campaign.visits):
        title = f"{len(foreseen.visits)} visits are left of {campaign.design.name}, in this order"
    cells = table(title, "cell", "windows", "time s", "energy J", "note", names=1)
    for one in foreseen.visits:
        cells.add_row(*_row(one))
    console.print(cells)
    console.print(f"Reference: {_reference(campaign)}.", soft_wrap=True)
    console.print(f"Stopping: {campaign.stopping.rule}. These are the fewest windows it takes.", soft_wrap=True)
    for line in _totals(foreseen, basis):
        console.print(line, soft_wrap=True)
    if basis.differences:
        console.print(f"Mind the predictor: {', and '.join(basis.differences)}.", style="yellow", soft_wrap=True)
    if _known_s(foreseen) > campaign.timeout_s:
        console.print("--campaign-timeout-s ends it before that; --resume goes on with the rest.", soft_wrap=True)


def _reference(campaign: "Campaign") -> str:
    """The reference cell, how often it is visited, and who chose it."""
    design, times = campaign.design, sum(visit.is_reference for visit in campaign.visits)
    chosen = "the middle of the design" if design.named_reference is None else "as named"
    return f"{design.reference}, {chosen}; {times} of {len(campaign.visits)} visits look for drift there"


def _row(one: "VisitForecast") -> tuple[str, ...]:
    cell = f"{one.visit.experiment} {one.visit.shape}"
    if one.expected is None:
        return cell, str(one.windows), f">= {one.least_s:g}", "", ""
    note = "extrapolated" if one.extrapolated else ""
    return cell, str(one.windows), _spoken(one.expected.duration_s), _spoken(one.expected.energy_j), note


def _totals(foreseen: "Forecast", basis: _Basis) -> tuple[str, ...]:
    from wattshed.units import kwh

    settling = f"plus at most {_lasting(foreseen.most_settle_s)} to settle"
    if foreseen.expected is None:
        least = f"Time: at least {_lasting(foreseen.least_s)}, {settling}; a query longer than a window adds to it."
        return least, f"Energy: unknown: {basis.unknown}."
    duration_s, energy_j = foreseen.expected.duration_s, foreseen.expected.energy_j
    return (
        f"Time: {_lasting_between(duration_s)}, with idle before and after, {settling}.",
        f"Energy: {_spoken(energy_j)} J, {_spoken(energy_j, kwh)} kWh, of the queries alone: no idle, no settling.",
        f"From: {basis.source}.",
    )


def _known_s(foreseen: "Forecast") -> float:
    """Seconds that it takes for all that is known."""
    return foreseen.least_s if foreseen.expected is None else foreseen.expected.duration_s.value


def _lasting(duration_s: float) -> str:
    """A time in the unit that people would choose."""
    unit, scaled = _unit(duration_s)
    return f"{_number(scaled(duration_s))} {unit}"


def _lasting_between(interval: "Interval") -> str:
    """A time with its bounds, in s and, where it is long, in the unit that people would choose."""
    unit, scaled = _unit(interval.value)
    spoken_s = f"{_spoken(interval)} s"
    return spoken_s if unit == "s" else f"{spoken_s}, {_spoken(interval, scaled)} {unit}"


def _unit(duration_s: float) -> tuple[str, Callable[[float], float]]:
    from wattshed.units import S_PER_H, S_PER_MIN, hours, minutes

    if duration_s < 2 * S_PER_MIN:
        return "s", float
    return ("min", minutes) if duration_s < 2 * S_PER_H else ("h", hours)


def _spoken(interval: "Interval", scaled: Callable[[float], float] = float) -> str:
    """A value with its bounds, unless it is exact."""
    value, lower, upper = (_number(scaled(bound)) for bound in (interval.value, interval.lower, interval.upper))
    return value if lower == value == upper else f"{value} ({lower} to {upper})"


def _number(value: float) -> str:
    """Three digits, and every one before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
