"""Intervals of a mean over K windows: from scatter alone, and from scatter and sensor together.

Repeating a trial narrows what chance does; it does nothing for a sensor that is wrong by the same factor every time. So
the two are kept apart, and combined only at the end (JCGM 100:2008, sections 4.2, 4.3, 5.1 and annex G).
"""

import math
from functools import lru_cache

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.plan import Interval


def random_interval(values: Floats, *, level: float = 0.95) -> Interval:
    """Student's interval of the mean of K values, shape (K,), K at least 2: what chance alone leaves open."""
    mean, half = float(np.mean(values)), half_width(values, t_quantile(values.size - 1, level))
    return Interval(mean, mean - half, mean + half)


def combined_interval(values: Floats, sensor_uncertainty: float, *, level: float = 0.95) -> Interval:
    """The interval of the mean with the sensor's relative standard uncertainty added in quadrature.

    The sensor's part does not shrink with K. Degrees of freedom by Welch and Satterthwaite, the sensor's being infinite
    (JCGM 100:2008, equation G.2b).
    """
    mean, random = float(np.mean(values)), half_width(values, 1.0)
    combined = math.hypot(random, sensor_uncertainty * mean)
    freedom = (values.size - 1) * (combined / random) ** 4 if random > 0 else math.inf
    half = t_quantile(freedom, level) * combined
    return Interval(mean, mean - half, mean + half)


def half_width(values: Floats, quantile: float) -> float:
    """`quantile` standard errors of the mean of K values, shape (K,), K at least 2."""
    if values.size < 2:
        raise ValueError("one value has no standard deviation; measure at least two")
    return quantile * float(np.std(values, ddof=1)) / math.sqrt(values.size)


@lru_cache(maxsize=4096)
def t_quantile(freedom: float, level: float) -> float:
    """Student's quantile of a two-sided interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))
