"""Meters read over HTTP: one series of a Prometheus page, a counter of energy or a gauge of power.

Anything that is scraped can be a meter: dcgm-exporter (`DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION`, mJ), Kepler
(`kepler_node_cpu_joules_total`, J), a BMC or plug exporter (W), our own agent. The unit says which it is: energy is a
counter, power a gauge. An exporter answers with what it last collected, so a short window sees steps: make windows
many times longer than the exporter's own period.

Source: Prometheus text format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats.
"""

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from wattshed.domain.energy import MeterChannel
from wattshed.errors import MeterError, UsageError
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.meter import Absent, Meter, Reading, Unavailable
from wattshed.meters.sampled import Sample, SampledMeter
from wattshed.meters.sampler import Sampling
from wattshed.units import J_PER_KWH, J_PER_MJ, J_PER_UJ, W_PER_MW

NAME: Final = "scrape"
MOST_BYTES: Final = 64 << 20
SAMPLING: Final = Sampling(period_s=1.0, max_gap_s=10.0, quiet_s=60.0)
"""Once a second; exporters collect every 1-30 s, and a counter that rests for a minute is taken for dead."""

Unit = Literal["J", "mJ", "uJ", "kWh", "W", "mW"]

_ENERGY_J: Final = {"J": 1.0, "mJ": J_PER_MJ, "uJ": J_PER_UJ, "kWh": J_PER_KWH}
_POWER_W: Final = {"W": 1.0, "mW": W_PER_MW}


@dataclass(frozen=True, slots=True)
class Target:
    """The series to read: all `labels` must match, and one series alone may match them.

    `channel` says what it counts; nothing else can know.
    """

    url: str
    metric: str
    unit: Unit
    channel: MeterChannel
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UsageError(f"a page to scrape starts with http:// or https://, got {self.url!r}")
        if self.unit not in (*_ENERGY_J, *_POWER_W):
            raise UsageError(f"a unit is one of {', '.join((*_ENERGY_J, *_POWER_W))}, got {self.unit!r}")


def find(
    target: Target, *, sampling: Sampling = SAMPLING, now_s: Callable[[], float] = time.monotonic
) -> Meter | Absent:
    """A meter of one series, or why there is none; `UsageError` where several match, or a counter is called power."""
    source = Page(target.url, timeout_s=target.timeout_s, now_s=now_s)
    try:
        page = source.read().raw
        value(page, target)
    except MeterError as error:
        return Absent(NAME, _UNAVAILABLE.get(error.reason, "source_failed"), str(error))
    _refuse_counted_power(page, target)
    name = target.channel.name
    if target.unit in _ENERGY_J:
        scale_j = _ENERGY_J[target.unit]
        return CounterMeter(
            NAME,
            source,
            lambda raw: {name: value(raw, target) * scale_j},
            (CounterChannel(target.channel),),
            sampling=sampling,
            now_s=now_s,
        )
    scale_w = _POWER_W[target.unit]
    return SampledMeter(
        NAME,
        source,
        lambda raw: [Sample(power_w={name: value(raw, target) * scale_w})],
        (target.channel,),
        sampling=sampling,
        now_s=now_s,
    )


def value(page: bytes, target: Target) -> float:
    """The number of the target's series on a page, in the target's unit; may be NaN, as the exporter said.

    Raises `MeterError("source_failed")` where no series matches and `UsageError` where several do.
    """
    found = [one for one in series(page, target.metric) if target.labels.items() <= one.labels.items()]
    if not found:
        raise MeterError("source_failed", f"{target.url} has no {target.metric} with labels {dict(target.labels)}")
    if len(found) > 1:
        differ = sorted({label for one in found for label in one.labels.items() - found[0].labels.items()})
        hint = ", ".join(f'{name}="{text}"' for name, text in differ[:4])
        raise UsageError(f"{len(found)} series of {target.metric} match; add a label, such as {hint}")
    return found[0].value


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a page."""

    labels: Mapping[str, str]
    value: float


def series(page: bytes, metric: str) -> Iterator[Series]:
    """Every series of a metric on a page, in order. `MeterError("malformed")` for a line that is none."""
    for line in page.decode("utf-8", errors="replace").split("\n"):
        if not line.startswith(metric) or line[len(metric) : len(metric) + 1] not in ("{", " ", "\t"):
            continue
        match = _LINE.fullmatch(line.rstrip(), len(metric))
        try:
            if match is None:
                raise ValueError("not a series")
            labels = {name: _unescaped(text) for name, text in _LABEL.findall(match["labels"] or "")}
            yield Series(labels, float(match["value"]))
        except ValueError as error:
            raise MeterError("malformed", f"not a line of the Prometheus format: {line!r}") from error


def _refuse_counted_power(page: bytes, target: Target) -> None:
    """`UsageError` where the page says that what is to be watts is a counter: its joules would be integrated again.

    A gauge may well be in joules: exporters take counters of the hardware for gauges.
    """
    names = "|".join(
        map(re.escape, {target.metric, target.metric.removesuffix("_total")})
    )  # OpenMetrics has it without
    if target.unit in _POWER_W and re.search(rf"(?m)^#\s*TYPE\s+(?:{names})\s+counter\b".encode(), page):
        units = ", ".join(_ENERGY_J)
        problem = f"{target.metric} is a counter, and {target.unit} is power"
        raise UsageError(f"{target.url} says that {problem}; give the unit of its energy: {units}")


class Page:
    """A page fetched anew for each reading."""

    def __init__(self, url: str, *, timeout_s: float = 2.0, now_s: Callable[[], float] = time.monotonic) -> None:
        self._url, self._timeout_s, self._now_s = url, timeout_s, now_s

    def read(self) -> Reading:
        """The page; its instant is the middle of asking and answer. `MeterError` where there is none."""
        asked_s = self._now_s()
        try:
            request = urllib.request.Request(self._url, headers={"Accept": "text/plain"})  # noqa: S310 - Target checks
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:  # noqa: S310 - Target checks
                raw = response.read(MOST_BYTES)
        except urllib.error.HTTPError as error:
            error.close()
            reason = "permission" if error.code in (401, 403) else "source_failed"
            raise MeterError(reason, f"{self._url} answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise MeterError("source_failed", f"{self._url} does not answer ({why}); is the exporter up?") from error
        return Reading((asked_s + self._now_s()) / 2, datetime.now(UTC), raw)

    def close(self) -> None:
        """Nothing is held open between readings."""


_UNAVAILABLE: Final[dict[str, Unavailable]] = {"permission": "permission", "malformed": "unsupported"}
_LABELS = r'[a-zA-Z_]\w*\s*=\s*"(?:[^"\\]|\\.)*"'
_LINE = re.compile(rf"(?:\{{\s*(?P<labels>(?:{_LABELS}\s*,?\s*)*)\}})?\s*(?P<value>\S+)(?:\s+[-\d.]+)?(?:\s+#.*)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"')
_ESCAPE = {"n": "\n", '"': '"', "\\": "\\"}


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPE.get(match[1], match[0]), text)
