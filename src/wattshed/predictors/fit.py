"""From a profile to predictors: one for each system and model that was measured well enough.

Trials of validation experiments and warm-ups teach nothing. Trials are pooled only within one system, engine
configuration and host included: two hosts of one kind may differ by a factor of two. Only the batch form learns from
several concurrencies at once.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from zlib import crc32

import numpy as np

from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.joining import told_apart
from wattshed.domain.measurement import Measurement, Profile
from wattshed.errors import InputError, UsageError
from wattshed.predictors.batch import fit_batch
from wattshed.predictors.bootstrap import REPLICATES, Bootstrap
from wattshed.predictors.curve import CurvePredictor
from wattshed.predictors.prefix import fit_prefix
from wattshed.predictors.regression import fit_regression
from wattshed.predictors.table import fit_table

Pair = tuple[str, str]
"""Names of a system and of a model."""

Form = Callable[[Sequence[Measurement], Channel, Bootstrap], CurvePredictor]

FORMS: Mapping[PredictorKind, Form] = {
    "prefix": fit_prefix,
    "table": fit_table,
    "regression": fit_regression,
    "batch": fit_batch,
}
"""How each kind is fitted to the trials of one system."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a model ran as it was measured; `None` where the profile does not say."""

    engine: str | None = None
    precision: str | None = None
    kv_cache: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The predictors of one profile, and for every pair without one the reason.

    `profile_digest` identifies the trials behind them, whatever the profile is called. `ran` holds the pairs of which
    it is known: older files do not say.
    """

    profile: str
    profile_digest: str
    kind: PredictorKind
    channel: Channel
    predictors: Mapping[Pair, CurvePredictor]
    skipped: Mapping[Pair, str]
    ran: Mapping[Pair, Ran] = field(default_factory=dict)

    def predictor(self, system: str, model: str) -> CurvePredictor:
        """The predictor of a pair, named as `resolve` allows; `UsageError` where there is none."""
        pair = resolve([*self.predictors, *self.skipped], system, model)
        if pair in self.skipped:
            raise UsageError(f"{pair[0]} with {pair[1]} has no {self.kind} predictor: {self.skipped[pair]}")
        return self.predictors[pair]


def fit(
    profile: Profile,
    *,
    kind: PredictorKind = "prefix",
    channel: Channel = "total",
    only: Collection[Pair] | None = None,
    seed: int = 0,
) -> Fitted:
    """Predictors of `kind` for every pair of the profile, or for the pairs in `only`.

    Each pair has its own random stream, so that its predictor is the same whichever others are fitted beside it.
    """
    predictors: dict[Pair, CurvePredictor] = {}
    skipped: dict[Pair, str] = {}
    ran: dict[Pair, Ran] = {}
    for pair, trials in training_trials(profile).items():
        if only is None or pair in only:
            try:
                predictors[pair] = fit_pair(trials, kind, channel, seed=seed)
                system = trials[0].system
                ran[pair] = Ran(system.engine, system.precision, system.kv_cache)
            except InputError as error:
                skipped[pair] = error.problem
    return Fitted(profile.name, digest(profile), kind, channel, predictors, skipped, ran)


def fit_pair(
    trials: Sequence[Measurement], kind: PredictorKind, channel: Channel, *, seed: int = 0, replicates: int = REPLICATES
) -> CurvePredictor:
    """The predictor of one pair; `InputError` says why there can be none."""
    systems = {trial.system for trial in trials}
    alike = {system.single for system in systems}
    if len(alike) > 1:
        raise InputError(f"{len(alike)} hosts or engine configurations share this name and are never pooled")
    if len(systems) > 1 and kind != "batch":
        raise InputError(f"{len(systems)} concurrencies were measured, which only the batch predictor tells apart")
    label = next(iter(systems)).label if systems else ""
    rng = np.random.default_rng([seed, crc32(label.encode())])
    return FORMS[kind](trials, channel, Bootstrap(rng, replicates))


def training_trials(profile: Profile) -> dict[Pair, list[Measurement]]:
    """The trials that fits may learn from, by pair, sorted by name; namesakes are told apart."""
    trials: dict[Pair, list[Measurement]] = defaultdict(list)
    for trial in told_apart(profile).measurements:
        if trial.experiment not in profile.validation_experiments:
            trials[trial.system.name, trial.system.model].append(trial)
    return dict(sorted(trials.items()))


def resolve(pairs: Collection[Pair], system: str, model: str) -> Pair:
    """The pair meant by two names, in any case or cut short where that leaves one; `UsageError` with the close ones."""
    name = _meant("system", system, sorted({pair[0] for pair in pairs}))
    return name, _meant("model", model, sorted({pair[1] for pair in pairs if pair[0] == name}), where=f" on {name}")


def _meant(what: str, wanted: str, names: Sequence[str], *, where: str = "") -> str:
    folded = {name.casefold(): name for name in names}
    if wanted.casefold() in folded:
        return folded[wanted.casefold()]
    begin = [name for fold, name in folded.items() if fold.startswith(wanted.casefold())]
    if len(begin) == 1:
        return begin[0]
    close = begin or [folded[fold] for fold in get_close_matches(wanted.casefold(), folded, cutoff=0.4)]
    problem = "could be any" if begin else "is unknown"
    raise UsageError(f"{what} {wanted!r}{where} {problem}; choose from: {', '.join(close or names)}")


def digest(profile: Profile) -> str:
    """SHA-256 of what was measured: systems, concurrency, tokens, seconds and joules of every trial; hexadecimal."""
    content = sha256()
    for trial in profile.measurements:
        system, energies = trial.system, [trial.gpu_energy_j, trial.cpu_energy_j]
        if trial.platform_energy_j is not None:  # where nobody metered it, an older predictor file still fits
            energies.append(trial.platform_energy_j)
        tokens = (trial.input_tokens, trial.output_tokens, trial.logged_total_tokens)
        where = f"{system.name}|{system.model}|{system.concurrency}"
        content.update(f"{where}|{tokens}|{trial.runtime_s}|{tuple(energies)}\n".encode())
    return content.hexdigest()
