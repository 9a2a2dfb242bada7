"""What `/v1/route` answers: where a request would go, why, and what every system would take for it."""

from wattshed.gateway.placing.placement import Placement
from wattshed.gateway.placing.pricing import Price

Document = dict[str, object]


def routed(placement: Placement) -> Document:
    """A placement as a document; systems that could not serve have their reason in the place of a price."""
    names, bars, prices = placement.desk.names, placement.bars, placement.prices
    shadow = placement.shadow
    return {
        "system": placement.decision.system,
        "policy": placement.decision.policy,
        "reason": placement.reason,
        "lambda": None if placement.objective is None else placement.objective.lam,
        "input_tokens": placement.ask.input_tokens,
        "output_tokens": _lengths(placement),
        "baseline": names[placement.baseline],
        "shadow": None if shadow is None else names[shadow],
        "candidates": [
            {"system": name, "barred": bars.get(position), **_price(placement, position, prices[position])}
            for position, name in enumerate(names)
        ],
    }


def _lengths(placement: Placement) -> Document:
    forecast = placement.ask.forecast
    return {"mean": forecast.mean, **{f"p{round(100 * p)}": forecast.quantile(p) for p in (0.05, 0.5, 0.95)}}


def _price(placement: Placement, position: int, price: Price | None) -> Document:
    if price is None:
        return {}
    return {
        "joules": price.energy_j,
        "lower_joules": price.energy_lower_j,
        "upper_joules": price.energy_upper_j,
        "seconds": price.runtime_s,
        "p95_seconds": price.runtime_p95_s,
        "ttft_seconds": placement.desk.ttft_s(placement.ask, placement.scene, position),
        "wait_seconds": price.wait_s,
        "wake_joules": price.wake_energy_j,
        "extrapolated": price.extrapolated,
    }
