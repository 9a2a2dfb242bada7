"""The tree of errors that this package raises on purpose; the CLI turns each into one line and an exit code.

    WattshedError                     exit 1
    |-- CheckFailedError              exit 1   the thing was read and is wrong (validate, reproduce)
    |-- UsageError                    exit 2   a flag or an argument is wrong
    |-- InputError                    exit 2   a file is malformed; names file, row, field and the fix
    |-- InfeasibleError               exit 2   no system of the fleet can serve a query
    |-- MissingError                  exit 3   a file, an optional library, a meter or an engine is not there
    |-- MeterError                    exit 3   a meter cannot answer; carries a reason code
    `-- EngineError                   exit 3   an engine failed; carries a reason code

A message says what was expected, what was found and what to do, in one line.
"""

from typing import ClassVar


class WattshedError(Exception):
    """Anything this package refuses to do."""

    exit_code: ClassVar[int] = 1


class CheckFailedError(WattshedError):
    """A check ran to its end and the answer is no."""


class UsageError(WattshedError):
    """A flag or an argument that makes no sense."""

    exit_code: ClassVar[int] = 2


class InputError(WattshedError):
    """A malformed file, with the place of the defect and the way to mend it."""

    exit_code: ClassVar[int] = 2

    def __init__(
        self, problem: str, *, path: object = None, row: int | None = None, field: str | None = None, fix: str = ""
    ) -> None:
        self.problem, self.path, self.row, self.field, self.fix = problem, path, row, field, fix
        super().__init__(problem)

    def __str__(self) -> str:
        row = None if self.row is None else f"row {self.row}"
        field = None if self.field is None else f"field '{self.field}'"
        place = ", ".join(str(part) for part in (self.path, row, field) if part is not None)
        return (f"{place}: " if place else "") + self.problem + (f"; {self.fix}" if self.fix else "")


class InfeasibleError(WattshedError):
    """A query that no system of the fleet can serve."""

    exit_code: ClassVar[int] = 2


class MissingError(WattshedError):
    """A thing that is needed and is not there, with the command that brings it."""

    exit_code: ClassVar[int] = 3


class MeterError(WattshedError):
    """A meter that cannot answer; `reason` is a code of `schema.METER_REASONS`."""

    exit_code: ClassVar[int] = 3

    def __init__(self, reason: str, problem: str) -> None:
        self.reason = reason
        super().__init__(problem)


class EngineError(WattshedError):
    """An engine that failed; `reason` is `out_of_memory`, `timed_out`, `engine_gone` or `refused`."""

    exit_code: ClassVar[int] = 3

    def __init__(self, reason: str, problem: str) -> None:
        self.reason = reason
        super().__init__(problem)
