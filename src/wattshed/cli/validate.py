"""`wattshed validate SOURCE`: whether a profile, a fleet or a workload is sound, and every defect if it is not."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit
from wattshed.errors import CheckFailedError, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.datasets.defects import Defect

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
            metavar="SOURCE", help="A profile (directory or bundled:NAME), a fleet (.yaml), or else a workload."
        ),
    ],
    json_: JsonFlag = False,
) -> None:
    """Check a profile, a fleet or a workload, and list every defect with its place and its fix."""
    validation = validate(source)
    emit(validation, as_json=json_, show=lambda console: _show(validation, console))
    if not validation.valid:
        raise CheckFailedError(f"{source}: {validation.summary}")


def validate(source: str) -> Validation:
    """The check of a source, of the kind that its name tells; `MissingError` where there is none."""
    kind = _kind(source)
    checks = {"profile": _profile, "fleet": _fleet, "workload": _workload}
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
    if Path(source).is_dir():
        return "profile"
    return "fleet" if Path(source).suffix in (".yaml", ".yml") else "workload"


def _profile(source: str) -> tuple[str, list["Defect"]]:
    from wattshed.datasets.profiles import defects, read_profile

    found = defects(source)
    if found:
        return _count(len(found), "defect"), found
    profile = read_profile(source)
    trials, systems = len(profile.measurements), len(profile.systems)
    return f"{trials:,} trials of {systems} systems (hardware and model)", []


def _fleet(source: str) -> tuple[str, list["Defect"]]:
    from wattshed.datasets.fleets import parse_fleet, resolve
    from wattshed.datasets.profiles import read_profile

    fleet, found = parse_fleet(Path(source))
    if fleet is None:
        return _count(len(found), "defect"), found
    fleet = resolve(fleet, read_profile(fleet.profile))
    return f"{', '.join(fleet.names)} for {fleet.model}, as measured in {fleet.profile}", []


def _workload(source: str) -> tuple[str, list["Defect"]]:
    from wattshed.datasets.workloads import check_workload

    check = check_workload(source)
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
