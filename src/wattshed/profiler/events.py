"""What happens in a campaign, as values: the campaign yields them, the journal keeps them, the display shows them.

    SessionStarted  IdleMeasured  (CellStarted  TrialDone ...  CellDone | CellFailed) ...  IdleMeasured  CampaignDone

A campaign may take several *sessions* (starts of the profiler). `visit` is a number in the campaign's random order.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from wattshed.domain.energy import MeterChannel
from wattshed.domain.measurement import Measurement
from wattshed.meters.meter import PowerSample
from wattshed.profiler.design import Visit
from wattshed.profiler.stopping import StopReason

Plain: TypeAlias = object
"""What JSON can hold: texts, numbers, flags, nulls, and lists and objects of those."""

When = Literal["before", "after"]
Ended = Literal["complete", "timed_out", "engine_gone"]


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """A meter of a session: what it counts, and its certificate where one was made."""

    name: str
    channels: tuple[MeterChannel, ...]
    certificate: dict[str, Plain] | None = None


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The profiler started; `started_at` is UTC in ISO 8601, `versions` names software, driver and kernel."""

    session: int
    host: str
    started_at: str
    versions: dict[str, str]
    meters: tuple[MeterFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class IdleMeasured:
    """Power with the model loaded and nobody asking, by part of the machine; `None` where it is not known."""

    session: int
    when: When
    duration_s: float
    power_w: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CellStarted:
    """A visit began; not kept, since it says nothing about the machine."""

    visit: Visit


@dataclass(frozen=True, slots=True)
class TrialDone:
    """A trial, and the power that was sampled during it."""

    session: int
    visit: int
    trial: Measurement
    samples: tuple[PowerSample, ...] = ()


@dataclass(frozen=True, slots=True)
class CellDone:
    """A visit came to its end; `settled` is whether heat had settled before it, `None` where nobody knows."""

    session: int
    visit: int
    stop_reason: StopReason
    settled: bool | None = None
    settle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CellFailed:
    """A visit did not come to its end, for a reason of the engine or of a meter."""

    session: int
    visit: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class CampaignDone:
    """All visits are over, or the session's time is, or the engine was gone twice in a row."""

    session: int
    ended: Ended


Event: TypeAlias = SessionStarted | IdleMeasured | CellStarted | TrialDone | CellDone | CellFailed | CampaignDone
