"""`wattshed fit --ledger`: what a gateway's requests teach, instead of a profile."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wattshed.cli.ledger import instant
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.gateway.ledger.refitting import Lessons
    from wattshed.predictors.fit import Fitted


@dataclass(frozen=True, slots=True)
class LedgerSource:
    """The rows to learn from, and the predictor file that has the joules of systems without a meter."""

    ledger: str
    since: str | None = None
    until: str | None = None
    energy_from: Path | None = None

    @classmethod
    def chosen(
        cls, profile: str | None, ledger: str | None, since: str | None, until: str | None, energy_from: Path | None
    ) -> "LedgerSource | None":
        """The ledger where one is given; `UsageError` unless it is that or a profile, and its flags go with it."""
        if (profile is None) == (ledger is None):
            raise UsageError("give either a profile or --ledger LEDGER")
        if ledger is not None:
            return cls(ledger, since, until, energy_from)
        for flag, given in (("--since", since), ("--until", until), ("--energy-from", energy_from)):
            if given is not None:
                raise UsageError(f"{flag} is for --ledger, and a profile takes none; leave it out")
        return None

    def lessons(self, kind: PredictorKind, channel: Channel) -> "Lessons":
        """What the rows teach."""
        from wattshed.gateway.ledger.refitting import lessons_of
        from wattshed.gateway.ledger.store import opened

        period = instant("--since", self.since), instant("--until", self.until)
        base = self._base(kind, channel)
        with opened(self.ledger) as store:
            return lessons_of(store.rows(*period), f"ledger {store.place}", kind=kind, channel=channel, base=base)

    def _base(self, kind: PredictorKind, channel: Channel) -> "Fitted | None":
        from wattshed.predictors.file import load

        if self.energy_from is None:
            return None
        base = load(self.energy_from)
        if (base.kind, base.channel) != (kind, channel):
            problem = f"{self.energy_from} holds {base.kind} predictors of {base.channel} energy"
            raise UsageError(f"{problem}; fit with --kind {base.kind} --channel {base.channel}, or take another file")
        return base


def document(lessons: "Lessons") -> dict[str, object]:
    """What the JSON says beside the fit."""
    pairs = [{"system": system, "model": model} for system, model in sorted(lessons.seconds_only)]
    return {"requests": len(lessons.profile.measurements), "left_out": lessons.left_out, "seconds_only": pairs}


def show(console: "Console", lessons: "Lessons", energy_from: Path | None) -> None:
    """The same for people."""
    console.print(f"learned from {len(lessons.profile.measurements)} requests", markup=False)
    for reason, count in lessons.left_out.items():
        console.print(f"left out {count}: {reason}", markup=False, soft_wrap=True)
    for system, model in sorted(lessons.seconds_only):
        console.print(f"{system}, {model}: seconds of the ledger, joules of {energy_from}", markup=False)
