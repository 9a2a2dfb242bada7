"""Fit the predictors that ship with the gateway: the two machines that `wattshed serve --demo` imitates.

    python tools/demo_predictors.py

Writes `src/wattshed/gateway/settings/demo-predictors.json`: Llama-2 (7B) on M1-Pro and on Swing AMD+A100, fitted to
`bundled:wilkins2024` in the prefix form (no KV cache, as published) on the channel `total`. The resampled coefficients,
which only totals over a workload ask for, keep five digits, so that the file is small. A second run writes the same
bytes.
"""

from dataclasses import replace

import numpy as np

from wattshed.datasets.profiles import read_profile
from wattshed.gateway.settings.site import DEMO_PREDICTORS
from wattshed.predictors.curve import Curve
from wattshed.predictors.file import save
from wattshed.predictors.fit import fit

MODEL = "Llama-2 (7B)"
PAIRS = {("M1-Pro", MODEL), ("Swing AMD+A100", MODEL)}
DIGITS = 5


def main() -> None:
    """Fit, shorten, write."""
    fitted = fit(read_profile("bundled:wilkins2024"), only=PAIRS)
    shortened = {
        pair: replace(one, energy=_shortened(one.energy), runtime=_shortened(one.runtime))
        for pair, one in fitted.predictors.items()
    }
    save(replace(fitted, predictors=shortened), DEMO_PREDICTORS)
    print(f"wrote {DEMO_PREDICTORS} ({DEMO_PREDICTORS.stat().st_size:,} bytes)")


def _shortened(curve: Curve) -> Curve:
    rounded = [[float(f"{number:.{DIGITS}g}") for number in row] for row in curve.replicates]
    return replace(curve, replicates=np.array(rounded))


if __name__ == "__main__":
    main()
