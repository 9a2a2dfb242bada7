"""The workload formats that are known, and how a file is recognised: by its columns, never by its own name.

A format says which column holds what. Whether the columns come as CSV, JSON lines or Parquet is the business of
`tables.py`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from wattshed.datasets.defects import advice, shortened
from wattshed.domain.schema import WORKLOAD
from wattshed.errors import InputError, UsageError

Clock = Literal["seconds", "milliseconds", "timestamp"]
"""What an arrival column counts; a timestamp is a date with a time of day, in UTC where it names no zone."""


@dataclass(frozen=True, slots=True)
class Format:
    """Where each part of a query stands: in the column of that name, or the same number in every row.

    A file is of this format if it has all the columns in `marks`. `starts_tokens` is how many begin-of-sequence tokens
    the output lengths count, though nobody generated them.
    """

    name: str
    marks: tuple[str, ...]
    input_tokens: str | int
    output_tokens: str | int
    queries: str | int = 1
    arrival: str | None = None
    clock: Clock = "seconds"
    starts_tokens: int = 0

    @property
    def is_marginal(self) -> bool:
        """Whether one column of lengths is all there is, so that inputs or outputs have to be given."""
        return self.input_tokens == self.output_tokens


ALPACA: Final = Format(
    "Alpaca pairs",
    ("instruction_tokens", "input_tokens", "input_tokens_one_bos", "output_tokens"),
    "input_tokens",
    "output_tokens",
    starts_tokens=1,
)
"""Inputs count a begin-of-sequence token for the instruction and another for the input field, as the paper's do."""

ALPACA_ONE_BOS: Final = replace(ALPACA, name="Alpaca pairs, one BOS", input_tokens="input_tokens_one_bos")
"""The same with a single such token, as a real prompt has it."""

GENERIC: Final = Format(
    "generic", ("input_tokens", "output_tokens"), "input_tokens", "output_tokens", "queries", "arrival_s"
)

FORMATS: Final = (
    Format("length distribution", ("length", "count"), "length", "length", "count"),
    ALPACA,
    Format(
        "Azure LLM inference trace",
        ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
        "ContextTokens",
        "GeneratedTokens",
        arrival="TIMESTAMP",
        clock="timestamp",
    ),
    Format(
        "Mooncake trace",
        ("timestamp", "input_length", "output_length"),
        "input_length",
        "output_length",
        arrival="timestamp",
        clock="milliseconds",
    ),
    Format(
        "BurstGPT trace",
        ("Timestamp", "Request tokens", "Response tokens"),
        "Request tokens",
        "Response tokens",
        arrival="Timestamp",
    ),
    GENERIC,
)
"""In the order in which they are tried: the particular before the generic.

Sources: github tatsu-lab/stanford_alpaca, Azure/AzurePublicDataset (2023, 2024), kvcache-ai/Mooncake, HPMLL/BurstGPT.
"""


def recognise(columns: Collection[str], mapping: Mapping[str, str] | None, path: str) -> Format:
    """The format of a file with these columns; `mapping` (our name to the file's) overrides recognition.

    Optional columns that the file lacks are taken out. Raises `InputError` for columns of no known format.
    """
    if mapping:
        return _present(_mapped(mapping, columns, path), columns)
    for known in FORMATS:
        if set(known.marks) <= set(columns):
            return _present(known, columns)
    raise InputError(
        f"columns {shortened(', '.join(columns)) or '(none)'} are of no known workload format",
        path=path,
        fix="name yours with --column input_tokens=NAME --column output_tokens=NAME",
    )


def _mapped(mapping: Mapping[str, str], columns: Collection[str], path: str) -> Format:
    ours = [column.name for column in WORKLOAD]
    for name, theirs in mapping.items():
        if name not in ours:
            raise UsageError(f"--column {name}={theirs}: {name!r} is no part of a query; {advice(name, ours)}")
    names = {name: mapping.get(name, name) for name in ours}
    for name in (*GENERIC.marks, *mapping):
        if names[name] not in columns:
            fix = advice(names[name], columns)
            raise InputError("there is no such column", path=path, field=names[name], fix=fix)
    return Format(
        "mapped columns", (), names["input_tokens"], names["output_tokens"], names["queries"], names["arrival_s"]
    )


def _present(known: Format, columns: Collection[str]) -> Format:
    return replace(
        known,
        queries=known.queries if known.queries in columns else 1,
        arrival=known.arrival if known.arrival in columns else None,
    )
