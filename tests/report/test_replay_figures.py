"""The figure of a replay: every request once, and those that were fitted on apart."""

import numpy as np

from wattshed.domain.replay import Replay
from wattshed.report.replay_figures import replay_figure


def test_fitted_and_predicted_requests_are_told_apart() -> None:
    """Each panel shows the line of no error, the fitted requests and the predicted ones."""
    # given
    instants = np.arange(5.0)
    log = Replay(np.full(5, 8), np.full(5, 3), instants, instants, instants + 0.5, instants + 1.5)
    # when
    figure = replay_figure(log, log, fitted=np.arange(5) < 2)
    # then
    assert len(figure.axes) == 3
    for axes in figure.axes:
        sizes = {line.get_label(): np.size(line.get_xdata()) for line in axes.lines}
        assert (sizes["fitted"], sizes["predicted"]) == (2, 3)
