"""The price of one request on one system, with its intervals: what a dry run shows and what receipts are made of.

    energy_j   = sum of w_k E(m, n_k) over the K lengths of the forecast, marginal at the occupancy, plus the wake cost
    runtime_s  = wait_s + sum of w_k R(m, n_k)

An interval holds both unknowns. The length reaches from E(m, n at 2.5 %) to E(m, n at 97.5 %); the predictor is off by
its standard deviation. They are independent, so their distances from the mean are added in quadrature, either side by
itself. The 95th percentile of the runtime is found likewise.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import hypot, log2
from typing import Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.tariff import Cost, Lengths, Tariff
from wattshed.predictors.curve import Z_95
from wattshed.predictors.length import Forecast

Z_95_ONE_SIDED: Final = 1.645
"""95 % of a normal distribution lies below its mean plus so many standard deviations."""

_MOST_OFFS: Final = 4096
"""Points of the grid that are kept; when there are more they are worked out again."""


class Price(msgspec.Struct, frozen=True):
    """What one request is predicted to cost on one system; made three times a request.

    `energy_j` includes `wake_energy_j`, and `runtime_s` is from arrival to last token, `wait_s` of which passes before
    the request is taken up. The energy has a 95 % interval.
    `extrapolated`: the mean of the forecast lies outside what was measured, or the company does.
    """

    energy_j: float
    energy_lower_j: float
    energy_upper_j: float
    runtime_s: float
    runtime_p95_s: float
    extrapolated: bool
    wait_s: float = 0.0
    wake_energy_j: float = 0.0

    @property
    def service_s(self) -> tuple[float, float, float]:
        """Its seconds without waiting, and their 95 % interval; right where the length is known, and only R is not."""
        value_s = self.runtime_s - self.wait_s
        off_s = (self.runtime_p95_s - self.runtime_s) * Z_95 / Z_95_ONE_SIDED
        return value_s, max(0.0, value_s - off_s), value_s + off_s


@lru_cache(maxsize=4096)
def _lengths(forecast: Forecast) -> Lengths:
    """Worked out once a forecast, which serves many requests."""
    low, high, p95 = (forecast.quantile(p) for p in (0.025, 0.975, 0.95))
    return Lengths(low, high, p95, max(1, round(forecast.mean)))


class Moment(msgspec.Struct, frozen=True):
    """What the system is doing when a request comes: who runs there, and the wait and the joules before it is up."""

    in_flight: int = 0
    wait_s: float = 0.0
    wake_energy_j: float = 0.0


IDLE: Final = Moment()


class _Off(NamedTuple):
    """How far a predictor may be off, in energy either side and in runtime above, as fractions of them."""

    energy: float
    runtime: float


_Corner: TypeAlias = tuple[int, int, int, int]
"""A point of the grid: the position of a system, and half octaves of its company and of both lengths."""


class Pricing:
    """Prices on each of `systems`, from one `tariff`."""

    def __init__(self, systems: Sequence[ServedSystem]) -> None:
        self._systems = systems
        self._batch = [system.batch for system in systems]
        self._company = [batch is not None for batch in self._batch]
        self._monotone = [system.curves.monotone for system in systems]
        self._supports = [system.curves.support for system in systems]
        self.tariff = Tariff(systems)
        self._offs: dict[_Corner, _Off] = {}

    def price(
        self,
        position: int,
        input_tokens: int,
        forecast: Forecast,
        moment: Moment = IDLE,
        *,
        cached_tokens: int = 0,
        mean: Cost | None = None,
    ) -> Price:
        """The price on the system at `position`; `mean` is what it costs there on average, if that is known already."""
        if forecast.output_tokens.size == 1:
            n = int(forecast.output_tokens[0])
            return self.price_of(position, input_tokens, n, moment, cached_tokens=cached_tokens)
        occupancy, lengths = self._systems[position].occupancy(moment.in_flight), _lengths(forecast)
        if mean is None:
            points = self.tariff.points(
                position, input_tokens, forecast.output_tokens, occupancy=occupancy, cached_tokens=cached_tokens
            )
            mean = Cost(*points.dot(forecast.weights).tolist())
        ends = self.tariff.ends(position, input_tokens, lengths, occupancy=occupancy, cached_tokens=cached_tokens)
        (off_energy, off_runtime), measured = self._at(position, occupancy, input_tokens, lengths.mean)
        wait_s, wake_energy_j, mean_j, mean_s = moment.wait_s, moment.wake_energy_j, mean.energy_j, mean.runtime_s
        off_j = off_energy * mean_j
        return Price(
            mean_j + wake_energy_j,
            max(0.0, mean_j - hypot(mean_j - ends.low_j, off_j)) + wake_energy_j,
            mean_j + hypot(ends.high_j - mean_j, off_j) + wake_energy_j,
            wait_s + mean_s,
            wait_s + mean_s + hypot(max(0.0, ends.p95_s - mean_s), off_runtime * mean_s),
            not measured,
            wait_s,
            wake_energy_j,
        )

    def price_of(
        self, position: int, input_tokens: int, output_tokens: int, moment: Moment = IDLE, *, cached_tokens: int = 0
    ) -> Price:
        """The price of a request whose length is known."""
        occupancy = self._systems[position].occupancy(moment.in_flight)
        mean = self.tariff.cost(position, input_tokens, output_tokens, occupancy=occupancy, cached_tokens=cached_tokens)
        (off_energy, off_runtime), measured = self._at(position, occupancy, input_tokens, output_tokens)
        wait_s, wake_energy_j, mean_j, mean_s = moment.wait_s, moment.wake_energy_j, mean.energy_j, mean.runtime_s
        off_j = off_energy * mean_j
        return Price(
            mean_j + wake_energy_j,
            max(0.0, mean_j - off_j) + wake_energy_j,
            mean_j + off_j + wake_energy_j,
            wait_s + mean_s,
            wait_s + mean_s + off_runtime * mean_s,
            not measured,
            wait_s,
            wake_energy_j,
        )

    def ttft_s(
        self, position: int, input_tokens: int, moment: Moment = IDLE, *, cached_tokens: int = 0
    ) -> float | None:
        """Seconds to the first token; `None` where the predictor cannot tell."""
        if not self._monotone[position]:
            return None
        occupancy = self._systems[position].occupancy(moment.in_flight)
        first = self.tariff.cost(position, input_tokens, 1, occupancy=occupancy, cached_tokens=cached_tokens)
        return moment.wait_s + first.runtime_s

    def _at(self, position: int, occupancy: int, input_tokens: int, output_tokens: int) -> tuple[_Off, bool]:
        """How far the predictor may be off at these lengths, and whether they and the company were measured.

        It is as far off as at the nearest point of a grid of half octaves: that changes slowly.
        """
        support, lengths = self._supports[position], (input_tokens, output_tokens)
        if not self._company[position]:
            company, measured = 0, support.holds(*lengths)
        else:
            company = _step(occupancy + 1)
            measured = support.holds(*lengths, occupancy + 1) and support.holds(*lengths, occupancy or 1)
        corner = position, company, _step(input_tokens), _step(output_tokens)
        return self._offs.get(corner) or self._off(corner), measured

    def _off(self, corner: _Corner) -> _Off:
        """How far off it may be at a point of the grid, kept for the next who comes near it."""
        if len(self._offs) >= _MOST_OFFS:
            self._offs.clear()
        off = self._offs[corner] = self._predicted_off(corner)
        return off

    def _predicted_off(self, corner: _Corner) -> _Off:
        position, *steps = corner
        occupancy, *shape = (round(2 ** (step / 2)) for step in steps)
        (m, n), occupancy = np.array(shape)[:, None], occupancy - 1
        system, batch = self._systems[position], self._batch[position]
        said = system.curves.predict(m, n) if batch is None else batch.marginal(m, n, occupancy=occupancy)
        mean = self.tariff.cost(position, int(m[0]), int(n[0]), occupancy=occupancy)
        energy_sd_j = hypot(float(said.energy_sd_j[0]), system.host_power_w * float(said.runtime_sd_s[0]))
        runtime_sd_s = float(said.runtime_sd_s[0])
        return _Off(
            Z_95 * energy_sd_j / mean.energy_j if mean.energy_j > 0 else 0.0,
            Z_95_ONE_SIDED * runtime_sd_s / mean.runtime_s if mean.runtime_s > 0 else 0.0,
        )


@lru_cache(maxsize=8192)
def _step(count: int) -> int:
    """The nearest half octave."""
    return round(2 * log2(count))
