"""What a checklist looks at, and how it answers: a bundle as read from its directory, and findings.

A profile published from several bundles is looked at one campaign at a time, each with its own trials and samples, and
with its sessions counted from 0 again, as if it were still a bundle by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import polars as pl

from wattshed.datasets.defects import refuse
from wattshed.datasets.manifest import CampaignRecord, ChannelRecord, Manifest
from wattshed.datasets.profiles import TRIALS_FILE, profile_directory, read_manifest, read_profile
from wattshed.datasets.table_defects import table_defects
from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import SAMPLE
from wattshed.errors import InputError
from wattshed.profiler.bundle import SAMPLES_FILE
from wattshed.profiler.scrub import Identity

RESTORE: Final = "restore it from a copy, or run wattshed profile --resume, which writes that of a bundle again"

NO_METER: Final = "there was no meter"
"""Why points about meters do not apply."""

Status = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check, with its numbers in a sentence."""

    status: Status
    sentence: str


def passed(sentence: str) -> Finding:
    """The point is met."""
    return Finding("passed", sentence)


def failed(sentence: str) -> Finding:
    """The point is not met."""
    return Finding("failed", sentence)


def beside_the_point(sentence: str) -> Finding:
    """The point does not apply, for this reason."""
    return Finding("not applicable", sentence)


def judged(holds: bool, sentence: str, otherwise: str) -> Finding:
    """Passed with one sentence, or failed with the other."""
    return passed(sentence) if holds else failed(otherwise)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A campaign: its record and the manifest around it, its trials, its samples (columns of `schema.SAMPLE`).

    `own` names the machine that measured it and its user, where that is the one that looks.
    """

    directory: Path
    manifest: Manifest
    campaign: CampaignRecord
    trials: tuple[Measurement, ...]
    samples: pl.DataFrame
    own: Identity = field(default_factory=Identity)

    @property
    def is_raw(self) -> bool:
        """Whether the journal and all samples lie beside it; a published campaign has neither."""
        return self.manifest.publication is None

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """Trials that count: all but warm-ups."""
        return tuple(trial for trial in self.trials if not trial.warm_up)

    @property
    def metered(self) -> tuple[Measurement, ...]:
        """Trials with joules of some part."""
        return tuple(trial for trial in self.trials if trial.measured_energy_j is not None)

    @property
    def has_meter(self) -> bool:
        """Whether any session had one, or any trial has joules, which come from nowhere else."""
        return any(session.meters for session in self.campaign.sessions) or bool(self.metered)

    @property
    def channels(self) -> tuple[ChannelRecord, ...]:
        """Every channel, session by session."""
        meters = [meter for session in self.campaign.sessions for meter in session.meters]
        return tuple(channel for meter in meters for channel in meter.channels)


def read_evidence(source: str | Path, own: Identity | None = None) -> tuple[Evidence, ...]:
    """The campaigns of a bundle, or of a profile published from several; none where no campaign made it.

    Raises `InputError` for what cannot be read.
    """
    directory, manifest = profile_directory(source), read_manifest(source)
    if not manifest.campaigns:
        return ()
    trials, samples = read_profile(directory).measurements, read_samples(directory)
    _refuse_strays(trials, samples, manifest, directory)
    return tuple(
        Evidence(
            directory, manifest, campaign, _trials_of(trials, numbers), _samples_of(samples, numbers), own or Identity()
        )
        for campaign, numbers in zip(manifest.campaigns, manifest.sessions, strict=True)
    )


def read_samples(directory: Path) -> pl.DataFrame:
    """The power samples beside a manifest, in the columns of `schema.SAMPLE`; `InputError` where they are damaged."""
    path = directory / SAMPLES_FILE
    try:
        samples = pl.read_parquet(path, glob=False)
    except FileNotFoundError as error:
        raise InputError("is missing", path=path, fix=RESTORE) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError("is not Parquet", path=path, fix=RESTORE) from error
    refuse(table_defects(samples, SAMPLE, str(path)))
    return samples


def _refuse_strays(trials: Sequence[Measurement], samples: pl.DataFrame, manifest: Manifest, directory: Path) -> None:
    """`InputError` for rows of a session that no campaign has: they would be looked at by no point."""
    most = manifest.sessions[-1].stop
    for name, numbers in ((TRIALS_FILE, [one.session for one in trials]), (SAMPLES_FILE, samples["session"].to_list())):
        row = next((row for row, number in enumerate(numbers, 1) if number is None or number >= most), None)
        if row is not None:
            problem = f"is {numbers[row - 1]}, and the campaigns have {most} sessions"
            raise InputError(problem, path=directory / name, row=row, field="session", fix="restore both files")


def _trials_of(trials: Sequence[Measurement], numbers: range) -> tuple[Measurement, ...]:
    own = (trial for trial in trials if trial.session in numbers)
    return tuple(replace(one, session=(one.session or 0) - numbers.start) if numbers.start else one for one in own)


def _samples_of(samples: pl.DataFrame, numbers: range) -> pl.DataFrame:
    own = samples.filter(pl.col("session").is_between(numbers.start, numbers.stop, closed="left"))
    return own.with_columns(pl.col("session") - numbers.start)
