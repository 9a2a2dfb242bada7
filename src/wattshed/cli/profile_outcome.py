"""What `wattshed profile` says when it is done: the cells, the checklist, and what is left to measure."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wattshed.cli.frame import stderr, table
from wattshed.errors import CheckFailedError, EngineError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.datasets.manifest import CampaignRecord, CellRecord, FailureRecord, Manifest
    from wattshed.profiler.campaign import Campaign
    from wattshed.profiler.checklist import Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """The bundle that a campaign left, what the checklist says of it, and how many visits are left on this host."""

    bundle: Path
    manifest: "Manifest"
    verdicts: "tuple[Verdict, ...]"
    visits_left: int

    @property
    def campaign(self) -> "CampaignRecord":
        """The one campaign of the bundle."""
        (campaign,) = self.manifest.campaigns
        return campaign

    @property
    def failed(self) -> "list[Verdict]":
        """Points of the checklist that failed."""
        return [verdict for verdict in self.verdicts if verdict.status == "failed"]

    @property
    def document(self) -> dict[str, object]:
        """All of it as plain values."""
        from wattshed.profiler.checklist import counts

        campaign = self.campaign
        return {
            "bundle": str(self.bundle),
            "name": self.manifest.name,
            "ended": campaign.ended,
            "visits_left": self.visits_left,
            "meters": [meter.name for meter in campaign.sessions[-1].meters],
            "cells": [cell.model_dump() for cell in campaign.cells],
            "failures": [failure.model_dump() for failure in campaign.failures],
            "points": counts(self.verdicts),
            "failed_points": self.failed,
        }

    def show(self, console: "Console") -> None:
        """Print it for people."""
        from wattshed.profiler.checklist import counts

        cells = table(self.manifest.title, "cell", "trials", "runtime s", "energy J", "bound", "stopped")
        for cell in self.campaign.cells:
            cells.add_row(*_row(cell))
        console.print(cells)
        for failure in self._failures:
            console.print(failed_line(failure), markup=False, soft_wrap=True)
        for verdict in self.failed:
            console.print(str(verdict), markup=False, soft_wrap=True)
        tally = ", ".join(
            f"{number} {status}" for status, number in sorted(counts(self.verdicts).items(), reverse=True)
        )
        console.print(f"wrote {self.bundle}: {tally}", soft_wrap=True)

    @property
    def _failures(self) -> "list[FailureRecord]":
        """Cells that were tried; those that the time did not suffice for are told apart, and left to the end."""
        from wattshed.profiler.campaign import NO_TIME

        return [failure for failure in self.campaign.failures if failure.reason != NO_TIME]

    def tell_what_is_left(self, campaign: "Campaign") -> None:
        """How to go on, where the campaign is not complete.

        `EngineError` where that is the engine's fault, and `CheckFailedError` where the bundle fails a point.
        """
        left = f"{self.visits_left} of {len(campaign.visits)} visits are left"
        again = f"with the same flags and --resume --out {self.bundle}"
        if self.campaign.ended == "engine_gone":
            raise EngineError("engine_gone", f"the engine is gone and {left}; bring it back and go on {again}")
        if self.campaign.ended == "timed_out":
            stderr().print(f"time is up after {campaign.timeout_s:g} s and {left}; go on {again}", soft_wrap=True)
        if self.failed:
            points = ", ".join(str(verdict.number) for verdict in self.failed)
            raise CheckFailedError(f"{self.bundle} fails point {points} of the checklist; see its validation.json")


def failed_line(failure: "FailureRecord") -> str:
    """What became of a cell, with the first sentence of the message."""
    sentence = failure.message.partition("\n")[0].partition(". ")[0].strip()
    return f"failed {_named(failure)}: {failure.reason}" + (f", {sentence}" if sentence else "")


def _named(cell: "CellRecord | FailureRecord") -> str:
    from wattshed.profiler.design import Shape

    return f"{cell.experiment} {Shape(cell.input_tokens, cell.output_tokens, cell.concurrency)}"


def _row(cell: "CellRecord") -> tuple[str, ...]:
    from wattshed.profiler.card import energy_with_half_width, with_half_width

    return (
        _named(cell),
        str(cell.trials),
        with_half_width(cell.runtime_s, cell.runtime_half_width_s),
        energy_with_half_width(cell),
        cell.bound or "",
        cell.stop_reason,
    )
