"""The part of `wattshed demo` that serves: requests of Alpaca's lengths through the gateway, policy by policy.

`gateway/demo/replaying.py` does the work; here are the lengths, the bars that show how far it is, and what it came to,
as a table for the terminal and the page.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from wattshed.cli.frame import stderr, table

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from wattshed.domain.query import Query, Workload
    from wattshed.gateway.demo.replaying import Replayed
    from wattshed.report.page import Section

SPEED_UP: Final = 600.0
"""The M1 Pro would take over an hour for what the paper's threshold gives it; so it takes some ten seconds."""

SEED: Final = 0

LABELS: Final = {
    "threshold": "the paper's threshold",
    "argmin": "least energy, lengths learned",
    "informed": "least energy, lengths told",
    "baseline": "everything to the A100",
}
HEADERS: Final = (
    "policy",
    "on the\nMac",
    "on the\nA100",
    "predicted\nkJ",
    "attributed\nkJ",
    "baseline\nkJ",
    "saved\n%",
)
CAVEAT: Final = (
    "Predicted: before each answer, whose length is not known then. Attributed: by the machines' meters, afterwards. "
    "Baseline: the same tokens on the A100. The engines cost exactly what their predictors say, so this shows how the "
    "gateway places and counts, and not what your machines would save."
)


def sampled(workload: "Workload", requests: int, seed: int = SEED) -> list["Query"]:
    """So many queries drawn from a workload, each as likely as it is frequent there; the same for one seed."""
    import numpy as np

    from wattshed.domain.query import Query

    shares = workload.queries / workload.total_queries
    drawn = np.random.default_rng(seed).choice(shares.size, requests, p=shares)
    return [
        Query(m, n)
        for m, n in zip(workload.input_tokens[drawn].tolist(), workload.output_tokens[drawn].tolist(), strict=True)
    ]


def replay_all(queries: Sequence["Query"], speed_up: float = SPEED_UP) -> list["Replayed"]:
    """What each policy comes to, all of them at the same time, with a bar for each on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from wattshed.gateway.wire.http import loop_factory

    columns = TextColumn("{task.description:<30}"), BarColumn(), MofNCompleteColumn()
    with (
        _drift_untold(),
        Progress(*columns, console=stderr()) as progress,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        return runner.run(_replay_all(queries, speed_up, progress))


@contextmanager
def _drift_untold() -> Iterator[None]:
    """No warnings of drift in the block: next to machines so quick, the gateway's own milliseconds look like it."""
    logger = logging.getLogger("wattshed.gateway.telemetry.drift")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _replay_all(queries: Sequence["Query"], speed_up: float, progress: "Progress") -> list["Replayed"]:
    from wattshed.gateway.demo.replaying import RULES, Rule, replay

    async def one(rule: Rule) -> "Replayed":
        bar = progress.add_task(LABELS[rule], total=len(queries))
        return await replay(queries, rule, speed_up=speed_up, ended=lambda: progress.advance(bar))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(rule)) for rule in RULES]
    return [task.result() for task in tasks]


def replay_table(replayed: Sequence["Replayed"]) -> "Table":
    """The sums by policy, for the terminal."""
    rows = table(_title(replayed), *HEADERS)
    for cells in map(_cells, replayed):
        rows.add_row(*cells)
    return rows


def replay_section(replayed: Sequence["Replayed"]) -> "Section":
    """The same for the page."""
    from wattshed.report.page import Prose, Section, Table

    header = [name.replace("\n", " ") for name in HEADERS]
    figures = Table(_title(replayed), header, [_cells(one) for one in replayed])
    return Section("Served: one gateway, four policies", [Prose(replay_words(replayed)), figures, Prose(CAVEAT)])


def replay_words(replayed: Sequence["Replayed"]) -> str:
    """What the policies come to, in a sentence or two, and what is missing."""
    said = [f"{LABELS[one.rule]} {_against(one.saved)}" for one in replayed if one.rule != "baseline"]
    metered_j = sum(one.metered_energy_j for one in replayed)
    attributed_j = sum(one.attributed_energy_j for one in replayed)
    words = [
        f"Through the gateway, against the A100 alone: {'; '.join(said)}.",
        f"The engines spent {metered_j / 1000:.1f} kJ, of which {attributed_j / 1000:.1f} were attributed to requests.",
    ]
    missing = sum(one.sent - one.attributed for one in replayed)
    if missing:
        words.append(f"{missing} of {sum(one.sent for one in replayed)} requests have no joules, or no answer.")
    return " ".join(words)


def replay_document(replayed: Sequence["Replayed"], speed_up: float = SPEED_UP) -> dict[str, object]:
    """The same as plain values."""
    from dataclasses import asdict

    return {
        "speed_up": speed_up,
        "seed": SEED,
        "policies": [asdict(one) | {"label": LABELS[one.rule], "saved": one.saved} for one in replayed],
    }


def _title(replayed: Sequence["Replayed"]) -> str:
    return f"{replayed[0].sent} requests of Alpaca's lengths through the gateway"


def _cells(one: "Replayed") -> list[str]:
    joules = one.predicted_energy_j, one.attributed_energy_j, one.baseline_energy_j
    saved = "-" if one.saved is None else f"{round(100 * one.saved, 1) + 0.0:+.1f}"  # without + 0.0 there is a -0.0
    return [
        LABELS[one.rule],
        str(one.served["mac"]),
        str(one.served["a100"]),
        *(f"{j / 1000:.1f}" for j in joules),
        saved,
    ]


def _against(saved: float | None) -> str:
    if saved is None:
        return "left requests without joules"
    if abs(saved) < 0.0005:
        return "saves nothing"
    return f"saves {100 * saved:.1f} %" if saved > 0 else f"costs {-100 * saved:.1f} % more"
