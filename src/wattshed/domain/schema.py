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

Kind = Literal["text", "integer", "number", "flag", "instant"]
"""What a column holds; an instant is a time of day, in UTC."""


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

REPLAY: Final = (
    Column("input_tokens", "integer", "tokens", "m of a request", required=True, least=1),
    Column("output_tokens", "integer", "tokens", "n of a request", required=True, least=1),
    Column("queued_at_s", "number", "s", "when it queued, on a clock that all requests share", required=True, least=0),
    Column("started_at_s", "number", "s", "when the engine first took it up", required=True, least=0),
    Column("first_token_at_s", "number", "s", "when its first token came", required=True, least=0),
    Column("finished_at_s", "number", "s", "when its last token came", required=True, least=0),
)
"""A row of a log of requests that one engine served (CSV, JSONL or Parquet)."""

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

SIMULATED: Final = (
    Column("policy", "text", "", "policy that placed it, under the name that the user gave it", required=True),
    Column("arrival_s", "number", "s", "when it came, from the first one", required=True, least=0),
    Column("input_tokens", "integer", "tokens", "m of the query", required=True, least=1),
    Column("output_tokens", "integer", "tokens", "n of the query", required=True, least=1),
    Column("system", "text", "", "system that it was sent to last; null where none could take it"),
    Column("replica", "integer", "1", "which of that system's replicas, from 0", least=0),
    Column("started_at_s", "number", "s", "virtual instant at which it got a slot", least=0),
    Column("first_token_at_s", "number", "s", "virtual instant of its first token, where steps are simulated", least=0),
    Column("finished_at_s", "number", "s", "virtual instant of its last token", least=0),
    Column("energy_j", "number", "J", "its share of the steps that it was in", least=0),
    Column("outcome", "text", "", "`completed`, `turned_away`, `infeasible` or `lost`", required=True),
    Column("preemptions", "integer", "1", "how often it lost its place in memory and was read again", least=0),
)
"""A query in `queries.parquet` of `wattshed simulate`; instants count from the first arrival, as `arrival_s` does."""

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

LEDGER_VERSION: Final = 2
"""Version of the ledger's table; a gateway mends an older one and refuses a newer one."""

LEDGER: Final = (
    Column("request", "text", "", "id that the gateway gave the request; no two share one", required=True),
    Column("arrived_at", "instant", "", "when its head had come", required=True),
    Column("client_request", "text", "", "id that the client gave it"),
    Column("key", "text", "", "name of the key that it came with"),
    Column("route", "text", "", "`chat`, `completions` or `embeddings`", required=True),
    Column("model", "text", "", "model that the client named", required=True),
    Column("variant", "text", "", "model that answered, as its system calls it"),
    Column("streamed", "flag", "", "whether the answer was streamed", required=True),
    Column("outcome", "text", "", "how it ended", required=True),
    Column("status", "integer", "1", "HTTP status that the client got", least=100),
    Column("failure", "text", "", "code of what went wrong last, where something did"),
    Column("finish_reason", "text", "", "why the model stopped, as it says"),
    Column("system", "text", "", "system that answered, or was tried last"),
    Column("policy", "text", "", "policy that placed it"),
    Column("choice", "text", "", "why there, in the policy's words"),
    Column("lam", "number", "1", "λ of its objective", least=0),
    Column("candidates", "text", "", "JSON: each system's name with the joules and seconds it was predicted to take"),
    Column("baseline", "text", "", "system that the baseline policy would have chosen"),
    Column("shadow", "text", "", "system that the policy in shadow would have chosen"),
    Column("attempts", "integer", "1", "systems that it was sent to, one after the other", required=True, least=0),
    Column("in_flight", "integer", "1", "requests already in flight on the system when it was sent there", least=0),
    Column("wait_s", "number", "s", "seconds from its arrival to the last attempt", least=0),
    Column("ttft_s", "number", "s", "seconds from its arrival to the first token", least=0),
    Column("runtime_s", "number", "s", "seconds from its arrival to its end", required=True, least=0),
    Column("input_tokens", "integer", "tokens", "m, as the system counted", least=0),
    Column("cached_tokens", "integer", "tokens", "those of m that a cache answered, as the system counted", least=0),
    Column("output_tokens", "integer", "tokens", "n, as the system counted", least=0),
    Column("estimated_input_tokens", "integer", "tokens", "m, as it was placed", least=0),
    Column("predicted_output_tokens", "number", "tokens", "mean of the forecast of n", least=0),
    Column("most_output_tokens", "integer", "tokens", "the client's cap on n", least=0),
    Column("predicted_energy_j", "number", "J", "joules expected as it was placed, over the forecast of n"),
    Column("predicted_energy_lower_j", "number", "J", "lower end of their 95 % interval"),
    Column("predicted_energy_upper_j", "number", "J", "upper end"),
    Column("predicted_runtime_s", "number", "s", "seconds expected as it was placed"),
    Column("predicted_p95_runtime_s", "number", "s", "their 95th percentile"),
    Column("extrapolated", "flag", "", "whether that prediction left the measured range"),
    Column("hindsight_energy_j", "number", "J", "joules predicted for the tokens that it turned out to have"),
    Column("hindsight_energy_lower_j", "number", "J", "lower end of their 95 % interval"),
    Column("hindsight_energy_upper_j", "number", "J", "upper end"),
    Column("hindsight_runtime_s", "number", "s", "seconds without waiting predicted for those tokens"),
    Column("hindsight_runtime_lower_s", "number", "s", "lower end of their 95 % interval"),
    Column("hindsight_runtime_upper_s", "number", "s", "upper end"),
    Column("baseline_energy_j", "number", "J", "joules predicted for those tokens on the baseline's system"),
    Column("baseline_energy_lower_j", "number", "J", "lower end of their 95 % interval"),
    Column("baseline_energy_upper_j", "number", "J", "upper end"),
    Column("shadow_energy_j", "number", "J", "joules predicted for those tokens on the shadow's system"),
    Column("attributed_energy_j", "number", "J", "its part of the joules that the system's meter counted; may be < 0"),
    Column("attributed_idle_energy_j", "number", "J", "the idle joules among them"),
    Column("energy_reason", "text", "", "code of why no joules are attributed"),
    Column(
        "wasted_energy_j", "number", "J", "joules predicted for what nobody got: attempts that failed, or all of it"
    ),
    Column("carbon_g", "number", "g", "CO2 equivalent of `hindsight_energy_j`, by the configured grid"),
)
"""A row of the gateway's ledger: one request. No prompt, no answer and no key stands in it."""

OUTCOMES: Final = {
    "done": "answered whole",
    "refused": "refused by the gateway: a fault of the request, its key or its limits",
    "overloaded": "turned away: no system could take it in time",
    "failed": "no system answered, or all answered with errors",
    "broken": "the answer broke off after its first byte",
    "client_gone": "the client went away before the end",
}
"""How a request ended."""

LEDGER_FAILURES: Final = {
    "locked": "another process holds the ledger",
    "disk_full": "its disk is full",
    "unreachable": "its file cannot be opened, or its server does not answer",
    "damaged": "its file is no database any more",
    "failed": "anything else",
}
"""Why a batch of rows could not be written; the rows are kept and tried again."""

ENERGY_REASONS: Final = {
    "no_agent": "the system has no agent",
    "pending": "the joules of its last seconds are not counted yet",
    "agent_gone": "the agent did not answer for longer than is waited for",
    "agent_refused": "the agent refused the gateway's token",
    "agent_restarted": "the agent, or its node, started again meanwhile",
    "not_placed": "the request was sent to no system",
    **{code: meaning for code, meaning in METER_REASONS.items() if code != "no_meter"},
    "no_meter": "the agent has no meter of a part that is billed",
}
"""Why a request has no attributed joules."""

MetricKind = Literal["counter", "gauge", "histogram"]

_LATENCY_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0)
_SHORT_S: Final = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)


@dataclass(frozen=True, slots=True)
class Metric:
    """One Prometheus metric; the name spells its base unit. `buckets` are the upper ends of a histogram's, rising."""

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


METRICS: Final = (
    Metric("wattshed_requests_total", "counter", ("model", "system", "outcome"), "requests ended"),
    Metric("wattshed_key_requests_total", "counter", ("key", "outcome"), "requests ended, by key"),
    Metric("wattshed_key_joules_total", "counter", ("key",), "joules of requests, predicted in hindsight, by key"),
    Metric("wattshed_attempts_total", "counter", ("system", "failure"), "attempts ended; no failure is `none`"),
    Metric("wattshed_runtime_seconds", "histogram", ("model", "system"), "arrival to end, answered whole", _LATENCY_S),
    Metric("wattshed_ttft_seconds", "histogram", ("model", "system"), "arrival to first token", _LATENCY_S),
    Metric("wattshed_wait_seconds", "histogram", ("system",), "arrival to the last attempt", _LATENCY_S),
    Metric("wattshed_decision_seconds", "histogram", (), "time that placing a request took", _SHORT_S),
    Metric("wattshed_tokens_total", "counter", ("model", "system", "kind"), "tokens, as the systems counted them"),
    Metric(
        "wattshed_predicted_joules_total", "counter", ("model", "system"), "joules expected as requests were placed"
    ),
    Metric(
        "wattshed_hindsight_joules_total", "counter", ("model", "system"), "joules predicted for the tokens that came"
    ),
    Metric(
        "wattshed_baseline_joules_total", "counter", ("model", "system"), "joules of the baseline for the same tokens"
    ),
    Metric("wattshed_saved_joules", "gauge", ("model", "system"), "joules saved so far against the baseline; can fall"),
    Metric("wattshed_saved_lower_joules", "gauge", ("model", "system"), "lower end of their 95 % interval"),
    Metric("wattshed_saved_upper_joules", "gauge", ("model", "system"), "upper end of their 95 % interval"),
    Metric("wattshed_shadow_joules_total", "counter", ("model", "system"), "joules of the shadow for the same tokens"),
    Metric("wattshed_shadow_disagreements_total", "counter", ("system",), "requests the shadow would place elsewhere"),
    Metric("wattshed_wasted_joules_total", "counter", ("system", "outcome"), "joules predicted for what nobody got"),
    Metric("wattshed_attributed_joules_total", "counter", ("system",), "joules of meters attributed to requests"),
    Metric("wattshed_unattributed_joules_total", "counter", ("node",), "joules of meters while no request was present"),
    Metric(
        "wattshed_undelivered_joules_total", "counter", ("node",), "joules of requests that were told they have none"
    ),
    Metric(
        "wattshed_energy_receipts_total",
        "counter",
        ("system", "reason"),
        "receipts settled: `attributed`, `assumed` (of watts that nobody measured) or why not",
    ),
    Metric("wattshed_energy_windows_total", "counter", ("node", "reason"), "windows of agents; `counted` or why not"),
    Metric(
        "wattshed_drift_checks_total",
        "counter",
        ("system", "quantity", "side"),
        "tens of requests alone on their machine, against the interval of their predictor",
    ),
    Metric(
        "wattshed_drift_alarm",
        "gauge",
        ("system", "model", "quantity"),
        "1 while too many checks lie outside to be chance (binomial test), else 0",
    ),
    Metric("wattshed_in_flight", "gauge", ("system",), "requests in flight"),
    Metric("wattshed_queued", "gauge", ("system",), "requests that wait for a slot"),
    Metric("wattshed_available", "gauge", ("system",), "1 where the system takes requests, else 0"),
    Metric("wattshed_slot_price", "gauge", ("system",), "cost U of a second in a slot, where the policy has prices"),
    Metric("wattshed_asleep", "gauge", ("system",), "1 where the system sleeps, and the next request wakes it"),
    Metric("wattshed_power_watts", "gauge", ("node",), "mean power over the last window of its agent"),
    Metric("wattshed_ledger_rows_total", "counter", ("result",), "rows of the ledger, by what became of them"),
    Metric(
        "wattshed_ledger_failures_total", "counter", ("failure",), "batches that could not be written, and are kept"
    ),
    Metric("wattshed_ledger_waiting", "gauge", (), "rows that are not written yet"),
    Metric("wattshed_hook_failures_total", "counter", (), "events that a hook failed on"),
)
"""What the gateway tells Prometheus at `/metrics`."""

AGENT_METRICS: Final = (
    Metric("wattshed_agent_joules_total", "counter", ("channel", "part"), "joules counted since the agent started"),
    Metric("wattshed_agent_power_watts", "gauge", ("channel", "part"), "mean power since the page was last asked for"),
    Metric("wattshed_agent_gaps_total", "counter", ("channel", "reason"), "windows without joules, by reason"),
)
"""What `wattshed agent` tells Prometheus."""

LABELS: Final = {
    "model": "model as the configuration names it, or `other`",
    "system": "system as the configuration names it, or `other`; empty where there was none",
    "node": "machine whose agent counts the joules",
    "key": "name of a key, or `other`; empty where no key is asked for",
    "outcome": "how a request ended: " + ", ".join(f"`{code}`" for code in OUTCOMES),
    "failure": "code of what went wrong, or `none`",
    "kind": "`input`, `cached` (also counted as input) or `output`",
    "reason": "reason code",
    "quantity": "`energy` or `runtime`",
    "side": "`below`, `inside` or `above` the 95 % interval",
    "result": "`written`, `settled` (given its attributed joules), `dropped` (no room to keep it) or `refused`",
    "channel": "what the meter counts",
    "part": "part of the machine: `gpu`, `cpu`, `memory` or `platform`",
}
"""What the labels of metrics mean; the values of each are bounded, and what is not known is `other`."""

RECEIPT: Final = (
    Column("energy_joules", "number", "J", "joules of this request, known as `attribution_method` says"),
    Column("energy_kwh", "number", "kWh", "the same in kilowatt-hours"),
    Column("avg_power_watts", "number", "W", "the same over `duration_seconds`"),
    Column("duration_seconds", "number", "s", "from the request's arrival to the end of its answer", least=0),
    Column("attribution_ratio", "number", "1", "its part of the joules that were metered while it ran"),
    Column("carbon_g_co2eq", "number", "g", "grams of CO2 equivalent, by the configured intensity of the grid"),
    Column("lower_joules", "number", "J", "lower end of the 95 % interval of `energy_joules`"),
    Column("upper_joules", "number", "J", "upper end"),
    Column("idle_joules", "number", "J", "the part that the machine would have drawn idle"),
    Column("predicted_joules", "number", "J", "joules expected as it was placed, over the forecast of its output"),
    Column("baseline_joules", "number", "J", "joules predicted for the same tokens on the system that is `baseline`"),
    Column("wasted_joules", "number", "J", "joules predicted for attempts on other systems that failed before"),
    Column("lambda", "number", "1", "λ of its objective: 1 is energy alone, 0 time alone", least=0),
    Column("predicted_output_tokens", "number", "tokens", "mean of the forecast of its output", least=0),
    Column(
        "attribution_method",
        "text",
        "",
        "`measured`: metered while it ran alone; `attributed`: its part of what a meter counted; `predicted`: for the "
        "tokens that it turned out to have; `assumed`: the same, by a predictor that rests on assumed watts",
    ),
    Column("system", "text", "", "system that answered, by its name in the configuration", required=True),
    Column("model", "text", "", "model that answered, as that system calls it", required=True),
    Column("baseline", "text", "", "system that the baseline policy, which knows nothing of the load, had chosen"),
    Column("profile", "text", "", "profile that the predictions rest on"),
    Column("reasons", "text", "", "object: for each of these that is null, the code of why", required=True),
)
"""The `energy` object of an answer. Clients parse these names elsewhere already: our rule of units spares them."""

RECEIPT_HEADERS: Final = (
    Column("X-Energy-Joules", "number", "J", "`energy_joules`, where they are known before the answer is sent"),
    Column("X-Energy-Estimated-Joules", "number", "J", "else, as for streams: `predicted_joules`"),
    Column("X-Energy-Method", "text", "", "how the one or the other is known: as `attribution_method`"),
    Column("X-Routed-To", "text", "", "system that answers", required=True),
    Column("X-Routing-Reason", "text", "", "why there, in the policy's words", required=True),
)
"""What the head of an answer says of its energy."""

RECEIPT_REASONS: Final = {
    "not_known": "whoever would know was not asked or did not say",
    "no_carbon_intensity": "no carbon intensity of the grid is configured",
    "no_prediction": "no predictor speaks for this system and this request",
    "no_usage": "the engine did not count its tokens",
    "no_baseline": "no baseline is configured, or it could not have served the request",
    "unfinished": "the answer has not ended, or broke off",
} | ENERGY_REASONS
"""Why a figure of a receipt is null."""
