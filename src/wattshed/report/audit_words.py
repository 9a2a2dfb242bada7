"""The audit in words, generated from its numbers: every clause that a number can overturn has its other form."""

from wattshed.domain.plan import Interval
from wattshed.planner.audit import WORTH, Audit
from wattshed.planner.audit_pairs import INPUT_RULE, STATED_HOST_POWER_W, Waiting
from wattshed.planner.planning import OPTIMUM
from wattshed.report.words import bounds, in_percent_with_bounds
from wattshed.units import percent

IDLE_A100_W = 56.0
"""Power of an idle A100 board, by the authors' nvidia-smi log of the Swing node."""


def audit_paragraph(audited: Audit) -> str:
    """The audit in one paragraph that can be quoted; every figure comes from `audited`."""
    published = audited.published[0]
    threshold, optimum = audited.step("fault 6", INPUT_RULE), audited.step("fault 6", OPTIMUM)
    node = audited.step("fault 8", OPTIMUM)
    hosted, hosted_optimum = (audited.at_host_power(STATED_HOST_POWER_W, rule)[0] for rule in (INPUT_RULE, OPTIMUM))
    return (
        f"The published input threshold of {published.threshold_tokens} tokens is said to save "
        f"{percent(published.against_a100):.2f} % against A100 only ({percent(published.against_m1):.2f} % against M1 "
        f"only). On the real (input, output) pairs of {audited.pairs.workload.name} it "
        f"{effect(threshold.saving_against_a100)} against A100 only. The per-query optimum of the same two machines "
        f"{effect(optimum.saving_against_best)} against the best single system; once the measured A100 node that was "
        f"left out may serve too, it {effect(node.saving_against_best)}. With {STATED_HOST_POWER_W:g} W of host power "
        f"billed to the A100, the input threshold {effect(hosted.best_saving)} and the optimum "
        f"{effect(hosted_optimum.best_saving)}. {idle_words(audited.waits[0])}"
    )


def effect(saving: Interval) -> str:
    """What a saving amounts to: saves, costs, or cannot be told from nothing."""
    if saving.lower > WORTH:
        return f"saves {percent(saving.value):.2f} % ({bounds(saving)})"
    if saving.upper < -WORTH:
        return f"costs {percent(-saving.value):.2f} % more ({bounds(Interval(*_flipped(saving)))})"
    return f"makes no sure difference ({in_percent_with_bounds(saving)})"


def idle_words(wait: Waiting) -> str:
    """What idle power does to the optimum."""
    if wait.break_even_w is None or wait.idle_s is None or wait.replicas_to_match is None:
        return "The optimum leaves one machine without work, so idle power does not touch it."
    return (
        f"With one machine of each kind the faster one waits for the slower, and {wait.break_even_w:.1f} W of idle "
        f"power during that wait would eat the optimum's saving (an idle A100 board alone draws about "
        f"{IDLE_A100_W:.0f} W): it pays only where some {wait.replicas_to_match:.1f} of the slower machines stand "
        f"beside one of the faster."
    )


def _flipped(saving: Interval) -> tuple[float, float, float]:
    return -saving.value, -saving.upper, -saving.lower
