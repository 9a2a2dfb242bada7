"""The audit in words, generated from its numbers."""

from wattshed.planner.audit import Audit
from wattshed.planner.audit_pairs import INPUT_RULE, OPTIMUM, STATED_HOST_POWER_W
from wattshed.report.words import in_percent_with_bounds, sized
from wattshed.units import percent


def audit_paragraph(audited: Audit) -> str:
    """The audit in one paragraph that can be quoted; every figure comes from `audited`."""
    published = audited.published[0]
    threshold, optimum = audited.step("fault 6", INPUT_RULE), audited.step("fault 6", OPTIMUM)
    node = audited.step("fault 8", OPTIMUM)
    hosted = audited.at_host_power(STATED_HOST_POWER_W, INPUT_RULE)[0]
    hosted_optimum = audited.at_host_power(STATED_HOST_POWER_W, OPTIMUM)[0]
    idle = audited.idle[0]
    raises = "raises" if threshold.saving_against_a100.value < 0 else "lowers"
    survives = "still does not pay" if hosted.best_saving.upper < 0 else "may pay"
    return (
        f"The published input threshold of {published.threshold_tokens} tokens is said to save "
        f"{percent(published.against_a100):.2f} % against A100 only ({percent(published.against_m1):.2f} % against M1 "
        f"only). On {audited.pairs.workload.name}'s real (input, output) pairs it {raises} energy by "
        f"{sized(threshold.saving_against_a100)} against A100 only, because short prompts get long answers. The "
        f"per-query optimum of the same two machines saves {sized(optimum.saving_against_best)} against the best "
        f"single system, and {sized(node.saving_against_best)} once the measured A100 node left out may serve too. "
        f"With {STATED_HOST_POWER_W:g} W of host power billed to the A100, the input threshold {survives} "
        f"({in_percent_with_bounds(hosted.best_saving)}) and the optimum saves {sized(hosted_optimum.best_saving)}. "
        f"Idle power decides the rest: with one machine of each kind, an average of {idle.break_even_w:.1f} W per idle "
        f"second cancels the optimum's saving, unless {idle.replicas_to_match:.1f} M1s share the work of one."
    )
