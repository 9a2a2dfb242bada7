"""What a checklist looks at, and how it answers: a bundle as read from its directory, and findings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from wattshed.datasets.defects import refuse, table_defects
from wattshed.datasets.manifest import CampaignRecord, ChannelRecord, Manifest
from wattshed.datasets.profiles import read_manifest, read_profile
from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import SAMPLE
from wattshed.errors import InputError
from wattshed.profiler.bundle import SAMPLES_FILE

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
    """A bundle: manifest, trials, samples (columns of `schema.SAMPLE`) and where they lie."""

    directory: Path
    manifest: Manifest
    campaign: CampaignRecord
    trials: tuple[Measurement, ...]
    samples: pl.DataFrame

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


def read_evidence(directory: Path) -> Evidence | None:
    """The bundle in a directory; `None` where it is a profile that no campaign made.

    Raises `InputError` for what cannot be read.
    """
    manifest = read_manifest(directory)
    if manifest.campaign is None:
        return None
    path = directory / SAMPLES_FILE
    try:
        samples = pl.read_parquet(path, glob=False)
    except FileNotFoundError as error:
        raise InputError("is missing", path=path, fix="run wattshed profile --resume, which writes it again") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError("is not Parquet", path=path, fix="run wattshed profile --resume") from error
    refuse(table_defects(samples, SAMPLE, str(path)))
    return Evidence(directory, manifest, manifest.campaign, read_profile(directory).measurements, samples)
