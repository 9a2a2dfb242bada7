"""Every column, quantity and unit of the project, named once.

Data sets, their validator, the command line, telemetry and the docs read this table; nobody repeats it.
"""

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_VERSION: Final = 1
"""Version of the profile and predictor files; a reader refuses a newer one."""

MOST_TOKENS: Final = 10_000_000
"""More tokens than this in one query are a mistake: the longest context of 2025 (Llama 4 Scout) is 10 million."""

MOST_OF_UNIT: Final = {"J": 1e12, "s": 1e9, "W": 1e9, "1": 1e12, "tokens": MOST_TOKENS}
"""More than this in one trial is a slip of the unit or of the pen: 1e9 s are 30 years, 1e12 J the same at 1 kW."""

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
    Column(
        "sensor_uncertainty",
        "number",
        "1",
        "relative standard uncertainty of the sensors; null where that of any is not known",
        least=0,
    ),
    Column("boundary", "text", "", "whose joules are counted", required=True),
    Column("logged_total_tokens", "integer", "tokens", "tokens the source divided by, where it recorded that", least=1),
    Column("energy_method", "text", "", "how the energies were obtained"),
    Column("reasons", "text", "", "codes, separated by `;`, of what is missing or odd"),
    Column("note", "text", "", "anything else the source says"),
)
"""One trial, whoever measured it."""

WINDOW: Final = (
    Column("session", "integer", "1", "which start of the profiler, from 0; clocks differ between starts", least=0),
    Column("started_at_s", "number", "s", "start of the window on the monotonic clock of its session"),
    Column("window_s", "number", "s", "length of the window that the query was repeated in", least=0),
    Column("window_queries", "integer", "1", "queries answered in the window; energies are per query", least=1),
    Column("memory_energy_j", "number", "J", "energy of the host's memory, gross; beside the other parts", least=0),
    Column(
        "platform_energy_j",
        "number",
        "J",
        "energy of the whole machine by its own meter (a plug, a BMC, psys), gross; it holds parts, so is never added",
        least=0,
    ),
    Column("cached_tokens", "number", "tokens", "input tokens that a cache answered, mean of the window", least=0),
    Column("host_cpu_s", "number", "s", "CPU seconds of profiler, its children and a local server in it", least=0),
    Column("host_load", "number", "1", "busy cores of the host in the window, whoever kept them busy", least=0),
    Column("gpu_utilization", "number", "1", "share of the window in which the accelerators ran a kernel", least=0),
    Column("gpu_limit_share", "number", "1", "power of the accelerators against their limit", least=0),
    Column("bound", "text", "", "what bounds the runtime: `device`, `host` or `unknown`"),
)
"""How the profiler measured a trial; a profile from elsewhere has none of these columns."""

PROFILE: Final = SYSTEM + TRIAL + WINDOW
"""A row of `trials.parquet`."""

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
    Column(
        "feasible", "flag", "", "whether the point is within what the system is known to serve, where that is known"
    ),
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

SAMPLE: Final = (
    Column("session", "integer", "1", "which start of the profiler, from 0", required=True, least=0),
    Column("at_s", "number", "s", "instant on the monotonic clock of the session", required=True),
    Column("channel", "text", "", "what drew the power", required=True),
    Column("power_w", "number", "W", "its power", required=True),
    Column("power_limit_w", "number", "W", "the most it may draw", least=0),
    Column("utilization", "number", "1", "share of time that it was busy", least=0),
    Column("temperature_c", "number", "°C", "its temperature"),
    Column("clock_mhz", "number", "MHz", "its clock", least=0),
    Column("throttle_reasons", "text", "", "why it ran slower than it could, separated by `;`"),
)
"""A row of `samples.parquet` in a bundle."""

METER_REASONS: Final = {
    "no_meter": "no meter of this part was asked for or found",
    "permission": "the counter may not be read",
    "unsupported": "the device has no such counter",
    "source_failed": "the source stopped answering",
    "not_bracketed": "no reading stands before the window, or none after it",
    "sampling_gap": "two readings lie too far apart inside the window",
    "counter_reset": "the counter started again from zero",
    "counter_frozen": "the counter did not move although time passed and work was done",
    "window_too_short": "the counter did not move within a window that may be shorter than its update period",
    "wrap_ambiguous": "the counter may have wrapped more than once between two readings",
    "clock_step": "the clock of the source went backwards",
    "malformed": "what the source said could not be understood",
}
"""Why a channel has no joules for a window."""


def channel_reason(part: str, reason: str) -> str:
    """The reason code of a trial without energy on one part of the machine, such as `gpu_counter_reset`."""
    return f"no_{part}_meter" if reason == "no_meter" else f"{part}_{reason}"


REASONS: Final = {
    "warm_up": "first iteration of a configuration: caches and clocks were cold",
    "short_output": "fewer tokens came back than were asked for",
    "long_output": "more tokens came back than were asked for",
    "negative_cpu": "the source subtracted more idle energy than the trial used",
    "slow_runtime": "runtime far above its cell",
    "gpu_outlier": "accelerator energy far from its cell",
    "no_cpu_meter": "no processor energy was recorded",
    "input_restored": "the token count was restored from the prompt length by the data set's curators",
    "cache_hit": "a cache answered for a part of the prompt",
    "engine_idle": "no query was running for more than a twentieth of the window",
    "host_bound": "the host, not the accelerator, set the pace",
    "busy_host": "other processes kept more than half a core busy",
    "throttled": "the accelerator slowed itself down",
    "counter_disagrees": "counted joules and integrated power differ by more than a twentieth",
    "no_gpu_meter": "no accelerator energy was recorded",
} | {
    channel_reason(part, reason): f"{name}: {meaning}"
    for part, name in (("gpu", "accelerator"), ("cpu", "processor"), ("memory", "memory"), ("platform", "platform"))
    for reason, meaning in METER_REASONS.items()
    if reason != "no_meter"
}
"""Reason codes of trials."""
