"""Predictors of systems without a meter: seconds from the ledger, joules from the predictor that there was before.

They hold where both were measured, and nowhere else.
"""

from dataclasses import replace

import numpy as np

from wattshed.errors import InputError
from wattshed.gateway.ledger.refitting import Lessons
from wattshed.predictors.curve import CurvePredictor
from wattshed.predictors.fit import Fitted
from wattshed.predictors.predictor import Support


def completed(fitted: Fitted, lessons: Lessons) -> Fitted:
    """The fit to the lessons, in which whoever taught seconds only has the joules of `base`."""
    predictors, skipped = dict(fitted.predictors), dict(fitted.skipped)
    for pair in lessons.seconds_only:
        if pair not in predictors and pair not in skipped:  # fits tell namesakes apart, and a base does not
            problem = f"{pair[0]} answered for {pair[1]} in several variants, and its joules are known for one"
            raise InputError(problem, path=lessons.profile.name, fix="read later rows only, with --since")
        if pair in predictors and lessons.base is not None:
            try:
                predictors[pair] = _combined(predictors.pop(pair), lessons.base.predictors[pair])
            except ValueError as error:
                skipped[pair] = str(error)
    return replace(fitted, predictors=dict(sorted(predictors.items())), skipped=skipped)


def _combined(seconds: CurvePredictor, joules: CurvePredictor) -> CurvePredictor:
    """The runtime of one and the energy of the other, where both were measured; ValueError where that is nowhere."""
    ours, theirs = seconds.support, joules.support
    if seconds.kind == "batch" and ours.concurrencies != theirs.concurrencies:
        raise ValueError(f"its joules were measured with {theirs.concurrencies} in flight, not {ours.concurrencies}")
    shared = Support(
        max(ours.min_input_tokens, theirs.min_input_tokens),
        min(ours.max_input_tokens, theirs.max_input_tokens),
        max(ours.min_output_tokens, theirs.min_output_tokens),
        min(ours.max_output_tokens, theirs.max_output_tokens),
        min(ours.max_total_tokens, theirs.max_total_tokens),
        ours.concurrencies,
    )
    if not shared.inside(np.array(shared.min_input_tokens), np.array(shared.min_output_tokens)):
        raise ValueError("its seconds and joules were never measured at the same lengths")
    return replace(seconds, energy=joules.energy, support=shared)
