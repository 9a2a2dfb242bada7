"""The mean of several models' predictors on one system, as the paper averages over models."""

from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Integers
from wattshed.domain.choices import PredictorKind
from wattshed.domain.prediction import Expectation, Prediction, Totals
from wattshed.predictors.predictor import Predictor, Support


@dataclass(frozen=True, slots=True)
class MeanPredictor:
    """Implements the role by averaging its parts, whose errors are independent."""

    parts: tuple[Predictor, ...]

    @property
    def kind(self) -> PredictorKind:
        """The kind of the parts."""
        return self.parts[0].kind

    @property
    def monotone(self) -> bool:
        """Whether every part is."""
        return all(part.monotone for part in self.parts)

    @property
    def support(self) -> Support:
        """The range that every part was measured on."""
        ranges = [part.support for part in self.parts]
        return Support(
            max(each.min_input_tokens for each in ranges),
            min(each.max_input_tokens for each in ranges),
            max(each.min_output_tokens for each in ranges),
            min(each.max_output_tokens for each in ranges),
            min(each.max_total_tokens for each in ranges),
        )

    def predict(self, input_tokens: Integers, output_tokens: Integers) -> Prediction:
        """The mean prediction; extrapolated where any part is."""
        said = [part.predict(input_tokens, output_tokens) for part in self.parts]
        return Prediction(
            np.mean([each.energy_j for each in said], axis=0),
            np.mean([each.runtime_s for each in said], axis=0),
            np.sqrt(np.sum([each.energy_sd_j**2 for each in said], axis=0)) / len(said),
            np.sqrt(np.sum([each.runtime_sd_s**2 for each in said], axis=0)) / len(said),
            np.any([each.extrapolated for each in said], axis=0),
        )

    def expect(self, input_tokens: Integers, output_tokens: Integers) -> Expectation:
        """The mean expectation."""
        said = [part.expect(input_tokens, output_tokens) for part in self.parts]
        return Expectation(
            np.mean([each.energy_j for each in said], axis=0), np.mean([each.runtime_s for each in said], axis=0)
        )

    def totals(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Totals:
        """The mean totals, replicate by replicate."""
        said = [part.totals(input_tokens, output_tokens, queries) for part in self.parts]
        return Totals(
            np.mean([each.energy_j for each in said], axis=0), np.mean([each.runtime_s for each in said], axis=0)
        )
