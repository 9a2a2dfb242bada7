"""The effects in sentences made from the cells, extremes named by their shapes; no mean hides what the host paced."""

from collections.abc import Iterable, Sequence
from typing import Final

from wattshed.domain.system import System
from wattshed.report.effects import Batch, Contrast, Effect, Pair, Shape, TokenCost, known_ratios
from wattshed.report.effects_figures import SIDES
from wattshed.report.page import Table
from wattshed.report.profile_points import Point
from wattshed.units import milliseconds

_SIDE_NOUNS: Final[dict[Effect, tuple[str, str]]] = {
    "cache": ("without a KV cache", "with one"),
    "launch": ("with kernels launched one by one", "with a replayed graph"),
}


def contrast_words(contrast: Contrast, effect: Effect) -> str:
    """How far the two sides lie apart, where most and where least, and how many cells the host paced."""
    before, after = _SIDE_NOUNS[effect]
    known = known_ratios(contrast.pairs)
    sides = " and ".join(dict.fromkeys((contrast.before.name, contrast.after.name)))
    said = f"{contrast.after.model}, {counted(len(contrast.pairs), 'cell')} on both sides ({sides}). "
    if known:
        factors = _span((pair.joules_ratio or 0.0, pair.shape) for pair in (known[0], known[-1]))
        said += (
            f"An output token {before} takes {factors} times the joules that it takes {after}: "
            f"{'in the last, ' if len(known) > 1 else ''}{joules(known[-1].before)} against {joules(known[-1].after)}. "
        )
    ends = (end(contrast.pairs, key=lambda pair: pair.seconds_ratio) for end in (min, max))
    said += f"In time the factor is {_span((pair.seconds_ratio, pair.shape) for pair in ends)}. "
    return " ".join(filter(None, (said.rstrip(), _paced(contrast.pairs, before, after), _hosts(contrast))))


def batch_words(batch: Batch) -> str:
    """What requests in flight do to the joules of an output token, and what each of them waits for it."""
    first, last = batch.costs[0], batch.costs[-1]
    said = f"{whose(batch.system)}, {at(batch.shape)}: "
    said += f"from {first.runtime.at} to {last.runtime.at} requests in flight an output token goes "
    if first.energy is not None and last.energy is not None:
        ratio = first.energy.mean / last.energy.mean
        said += f"from {joules(first)} to {joules(last)}, {ratio:.1f} times less, and "
    slower = last.runtime.mean / first.runtime.mean
    said += f"from {time(first)} to {time(last)} for each who waits, {slower:.1f} times longer. "
    by_host = [str(cost.runtime.at) for cost in batch.costs if cost.host_bound]
    return said + (
        f"The host set the pace at {', '.join(by_host)} in flight." if by_host else "The device set the pace."
    )


def contrast_table(contrast: Contrast, effect: Effect) -> Table:
    """Every cell of a contrast."""
    before, after = SIDES[effect]
    header = (
        "m",
        "n",
        f"J {before}",
        f"J {after}",
        "ratio",
        f"ms {before}",
        f"ms {after}",
        "ratio",
        "paced by the host",
    )
    rows = [
        (
            *(str(tokens) for tokens in pair.shape),
            _value(pair.before.energy),
            _value(pair.after.energy),
            "–" if pair.joules_ratio is None else f"{pair.joules_ratio:.2f}",
            _value(pair.before.runtime, in_ms=True),
            _value(pair.after.runtime, in_ms=True),
            f"{pair.seconds_ratio:.2f}",
            _paced_sides(pair, before, after),
        )
        for pair in contrast.pairs
    ]
    return Table(f"An output token of {contrast.after.model}, cell by cell", header, rows, folded=True)


def batch_table(batches: Sequence[Batch]) -> Table:
    """Every cell of the batches."""
    rows = [
        (
            f"{whose(batch.system)}, {at(batch.shape)}",
            str(cost.runtime.at),
            _value(cost.energy),
            _value(cost.runtime, in_ms=True),
            "host" if cost.host_bound else "device",
        )
        for batch in batches
        for cost in batch.costs
    ]
    header = ("system and shape", "in flight", "J per output token", "ms per output token", "paced by")
    return Table("Requests in flight", header, rows, folded=True)


def _span(ends: Iterable[tuple[float, Shape]]) -> str:
    """The least and the greatest factor with their cells, or the only one."""
    return " to ".join(dict.fromkeys(f"{factor:.2f} {at(shape)}" for factor, shape in ends))


def _paced(pairs: Sequence[Pair], before: str, after: str) -> str:
    """How many cells of either side the host paced, and what remains once they are set aside."""
    counts = sum(pair.before.host_bound for pair in pairs), sum(pair.after.host_bound for pair in pairs)
    if not any(counts):
        return "The host set the pace of none."
    own = known_ratios([pair for pair in pairs if not (pair.before.host_bound or pair.after.host_bound)])
    said = (
        f"The host set the pace of {counts[0]} of {counted(len(pairs), 'cell')} {before} and of {counts[1]} {after}: "
    )
    if not own:
        return said + "in every pair a side tells of the host as well."
    if len(own) == 1:
        return said + f"in the one pair that it left to the device the factor in joules is {own[0].joules_ratio:.2f}."
    ratios = f"{own[0].joules_ratio:.2f} to {own[-1].joules_ratio:.2f}"
    return said + f"in the {len(own)} pairs that it left to the device, the factor in joules is {ratios}."


def _hosts(contrast: Contrast) -> str:
    if contrast.before.host == contrast.after.host:
        return ""
    return (
        "The two sides bear different host labels: if these are two hosts, the factors hold what differs between them."
    )


def _paced_sides(pair: Pair, before: str, after: str) -> str:
    sides = ((before, pair.before.host_bound), (after, pair.after.host_bound))
    return "; ".join(name for name, paced in sides if paced) or "neither"


def whose(system: System) -> str:
    """A system in a sentence: its model, its engine where it has one, and its name, which may be that of a host."""
    return f"{', '.join(filter(None, (system.model, system.engine)))} on {system.name}"


def at(shape: Shape) -> str:
    """A shape in a sentence."""
    return f"(m = {shape[0]}, n = {shape[1]})"


def counted(number: int, noun: str) -> str:
    """How many there are, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def joules(cost: TokenCost) -> str:
    """Joules of an output token."""
    return "unknown joules" if cost.energy is None else f"{cost.energy.mean:.3g} J"


def time(cost: TokenCost) -> str:
    """Milliseconds of an output token."""
    return f"{milliseconds(cost.runtime.mean):.3g} ms"


def _value(point: Point | None, *, in_ms: bool = False) -> str:
    """A mean with its half-width, or how little stands behind it."""
    if point is None:
        return "–"
    mean, half_width = (milliseconds(number) if in_ms else number for number in (point.mean, point.half_width or 0.0))
    if point.half_width is None:
        return f"{mean:.3g} (one trial)"
    return f"{mean:.3g} ± {half_width:.2g}" if half_width < 10 else f"{mean:.3g} ± {half_width:.0f}"
