"""What the flags of `wattshed profile` mean: lists of tokens, designs, the reference cell and stopping rules."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wattshed.datasets.defects import quoted
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from wattshed.profiler.design import Design
    from wattshed.profiler.stopping import Stopping


def design_of(design: str, *, input_tokens: str | None, output_tokens: str | None, concurrency: str | None) -> "Design":
    """The design that `--design` names, with the lists that it needs and no others."""
    from wattshed.profiler import design as designs

    lists = {"--input-tokens": input_tokens, "--output-tokens": output_tokens, "--concurrency": concurrency}
    needed = {"grid": ("--input-tokens", "--output-tokens"), "batch": tuple(lists)}.get(design, ())
    for flag, text in lists.items():
        if (text is None) == (flag in needed):
            raise UsageError(f"{flag}: {'give the counts of' if flag in needed else 'is not for'} design {design!r}")
    counts = [counted(flag, str(lists[flag])) for flag in needed]
    if design == "grid":
        return designs.grid(*counts)
    if design == "batch":
        return designs.batch(*counts)
    sweeps = {"paper-input": designs.paper_input, "paper-output": designs.paper_output}
    return sweeps[design]() if design in sweeps else designs.read_design(Path(design))


def with_reference(design: "Design", text: str | None) -> "Design":
    """The design with the reference cell that `--reference` names as `128,32` or `128,32,4`; as it is without one."""
    from wattshed.profiler.design import MOST, Shape, count

    if text is None:
        return design
    counts = [number for word in text.split(",") if (number := count(word)) is not None]
    if len(counts) not in (2, 3) or len(counts) <= text.count(","):
        problem = f"wants input tokens, output tokens and, if several, queries at once, each from 1 to {MOST:,}"
        raise UsageError(f"--reference {problem}, like 128,32 or 128,32,4; got {quoted(text)}")
    return replace(design, named_reference=Shape(*counts))


def counted(flag: str, text: str) -> tuple[int, ...]:
    """Counts as `8,32`, each once, and each of at least 1 and no more than any file of ours holds."""
    from wattshed.profiler.design import MOST, count

    counts = [count(word) for word in text.split(",")]
    known = tuple(number for number in counts if number is not None)
    if len(known) < len(counts) or len(set(known)) < len(known):
        raise UsageError(f"{flag} wants different counts from 1 to {MOST:,}, like 8,32; got {quoted(text)}")
    return known


def stopping_of(rule: str, trials: int | None) -> "Stopping":
    """The rule that `--stopping` names; `--trials` belongs to `fixed`."""
    from wattshed.profiler.stopping import Fixed, Paper, Relative

    if (trials is not None) != (rule == "fixed"):
        raise UsageError("--trials and --stopping fixed go together; give both or neither")
    if trials is not None:
        return Fixed(trials)
    return Paper() if rule == "paper" else Relative()
