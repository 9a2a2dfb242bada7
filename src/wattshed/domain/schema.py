"""Every column, quantity and unit of the project, named once.

Data sets, their validator, the command line, telemetry and the docs read this table; nobody repeats it.
"""

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_VERSION: Final = 1
"""Version of the profile and predictor files; a reader refuses a newer one."""

Kind = Literal["text", "integer", "number", "flag"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `unit` is "" for names and "1" for pure numbers; `least` is the smallest legal value, if any."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    required: bool = False
    least: float | None = None


SYSTEM: Final = (
    Column("system", "text", "", "name of the node or machine, as the source calls it", required=True),
    Column("model", "text", "", "LLM, with its size", required=True),
    Column("hardware", "text", "", "the accelerator that runs the model", required=True),
    Column("devices", "integer", "1", "how many of it", required=True, least=1),
    Column("engine", "text", "", "the software that runs the model"),
    Column("precision", "text", "", "number format of the weights"),
    Column("kv_cache", "flag", "", "whether the engine kept keys and values between steps"),
    Column("concurrency", "integer", "1", "requests in flight together (batch)", required=True, least=1),
    Column("host", "text", "", "random label of the host; trials of two hosts are never pooled"),
)
"""What makes two measurements measurements of the same thing."""

TRIAL: Final = (
    Column("experiment", "text", "", "design the trial belongs to", required=True),
    Column("requested_input_tokens", "integer", "tokens", "m asked for", required=True, least=1),
    Column("requested_output_tokens", "integer", "tokens", "n asked for", required=True, least=1),
    Column("input_tokens", "integer", "tokens", "m achieved", required=True, least=1),
    Column("output_tokens", "integer", "tokens", "n achieved", required=True, least=1),
    Column("trial", "integer", "1", "number of the trial within its cell, from 0", required=True, least=0),
    Column("order", "integer", "1", "place in the random order of the campaign", least=0),
    Column("warm_up", "flag", "", "whether the trial only warms the system up", required=True),
    Column(
        "runtime_s",
        "number",
        "s",
        "seconds from sending the query to its last token, as recorded",
        required=True,
        least=0,
    ),
    Column(
        "compute_runtime_s",
        "number",
        "s",
        "runtime without sleep and meter start, where the source tells them apart",
        least=0,
    ),
    Column("ttft_s", "number", "s", "seconds to the first token", least=0),
    Column("gpu_energy_j", "number", "J", "energy of the accelerators, gross", least=0),
    Column(
        "cpu_energy_j",
        "number",
        "J",
        "energy of the processor as billed by `energy_method`; may be negative when net of idle",
    ),
    Column("package_energy_j", "number", "J", "energy of all processor packages, gross", least=0),
    Column("idle_power_w", "number", "W", "power at idle on the same boundary", least=0),
    Column("sensor_uncertainty", "number", "1", "relative standard error of the sensor", least=0),
    Column("boundary", "text", "", "whose joules are counted", required=True),
    Column("logged_total_tokens", "integer", "tokens", "tokens the source divided by, where it recorded that", least=1),
    Column("energy_method", "text", "", "how the energies were obtained"),
    Column("reasons", "text", "", "codes, separated by `;`, of what is missing or odd"),
    Column("note", "text", "", "anything else the source says"),
)
"""One trial; `SYSTEM + TRIAL` is a row of `trials.parquet`."""

PROFILE: Final = SYSTEM + TRIAL

WORKLOAD: Final = (
    Column("input_tokens", "integer", "tokens", "m of a query", required=True, least=1),
    Column("output_tokens", "integer", "tokens", "n of a query", required=True, least=1),
    Column("queries", "integer", "1", "how many queries have this shape", least=1),
    Column("arrival_s", "number", "s", "when it arrives, from the start of the trace", least=0),
)
"""A row of a generic workload file (CSV, JSONL or Parquet)."""

PREDICTION: Final = (
    Column("input_tokens", "integer", "tokens", "m of the point", required=True, least=1),
    Column("output_tokens", "integer", "tokens", "n of the point", required=True, least=1),
    Column("energy_j", "number", "J", "predicted energy", required=True),
    Column("energy_sd_j", "number", "J", "its standard deviation", required=True, least=0),
    Column("runtime_s", "number", "s", "predicted runtime", required=True),
    Column("runtime_sd_s", "number", "s", "its standard deviation", required=True, least=0),
    Column("extrapolated", "flag", "", "whether the point lies outside the measured range", required=True),
)
"""A row that `wattshed predict` prints."""

PUBLISHED: Final = (
    Column("figure", "text", "", "figure of the paper", required=True),
    Column("quantity", "text", "", "what the point shows", required=True),
    Column("series", "text", "", "the curve, or system, the point lies on", required=True),
    Column("model", "text", "", "LLM, where the figure tells them apart"),
    Column("tokens", "integer", "tokens", "token count or threshold on the horizontal axis", least=1),
    Column("value", "number", "", "the plotted value, in the unit that `quantity` names", required=True),
)
"""One plotted point of the paper."""

REASONS: Final = {
    "warm_up": "first iteration of a configuration: caches and clocks were cold",
    "short_output": "fewer tokens came back than were asked for",
    "long_output": "more tokens came back than were asked for",
    "negative_cpu": "the source subtracted more idle energy than the trial used",
    "slow_runtime": "runtime far above its cell",
    "gpu_outlier": "accelerator energy far from its cell",
    "no_cpu_meter": "no processor energy was recorded",
    "input_restored": "the token count was restored from the prompt length by the data set's curators",
}
"""Reason codes of trials."""
