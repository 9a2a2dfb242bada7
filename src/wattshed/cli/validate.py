"""`wattshed validate SOURCE`: whether a profile, fleet, workload or predictor file is sound, or all its defects."""

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, bundled_sources, emit
from wattshed.errors import CheckFailedError, InputError, UsageError
from wattshed.files import reading

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.datasets.defects import Defect
    from wattshed.domain.measurement import Profile
    from wattshed.domain.system import Fleet

EXAMPLES: Final = (
    "Examples: [bold]wattshed validate bundled:wilkins2024[/]  ·  [bold]wattshed validate fleet.yaml[/]  ·  "
    "[bold]wattshed validate trace.csv --json[/]"
)


@dataclass(frozen=True, slots=True)
class Validation:
    """What a source is, and what is wrong with it."""

    source: str
    kind: str
    valid: bool
    summary: str
    defects: tuple["Defect", ...]


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A profile (directory or bundled:NAME), fleet (.yaml), predictor file (.json), or else a workload.",
            autocompletion=bundled_sources,
        ),
    ],
    column: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS", help="Name a column of a workload; repeat.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Check a profile, fleet, workload or predictor file, and list every defect with its place and its fix.

    A bundle of `wattshed profile` is also held against the 38 points of measuring well.
    """
    from wattshed.cli.reading import columns_of

    validation = validate(source, columns_of(column or []))
    emit(validation, as_json=json_, show=lambda console: _show(validation, console))
    if not validation.valid:
        raise CheckFailedError(f"{source}: {validation.summary}")


def validate(source: str, columns: Mapping[str, str] | None = None) -> Validation:
    """The check of a source, of the kind that its name tells; `MissingError` where there is none.

    `columns` names the columns of a workload, by ours; `UsageError` where they are given for anything else.
    """
    kind = _kind(source)
    if columns and kind != "workload":
        raise UsageError(f"--column is for a workload, and {source} is none; leave it out")
    checks: dict[str, Callable[[str], tuple[str, list[Defect]]]] = {
        "profile": _profile,
        "fleet": _fleet,
        "workload": partial(_workload, columns=columns),
        "predictors": _predictors,
    }
    try:
        summary, defects = checks[kind](source)
    except InputError as error:
        summary, defects = "cannot be read", [_defect(error, source)]
    return Validation(source, kind, not defects, summary, tuple(defects))


def _kind(source: str) -> str:
    from wattshed.datasets.profiles import PREFIX
    from wattshed.datasets.workloads import BUNDLED_WORKLOADS

    if source.startswith(PREFIX):
        return "workload" if source.removeprefix(PREFIX) in BUNDLED_WORKLOADS else "profile"
    path = Path(source)
    with reading(path, wanted="a profile, a fleet, a workload or a predictor file"):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return "profile"
        if _is_of_a_profile(path):
            problem = f"{path}: is one file of a profile"
            raise UsageError(f"{problem}; give the directory: wattshed validate {path.parent}")
        if path.suffix.casefold() in {".yaml", ".yml"}:
            return "fleet"
        return "predictors" if stat.S_ISREG(mode) and _claims_predictors(path) else "workload"


def _is_of_a_profile(path: Path) -> bool:
    """Whether a file lies in the directory of a profile and belongs to it; a workload may lie there too."""
    from wattshed.datasets.manifest import FILE, JOURNAL_FILE
    from wattshed.datasets.profiles import TRIALS_FILE
    from wattshed.profiler.bundle import SAMPLES_FILE, VALIDATION_FILE

    belonging = {FILE, JOURNAL_FILE, TRIALS_FILE, SAMPLES_FILE, VALIDATION_FILE}
    return path.name == FILE or (path.name in belonging and (path.parent / FILE).exists())


def _claims_predictors(path: Path) -> bool:
    """Whether a JSON file begins by naming a format of its own, as predictor files do and workloads do not."""
    if path.suffix.casefold() != ".json":
        return False
    with path.open("rb") as file:
        return b'"format"' in file.read(1024)


def _profile(source: str) -> tuple[str, list["Defect"]]:
    from wattshed.datasets.profiles import defects, read_profile

    found = defects(source)
    if found:
        return _count(len(found), "defect"), found
    profile = read_profile(source)
    trials, systems = len(profile.measurements), len(profile.systems)
    tally, failures = _points(source)
    if failures:
        return _count(len(failures), "failed point"), failures
    return f"{trials:,} trials of {_count(systems, 'system')} (hardware and model){tally}", []


def _points(source: str) -> tuple[str, list["Defect"]]:
    """What the checklist says of a bundle, and the points that it fails; nothing of a profile from elsewhere."""
    from wattshed.datasets.defects import Defect
    from wattshed.datasets.profiles import profile_directory, read_manifest

    campaigns = len(read_manifest(source).campaigns)
    if not campaigns:
        return "", []
    from wattshed.profiler.checklist import check_bundle, counts

    verdicts = check_bundle(profile_directory(source))
    tally = ", ".join(f"{number} points {status}" for status, number in sorted(counts(verdicts).items(), reverse=True))
    several = f" in {_count(campaigns, 'campaign')}" if campaigns > 1 else ""
    return f"{several}, {tally}", [Defect(source, str(verdict)) for verdict in verdicts if verdict.status == "failed"]


def _fleet(source: str) -> tuple[str, list["Defect"]]:
    from wattshed.datasets.fleets import parse_fleet, read_fleet_profile, resolve

    fleet, found = parse_fleet(Path(source))
    if fleet is None:
        return _count(len(found), "defect"), found
    profile = read_fleet_profile(fleet)
    try:
        fleet = resolve(fleet, profile)
    except InputError as error:
        return _count(1, "defect"), [_defect(error, source)]
    found = list(_unserving(fleet, profile, source))
    if found:
        return _count(len(found), "defect"), found
    return f"{', '.join(fleet.names)} for {fleet.model}, as measured in {' and '.join(fleet.profiles)}", []


def _unserving(fleet: "Fleet", profile: "Profile", source: str) -> Iterator["Defect"]:
    """The systems of a fleet that `wattshed plan` could do nothing with, and why."""
    from wattshed.datasets.defects import Defect
    from wattshed.planner.planning import fit_fleet

    reasons = fit_fleet(fleet, profile).skipped
    for position, pool in enumerate(fleet.pools):
        limits = profile.limits_of(pool.system, fleet.model).tightened(pool.limits)
        if not limits.allow(1, 1):
            problem = f"{pool.system} cannot serve {fleet.model} at all ({limits.reason})"
            yield Defect(source, problem, field=f"systems[{position}]", fix="take it out, or choose another model")
        elif (pool.system, fleet.model) in reasons:
            kind, why = pool.predictor or fleet.predictor, reasons[pool.system, fleet.model]
            problem = f"{pool.system} has no {kind} predictor: {why}"
            fix = "take it out, or choose another predictor or channel"
            yield Defect(source, problem, field=f"systems[{position}]", fix=fix)


def _predictors(source: str) -> tuple[str, list["Defect"]]:
    from wattshed.predictors.file import load

    fitted = load(Path(source))
    predictors = _count(len(fitted.predictors), f"{fitted.kind} predictor")
    return f"{predictors} of {fitted.profile}, {fitted.channel} energy", []


def _workload(source: str, columns: Mapping[str, str] | None) -> tuple[str, list["Defect"]]:
    from wattshed.datasets.workloads import check_workload

    check = check_workload(source, columns)
    if check.defects:
        return _count(max(check.bad_rows, 1), "defect"), list(check.defects)
    return f"{check.format}, {_count(check.queries, 'query')} of {_count(check.shapes, 'shape')}", []


def _count(number: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def _defect(error: InputError, source: str) -> "Defect":
    from wattshed.datasets.defects import Defect

    return Defect(str(error.path or source), error.problem, error.row, error.field, error.fix)


def _show(validation: Validation, console: "Console") -> None:
    for defect in validation.defects:
        console.print(str(defect), markup=False, soft_wrap=True)
    if validation.valid:
        console.print(f"{validation.source}: {validation.kind}, {validation.summary}", markup=False, soft_wrap=True)
