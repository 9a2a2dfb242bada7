"""The price of one request on one system, with its intervals: what a dry run shows and what receipts are made of.

    energy_j   = sum of w_k E(m, n_k) over the K lengths of the forecast, marginal at the occupancy, plus the wake cost
    runtime_s  = wait_s + sum of w_k R(m, n_k)

An interval holds both unknowns. The length reaches from E(m, n at 2.5 %) to E(m, n at 97.5 %); the predictor is off by
its standard deviation. They are independent, so their distances from the mean are added in quadrature, either side by
itself. The 95th percentile of the runtime is found likewise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, log2
from typing import Final, NamedTuple

import numpy as np

from wattshed.domain.arrays import Integers
from wattshed.domain.plan import Interval
from wattshed.gateway.served import ServedSystem
from wattshed.gateway.tariff import Tariff
from wattshed.predictors.curve import Z_95
from wattshed.predictors.length import Forecast

Z_95_ONE_SIDED: Final = 1.645
"""95 % of a normal distribution lies below its mean plus so many standard deviations."""

_MOST_SPREADS: Final = 4096
"""Standard deviations kept; when there are more they are worked out again."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one request is predicted to cost on one system.

    `energy_j` includes `wake_energy_j`, and `runtime_s` is from arrival to last token, `wait_s` of which passes before
    the request is taken up. The energy has a 95 % interval. `ttft_s` is `None` where the predictor cannot tell.
    `extrapolated`: the mean of the forecast lies outside what was measured, or the company does.
    """

    energy_j: float
    energy_lower_j: float
    energy_upper_j: float
    runtime_s: float
    runtime_p95_s: float
    ttft_s: float | None
    extrapolated: bool
    wait_s: float = 0.0
    wake_energy_j: float = 0.0

    @property
    def service_s(self) -> Interval:
        """Its seconds without waiting; the 95 % interval is right where the length is known, and only R is not."""
        value_s = self.runtime_s - self.wait_s
        off_s = (self.runtime_p95_s - self.runtime_s) * Z_95 / Z_95_ONE_SIDED
        return Interval(value_s, max(0.0, value_s - off_s), value_s + off_s)


class _Lengths(NamedTuple):
    """What is asked of a tariff for one forecast: its points, and its 2.5, 97.5 and 95 % quantiles, and 1."""

    points: Integers
    mean: int


def _lengths(forecast: Forecast) -> _Lengths:
    """All quantiles of one point are that point; such a forecast serves one request, and is not kept."""
    if forecast.output_tokens.size == 1:
        n = int(forecast.output_tokens[0])
        return _Lengths(np.array((n, n, n, n, 1)), n)
    return _spread_lengths(forecast)


@lru_cache(maxsize=4096)
def _spread_lengths(forecast: Forecast) -> _Lengths:
    """Worked out once a forecast, which serves many requests."""
    low, high, p95 = (forecast.quantile(p) for p in (0.025, 0.975, 0.95))
    return _Lengths(np.append(forecast.output_tokens, (low, high, p95, 1)), max(1, round(forecast.mean)))


class _Spread(NamedTuple):
    """Standard deviations of energy and runtime, as fractions of them."""

    energy: float
    runtime: float


class Pricing:
    """Prices on each of `systems`, from one `tariff`."""

    def __init__(self, systems: Sequence[ServedSystem]) -> None:
        self._systems = systems
        self._batch = [system.batch for system in systems]
        self.tariff = Tariff(systems)
        self._spreads: dict[tuple[int, int, int, int], _Spread] = {}

    def price(
        self,
        position: int,
        input_tokens: int,
        forecast: Forecast,
        in_flight: int = 0,
        cached_tokens: int = 0,
        *,
        wait_s: float = 0.0,
        wake_energy_j: float = 0.0,
    ) -> Price:
        """The price on the system at `position` with `in_flight` requests running there."""
        occupancy = self._systems[position].occupancy(in_flight)
        lengths = _lengths(forecast)
        energy_j, runtime_s = self.tariff.points(
            position, input_tokens, lengths.points, occupancy=occupancy, cached_tokens=cached_tokens
        )
        mean_j, mean_s = float(forecast.weights @ energy_j[:-4]), float(forecast.weights @ runtime_s[:-4])
        output_tokens = lengths.mean
        spread = self._spread(position, occupancy, input_tokens, output_tokens)
        off_j, off_s = Z_95 * spread.energy * mean_j, Z_95_ONE_SIDED * spread.runtime * mean_s
        return Price(
            mean_j + wake_energy_j,
            max(0.0, mean_j - hypot(mean_j - float(energy_j[-4]), off_j)) + wake_energy_j,
            mean_j + hypot(float(energy_j[-3]) - mean_j, off_j) + wake_energy_j,
            wait_s + mean_s,
            wait_s + mean_s + hypot(max(0.0, float(runtime_s[-2]) - mean_s), off_s),
            wait_s + float(runtime_s[-1]) if self._systems[position].curves.monotone else None,
            self._extrapolated(position, occupancy, input_tokens, output_tokens),
            wait_s,
            wake_energy_j,
        )

    def _extrapolated(self, position: int, occupancy: int, input_tokens: int, output_tokens: int) -> bool:
        """Whether the point lies outside what was measured, in lengths or, where that matters, in company."""
        support, shape = self._systems[position].curves.support, (input_tokens, output_tokens)
        if self._batch[position] is None:
            return not support.holds(*shape)
        return not (support.holds(*shape, occupancy + 1) and support.holds(*shape, occupancy or 1))

    def _spread(self, position: int, occupancy: int, input_tokens: int, output_tokens: int) -> _Spread:
        """Relative standard deviations at the nearest point of a grid of half octaves: they change slowly."""
        company, shape = _step(occupancy + 1), (_step(input_tokens), _step(output_tokens))
        key = (position, company if self._batch[position] else 0, *shape)
        spread = self._spreads.get(key)
        if spread is None:
            if len(self._spreads) >= _MOST_SPREADS:
                self._spreads.clear()
            spread = self._spreads[key] = self._predicted_spread(*key)
        return spread

    def _predicted_spread(self, position: int, company: int, input_step: int, output_step: int) -> _Spread:
        occupancy, *shape = (round(2 ** (step / 2)) for step in (company, input_step, output_step))
        (m, n), occupancy = np.array(shape)[:, None], occupancy - 1
        system, batch = self._systems[position], self._batch[position]
        said = system.curves.predict(m, n) if batch is None else batch.marginal(m, n, occupancy=occupancy)
        energy_j, runtime_s = self.tariff.points(position, int(m[0]), n, occupancy=occupancy)[:, 0]
        energy_sd_j = hypot(float(said.energy_sd_j[0]), system.host_power_w * float(said.runtime_sd_s[0]))
        runtime_sd_s = float(said.runtime_sd_s[0])
        return _Spread(
            energy_sd_j / float(energy_j) if energy_j > 0 else 0.0,
            runtime_sd_s / float(runtime_s) if runtime_s > 0 else 0.0,
        )


def _step(count: int) -> int:
    """The nearest half octave."""
    return round(2 * log2(count))
