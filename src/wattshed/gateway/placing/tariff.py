"""What a request costs on all systems at once, expected over the forecast of its length, in some ten microseconds.

An expectation sum of w_k E(m, n_k) over K lengths need not be taken length by length and system by system:

    batch, regression   polynomials of the second degree in n, so that E[n] and E[n^2] suffice:
                        E = coefficients . (1, m, m^2, E[n], m E[n], E[n^2])
    prefix              E(m, n) = E(0, m + n) - (E(0, m) - E(0, 0)), as it sums over prefixes:
                        rows of a table, made once and looked up
    table               is asked length by length

so one product with the weights looks up, and where not all systems are prefix ones, another with the coefficients
brings both costs of all.

The coefficients of a batch predictor are those of the *marginal* request at the occupancy of the moment, host power
included for the seconds by which it prolongs the node's work: `occupied` says how many run on each system.

Of the input only what is not cached is computed: c cached tokens save p1 c + p2 c^2 of a prefill under the batch form.
The other kinds were fitted to engines that reran the whole prefix at every step, and so c saves nothing there.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, cast

import msgspec
import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.polynomials import bilinear, marginal, polynomial, prefill, usable
from wattshed.predictors.length import Forecast

_FIRST_LENGTHS: Final = 4096
"""Prefix lengths that the table starts with; it doubles when a longer request comes, up to the largest context."""


class Cost(msgspec.Struct, frozen=True):
    """Energy and service time of one request on one system."""

    energy_j: float
    runtime_s: float


class Expected(msgspec.Struct, frozen=True):
    """Energy and service time on each system by position, and the mean output length behind them."""

    energy_j: list[float]
    runtime_s: list[float]
    output_tokens: float


class Lengths(NamedTuple):
    """What is asked for one forecast: its quantiles at 2.5, 97.5 and 95 %, and its mean, in tokens."""

    low: int
    high: int
    p95: int
    mean: int


class Ends(msgspec.Struct, frozen=True):
    """Joules at both ends of the lengths, and seconds at their 95 % quantile."""

    low_j: float
    high_j: float
    p95_s: float


class Tariff:
    """Expected energy and runtime on each of `systems` as they are occupied now."""

    def __init__(self, systems: Sequence[ServedSystem]) -> None:
        self._systems = systems
        self._batch = [system.batch for system in systems]
        self._prefix = [at for at, system in enumerate(systems) if system.curves.kind == "prefix"]
        self._column = {position: column for column, position in enumerate(self._prefix)}
        self._polynomial = {at for at, system in enumerate(systems) if system.curves.kind in {"batch", "regression"}}
        self._asked = [at for at, system in enumerate(systems) if system.curves.kind == "table"]
        self._company = [at for at, batch in enumerate(self._batch) if batch is not None]
        self._in_flight = [0] * len(systems)
        self._known: dict[tuple[int, int], Floats] = {}
        self._scalars: dict[tuple[int, int], tuple[tuple[float, ...], ...]] = {}
        self._reach = 1 + max(system.context_tokens for system in systems)
        self._extend(_FIRST_LENGTHS)
        self._mixing = self._unmixed()
        self._terms = np.ones(self._mixing.shape[1])  # the first moment is 1, and the others are written over
        self._looked_up = self._terms[:-6]
        for position in self._polynomial:
            self._mix(position, 0)

    def occupied(self, in_flight: Sequence[int]) -> None:
        """Take it from now on that so many run on each system, and that a new request would be among them."""
        for position in self._company:
            running = in_flight[position]
            if running != self._in_flight[position]:
                self._in_flight[position] = running
                self._mix(position, self._systems[position].occupancy(running))

    def expected(self, input_tokens: int, forecast: Forecast, cached_tokens: Mapping[int, int]) -> Expected:
        """Energy and runtime on every system; `cached_tokens` has the positions that hold a part of the input.

        Lengths beyond every context are cut there, as an engine would.
        """
        systems, start = len(self._systems), min(input_tokens, self._reach - 1)
        if start + forecast.longest >= len(self._upto):
            self._reach_to(start + forecast.longest)
            forecast = forecast.cut(self._reach - 1 - start)
        # Rows from `start` on, and not sums of two lengths: a view takes a fifth of the time of an addition.
        costs = self._looked_up
        forecast.weights.dot(self._upto[start:].take(forecast.output_tokens, 0, None, "clip"), costs)
        costs -= self._from[start]
        if len(self._prefix) < systems:
            costs = self._mixed(input_tokens, forecast, cached_tokens)
        found = costs.tolist()
        return Expected(found[:systems], found[systems:], forecast.mean)

    def _mixed(self, input_tokens: int, forecast: Forecast, cached_tokens: Mapping[int, int]) -> Floats:
        """The costs of all systems, shape (2 S,), of which those of prefix systems have been looked up.

        They are one product of `_mixing` and the terms: each prefix system's E, each one's R, and the moments.
        """
        m, n, systems, terms = input_tokens, forecast.mean, len(self._systems), self._terms
        terms[-5], terms[-4], terms[-3], terms[-2], terms[-1] = m, m * m, n, m * n, _mean_square(forecast)
        costs: Floats = self._mixing.dot(terms)
        if cached_tokens:
            self._save(costs, input_tokens, cached_tokens)
        for position in self._asked:
            costs[position::systems] = self.points(position, input_tokens, forecast.output_tokens).dot(forecast.weights)
        return costs

    def cost(
        self, position: int, input_tokens: int, output_tokens: int, *, occupancy: int = 0, cached_tokens: int = 0
    ) -> Cost:
        """The same as `points` of one length, in a tenth of the time: plain floats, and no arrays of one or two."""
        columns = self._columns.get(position)
        if columns is not None:
            start, stop = input_tokens, input_tokens + output_tokens
            if stop >= len(columns[0]):
                self._reach_to(stop)
                columns = self._columns[position]
                start, stop = (min(length, len(columns[0]) - 1) for length in (start, stop))
            energy_j, runtime_s = columns
            return Cost(
                energy_j[stop] - (energy_j[start] - energy_j[0]), runtime_s[stop] - (runtime_s[start] - runtime_s[0])
            )
        if position not in self._polynomial:
            return Cost(*self.points(position, input_tokens, np.array([output_tokens]))[:, 0].tolist())
        m, n = input_tokens, output_tokens
        cached = 0 if self._batch[position] is None else usable(cached_tokens, m)
        energy, runtime = self._plain(position, occupancy)
        return Cost(polynomial(energy, m, n, cached), polynomial(runtime, m, n, cached))

    def ends(
        self, position: int, input_tokens: int, lengths: Lengths, *, occupancy: int = 0, cached_tokens: int = 0
    ) -> Ends:
        """What `cost` says of the ends of a forecast, of which only this much is wanted."""
        m, (low, high, p95, _) = input_tokens, lengths
        if position in self._polynomial:
            cached = 0 if self._batch[position] is None else usable(cached_tokens, m)
            energy, runtime = self._plain(position, occupancy)
            return Ends(
                polynomial(energy, m, low, cached),
                polynomial(energy, m, high, cached),
                polynomial(runtime, m, p95, cached),
            )
        columns = self._columns.get(position)
        if columns is None or m + high >= len(columns[0]):  # a table predictor, or beyond our own
            low_cost, high_cost, p95_cost = (self.cost(position, m, n) for n in (low, high, p95))
            return Ends(low_cost.energy_j, high_cost.energy_j, p95_cost.runtime_s)
        energy_j, runtime_s = columns
        before_j, before_s = energy_j[m] - energy_j[0], runtime_s[m] - runtime_s[0]
        return Ends(energy_j[m + low] - before_j, energy_j[m + high] - before_j, runtime_s[m + p95] - before_s)

    def points(
        self, position: int, input_tokens: int, output_tokens: Integers, *, occupancy: int = 0, cached_tokens: int = 0
    ) -> Floats:
        """Energy (row 0) and runtime (row 1) on one system at each of N output lengths, shape (2, N)."""
        if position in self._column:
            return self._of_prefix(position, input_tokens, output_tokens)
        m, n, system = np.full(output_tokens.shape, input_tokens), output_tokens, self._systems[position]
        if position not in self._polynomial:
            said = system.curves.expect(m, n)
            return np.array([said.energy_j + system.host_power_w * said.runtime_s, said.runtime_s])
        coefficients = self._coefficients(position, occupancy)
        costs: Floats = coefficients @ np.array([np.ones(n.size), m, m * m, n, m * n, n * n], np.float64)
        if self._batch[position] is not None:
            costs -= prefill(coefficients, usable(cached_tokens, input_tokens))[:, None]
        return costs

    def _of_prefix(self, position: int, input_tokens: int, output_tokens: Integers) -> Floats:
        """Costs on one prefix system at each of N output lengths, shape (2, N)."""
        prefixes = len(self._prefix)
        columns = slice(self._column[position], 2 * prefixes, prefixes)  # its E, and its R
        self._reach_to(input_tokens + int(output_tokens.max()))
        ends = self._upto.take(output_tokens + input_tokens, 0, mode="clip")[:, columns]
        costs: Floats = ends - self._from[min(input_tokens, self._reach - 1), columns]
        return costs.T

    def _mix(self, position: int, occupancy: int) -> None:
        """Put into the mixing what a request costs on this system among so many others."""
        columns = slice(2 * len(self._prefix), None)
        self._mixing[position :: len(self._systems), columns] = self._coefficients(position, occupancy)

    def _unmixed(self) -> Floats:
        """The mixing of the terms, shape (2 S, 2 P + 6), that looks prefix systems up and knows no others yet."""
        prefix, systems = len(self._prefix), len(self._systems)
        mixing = np.zeros((2 * systems, 2 * prefix + 6))
        for position, column in self._column.items():
            mixing[position, column] = mixing[systems + position, prefix + column] = 1
        return mixing

    def _reach_to(self, length: int) -> None:
        if length >= len(self._upto) < self._reach:
            self._extend(length + 1)

    def _extend(self, lengths: int) -> None:
        """Make the table so long or longer, a power of two, but no longer than the largest context.

        It comes twice: E(0, L) for where a request ends, and E(0, L) - E(0, 0) for where it starts.
        """
        length = np.arange(min(1 << (lengths - 1).bit_length(), self._reach))
        energies, runtimes = [], []
        for position in self._prefix:
            curves, host_power_w = self._systems[position].curves, self._systems[position].host_power_w
            from_nothing = curves.expect(np.zeros_like(length), length)
            energies.append(from_nothing.energy_j + host_power_w * from_nothing.runtime_s)
            runtimes.append(from_nothing.runtime_s)
        self._upto = np.column_stack([*energies, *runtimes]) if energies else np.zeros((length.size, 0))
        self._from = self._upto - self._upto[0]
        # Views of the same numbers: reading one takes 0.05 us, and no array is made of it.
        energy_j, runtime_s = self._upto.T[: len(self._prefix)], self._upto.T[len(self._prefix) :]
        self._columns: dict[int, tuple[memoryview[float], memoryview[float]]] = {
            position: (_view(energy_j[column]), _view(runtime_s[column])) for position, column in self._column.items()
        }

    def _coefficients(self, position: int, occupancy: int) -> Floats:
        """Of the six moments in energy (row 0) and runtime (row 1), shape (2, 6); worked out once an occupancy."""
        key = (position, occupancy)
        known = self._known.get(key)
        if known is None:
            system, batch = self._systems[position], self._batch[position]
            known = bilinear(system) if batch is None else marginal(batch, occupancy)
            known[0] += system.host_power_w * known[2]
            known = self._known[key] = known[:2]
        return known

    def _plain(self, position: int, occupancy: int) -> tuple[tuple[float, ...], ...]:
        """`_coefficients` as floats."""
        known = self._scalars.get((position, occupancy))
        if known is None:
            rows = self._coefficients(position, occupancy).tolist()
            known = self._scalars[position, occupancy] = tuple(map(tuple, rows))
        return known

    def _save(self, costs: Floats, input_tokens: int, cached_tokens: Mapping[int, int]) -> None:
        """Take off the costs, shape (2 S,), what caches save: m and m^2 stand in columns -5 and -4 of the mixing."""
        for position, cached in cached_tokens.items():
            if self._batch[position] is not None:
                per_token, per_square = self._mixing[position :: len(self._systems), -5:-3].T
                tokens = usable(cached, input_tokens)
                costs[position :: len(self._systems)] -= per_token * tokens + per_square * float(tokens) ** 2


@lru_cache(maxsize=4096)
def _mean_square(forecast: Forecast) -> float:
    """E[n^2], worked out once a forecast, which serves many requests."""
    return float(forecast.weights @ forecast.output_tokens.astype(np.float64) ** 2)


def _view(floats: Floats) -> "memoryview[float]":
    """The same numbers, read as plain floats; numpy's own types take every buffer for one of integers."""
    return cast("memoryview[float]", floats.data)
