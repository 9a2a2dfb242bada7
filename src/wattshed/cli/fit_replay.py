"""`wattshed fit --replay`: a measured log of one engine, fitted on its beginning and predicted to its end."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wattshed.cli.frame import emit, stderr, table
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from wattshed.predictors.steps_fit import StepFit
    from wattshed.simulator.replay import Comparison

SHOWN_SEQUENCES: Final = (1, 8, 32, 128, 512)
SHOWN_TOKENS: Final = 1000
"""What a step is shown for: so many sequences with so long a context, and one prompt as long."""


@dataclass(frozen=True, slots=True)
class ReplayLog:
    """A log of requests, how many of its first to fit (half, where it is not said), and the slots where known."""

    path: Path
    fit_on: int | None = None
    slots: int | None = None

    @classmethod
    def chosen(
        cls, path: Path | None, fit_on: int | None, slots: int | None, *, beside: Iterable[object]
    ) -> "ReplayLog | None":
        """The log where one is given; `UsageError` for something else to fit `beside` it, or for its flags alone."""
        if path is not None and any(other is not None for other in beside):
            raise UsageError("--replay fits a log of requests; leave out the profile, and --ledger with its flags")
        for flag, given in (("--fit-on", fit_on), ("--slots", slots)):
            if path is None and given is not None:
                raise UsageError(f"{flag} is for --replay; leave it out")
        return None if path is None else cls(path, fit_on, slots)

    def judged(self, *, as_json: bool) -> None:
        """Fit the beginning of the log, simulate all of it, and print how far the rest is off.

        `InputError` and `MissingError` for the file, `UsageError` for numbers that do not suit it.
        """
        import numpy as np

        from wattshed.datasets.replays import read_replay
        from wattshed.predictors.steps_fit import LEAST_REQUESTS
        from wattshed.simulator.replay import compared, fit_replay, served_again

        log = read_replay(self.path)
        fit_on = max(len(log) // 2, min(len(log), LEAST_REQUESTS)) if self.fit_on is None else self.fit_on
        with stderr().status("Fitting the steps of the engine"):
            fit = fit_replay(log, fit_on=fit_on, slots=self.slots)
        fitted, again = np.arange(len(log)) < fit_on, served_again(log, fit)
        parts = {"fitted": fitted, "held_out": ~fitted}
        errors = {name: list(compared(log, again, rows)) for name, rows in parts.items() if rows.any()}
        told = {"replay": str(self.path), "requests": len(log), "fitted_requests": fit_on}
        slots = fit.operation.slots if fit.operation.slots < len(log) else None
        told |= {"slots": slots} | _document(fit, errors)
        emit(told, as_json=as_json, show=lambda console: _show(console, fit, errors, slots))


def _document(fit: "StepFit", errors: "dict[str, list[Comparison]]") -> dict[str, object]:
    return {
        "chunk_tokens": fit.operation.chunk_tokens,
        "latency_s": fit.latency_s,
        "misfit": fit.misfit,
        "runtime": asdict(fit.runtime),
        "errors": {name: [asdict(one) | {"error": one.error} for one in of] for name, of in errors.items()},
    }


def _show(console: "Console", fit: "StepFit", errors: "dict[str, list[Comparison]]", slots: int | None) -> None:
    """Print the errors, and what the steps come to."""
    from wattshed.units import percent

    console.print(_errors(errors))
    console.print(_steps(fit))
    chunk_tokens = fit.operation.chunk_tokens
    reads = "any number of prompt tokens" if chunk_tokens is None else f"at most {chunk_tokens} prompt tokens"
    held = "slots were never full" if slots is None else f"{slots} slots"
    console.print(f"{held}; a step reads {reads}; misfit {percent(fit.misfit):.2f} % of a request's time")


def _errors(errors: "dict[str, list[Comparison]]") -> "Table":
    from wattshed.units import percent

    shown = table("mean times, measured and simulated", "requests", "time", "measured", "simulated", "error", names=2)
    for name, of in errors.items():
        for one in of:
            error = "" if one.error is None else f"{percent(one.error):+.1f} %"
            times = (f"{one.measured_s:.4g} s", f"{one.simulated_s:.4g} s", error)
            shown.add_row(name.replace("_", " "), one.quantity, *times, end_section=one is of[-1])
    return shown


def _steps(fit: "StepFit") -> "Table":
    shown = table("what steps take", "step", "seconds")
    for sequences in _shown(fit.operation.slots):
        step_s = fit.step_s(sequences, context_tokens=SHOWN_TOKENS)
        shown.add_row(f"with {sequences} x {SHOWN_TOKENS} tokens in memory", f"{step_s:.3g}")
    shown.add_row(f"more to read a prompt of {SHOWN_TOKENS} tokens", f"{fit.prompt_s(SHOWN_TOKENS):.3g}")
    shown.add_row("from the queue to the scheduler", f"{fit.latency_s:.3g}")
    return shown


def _shown(slots: int) -> "Sequence[int]":
    return [sequences for sequences in SHOWN_SEQUENCES if sequences <= slots]
