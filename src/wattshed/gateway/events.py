"""What there is to tell: events of the gateway, and what the dashboard shows, as plain frozen values."""

from dataclasses import dataclass, field

import msgspec

from wattshed.domain.plan import Interval
from wattshed.gateway.attribution.energy import Window
from wattshed.gateway.ledger.ledger import LedgerState, Row, Settlement
from wattshed.predictors.curve import CurvePredictor


class Attempted(msgspec.Struct, frozen=True):
    """One attempt on a system has ended; `failure` is a code, `None` where it went well."""

    system: str
    failure: str | None = None


class Placed(msgspec.Struct, frozen=True):
    """A request was placed, which took so long."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class NodeWindow:
    """A window of a node's agent was split; joules without a request, and those of requests told they have none."""

    node: str
    window: Window
    unattributed_j: float = 0.0
    undelivered_j: float = 0.0


class Solo(msgspec.Struct, frozen=True):
    """A request was answered whole by a machine that served nobody else meanwhile.

    So what it took may be held against `predictor`, which was fitted to such queries. The seconds are those in a slot.
    `metered` says that its joules will be told, too.
    """

    request: str
    system: str
    model: str
    predictor: CurvePredictor
    input_tokens: int
    output_tokens: int
    runtime_s: float
    metered: bool = True


@dataclass(frozen=True, slots=True)
class Called:
    """A request has come within a trace of its client; `traceparent` is the header of W3C Trace Context."""

    request: str
    traceparent: str


Event = Row | Settlement | Attempted | Placed | NodeWindow | Solo | Called


@dataclass(frozen=True, slots=True)
class Drift:
    """A quantity (`energy` or `runtime`) that leaves its predictor's interval: `outside` of the last `checks`."""

    system: str
    model: str
    quantity: str
    outside: int
    checks: int


@dataclass(frozen=True, slots=True)
class DriftState:
    """How a quantity stands against its predictor: of its last `checks` so many lay `below` or `above` the interval."""

    system: str
    model: str
    quantity: str
    checks: int
    below: int
    above: int
    drifted: bool


@dataclass(frozen=True, slots=True)
class SystemLoad:
    """What one system is doing now; `node` is the machine whose agent counts its joules.

    `slot_price` is in U per slot-second, where the policy has prices.
    """

    system: str
    in_flight: int
    queued: int
    available: bool
    node: str | None = None
    asleep: bool = False
    slot_price: float | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Names that labels may have, of models, systems and keys; `assumed` are systems whose watts nobody measured."""

    models: frozenset[str] = frozenset()
    systems: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    assumed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SystemNumbers:
    """One system on the dashboard: its load, and what it has done since the gateway started.

    `power_w` is its node's over the last window, `attributed_j` of the requests with a meter; `None` is "not known".
    """

    load: SystemLoad
    requests: int
    input_tokens: int
    output_tokens: int
    hindsight_j: float
    attributed_j: float | None
    power_w: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the dashboard shows; `saved_j` is against the baseline, with the conservative 95 % interval.

    Conservative, since bounds of single requests are added up: errors of one predictor go the same way.
    """

    systems: tuple[SystemNumbers, ...]
    requests: int
    saved_j: Interval
    hindsight_j: float
    baseline_j: float
    wasted_j: float
    ledger: LedgerState | None
    recent: tuple[Row, ...] = field(repr=False)
    drift: tuple[DriftState, ...] = ()
