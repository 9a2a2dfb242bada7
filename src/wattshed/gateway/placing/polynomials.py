"""Costs that are polynomials of the second degree in m and n: their coefficients, and what they come to.

The moments are 1, m, m^2, n, m n and n^2, in this order. The batch form and the regression are such polynomials.
"""

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.predictors.batch import BatchPredictor, runtime_basis
from wattshed.predictors.regression import BilinearBasis

_M, _MM = 1, 2
"""Positions of m and m^2 among the moments: what caching saves."""


def usable(cached_tokens: int, input_tokens: int) -> int:
    """An engine computes one token at least, for it needs its output."""
    return max(0, min(cached_tokens, input_tokens - 1))


def polynomial(coefficients: tuple[float, ...], input_tokens: int, output_tokens: int, cached_tokens: int) -> float:
    """One row of coefficients at a request's lengths, less what a cache saves of the prefill."""
    one, a, aa, b, ab, bb = coefficients
    m, n, c = input_tokens, output_tokens, cached_tokens
    whole = one + a * m + aa * m * m + b * n + ab * m * n + bb * n * n
    return whole - (a * c + aa * c * c) if c else whole


def prefill(coefficients: Floats, tokens: int) -> Floats:
    """What the first `tokens` of a prompt add to a prefill, one entry a row of coefficients."""
    saved: Floats = coefficients[:, _M] * tokens + coefficients[:, _MM] * float(tokens) ** 2
    return saved


def marginal(batch: BatchPredictor, occupancy: int) -> Floats:
    """Coefficients of the marginal energy, of the runtime, and of the seconds added to the node, shape (3, 6).

    The same as `BatchPredictor.marginal`: energy of the batch with the request less that without it.
    """
    energy, runtime, support = batch.fitted.energy, batch.fitted.runtime, batch.fitted.support
    together = runtime_basis(support, occupancy + 1).mixing
    added = together - runtime_basis(support, occupancy).mixing if occupancy else together
    five = np.array([added @ energy.coefficients, together @ runtime.coefficients, added @ runtime.coefficients])
    return np.column_stack([five, five[:, 4] / 2])  # the fifth moment is n (m + n / 2)


def bilinear(system: ServedSystem) -> Floats:
    """The same for the regression, which knows nothing of company."""
    energy, runtime = system.curves.energy, system.curves.runtime
    assert isinstance(energy.basis, BilinearBasis)
    rows = np.zeros((3, 6))
    rows[:, [1, 3, 4]] = [energy.coefficients, runtime.coefficients, runtime.coefficients]
    return rows
