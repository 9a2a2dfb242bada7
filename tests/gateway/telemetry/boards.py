"""A made-up fleet of three for the dashboard: one well and metered, one ill, one without a meter."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import exp

import numpy as np

from tests.gateway.serving import prefix
from wattshed.gateway.attribution.energy import Window
from wattshed.gateway.events import Names, NodeWindow, Solo, SystemLoad
from wattshed.gateway.fleet.health import Condition
from wattshed.gateway.ledger.ledger import CandidateCost, LedgerState, Row, Settlement
from wattshed.gateway.telemetry.board import Board
from wattshed.gateway.telemetry.board_views import Standing
from wattshed.gateway.telemetry.telemetry import Telemetry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SYSTEMS = ("m1-pro", "a100", "spare")
NAMES = Names(frozenset({"llama-2-7b"}), frozenset(SYSTEMS), frozenset())
PREDICTOR = prefix(misfit=0.05)
CLOSED = Condition("closed", None, None, 0)
LOADS = (
    SystemLoad("m1-pro", 2, 0, available=True, node="desk"),
    SystemLoad("a100", 7, 3, available=True, node="rack"),
    SystemLoad("spare", 0, 0, available=False, asleep=True),
)


class MadeUp:
    """Telemetry and a board that hears it, with the rows of the test."""

    def __init__(self, now_s: Callable[[], float], ledger: LedgerState | None = None) -> None:
        self.loads = LOADS
        self.conditions = [CLOSED, CLOSED, Condition("open", "connect_failed", 107.0, 4)]
        self.board = Board(self.standings, now_s=now_s, utc=lambda: NOON)
        self.telemetry = Telemetry(
            NAMES, fleet=lambda: self.loads, ledger=lambda: ledger, hooks=[self.board.heard], now_s=now_s
        )

    def standings(self) -> list[Standing]:
        """Slots and breakers as they are."""
        slots = (4, 8, 2)
        return [Standing(*one) for one in zip(SYSTEMS, slots, self.conditions, strict=True)]

    def state(self) -> bytes:
        """What the page is sent."""
        return self.board.state(self.telemetry.snapshot)

    def tell(self, row: Row) -> None:
        """A request has ended."""
        self.telemetry.tell(row)


def row(number: int, input_tokens: int = 32, output_tokens: int = 64) -> Row:
    """A request that went where it costs least: short ones to the M1 Pro."""
    ours_j, theirs_j = _cost_j("m1-pro", input_tokens, output_tokens), _cost_j("a100", input_tokens, output_tokens)
    system = "m1-pro" if ours_j < theirs_j else "a100"
    spent_j = min(ours_j, theirs_j)
    return Row(
        request=f"r{number}",
        arrived_at=NOON + timedelta(seconds=number),
        model="llama-2-7b",
        outcome="done",
        system=system,
        policy="argmin",
        choice=f"argmin: {system} takes {spent_j:.3g} J, against {max(ours_j, theirs_j):.3g} J elsewhere",
        lam=1.0,
        candidates=(
            CandidateCost("m1-pro", ours_j, output_tokens / 8),
            CandidateCost("a100", theirs_j, output_tokens / 40),
            CandidateCost("spare", None, None),
        ),
        baseline="a100",
        shadow="a100",
        attempts=1,
        wait_s=0.0,
        ttft_s=0.2,
        runtime_s=output_tokens / (8 if system == "m1-pro" else 40),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        predicted_output_tokens=70.5,
        predicted_energy_j=1.1 * spent_j,
        predicted_energy_lower_j=0.4 * spent_j,
        predicted_energy_upper_j=2.3 * spent_j,
        extrapolated=False,
        hindsight_energy_j=spent_j,
        hindsight_energy_lower_j=0.95 * spent_j,
        hindsight_energy_upper_j=1.05 * spent_j,
        baseline_energy_j=theirs_j,
        baseline_energy_lower_j=0.95 * theirs_j,
        baseline_energy_upper_j=1.05 * theirs_j,
        energy_reason="pending",
    )


def busy(made_up: MadeUp, requests: int = 300) -> None:
    """Let it serve requests of lengths like those of chats, one of which fails and one of which is nonsense."""
    rng = np.random.default_rng(7)
    for number in range(requests):
        m, n = (max(1, round(exp(float(rng.normal(mean, 1.1))))) for mean in (3.6, 4.2))
        made_up.tell(row(number, m, n))
        if number % 3 == 0:
            made_up.telemetry.tell(Settlement(f"r{number}", 12.5, 3.0, None))
    made_up.tell(
        row(requests)._replace(
            outcome="broken",
            failure="broken_midway",
            output_tokens=None,
            attempts=2,
            hindsight_energy_j=None,
            baseline_energy_j=None,
        )
    )
    made_up.tell(
        Row("nonsense", NOON, model="<img src=x onerror=alert(1)>", outcome="refused", failure="model_not_found")
    )
    for number in range(50):
        made_up.telemetry.tell(alone("m1-pro", number, factor=1.5))
        made_up.telemetry.tell(alone("a100", number))
    for node, power_w in (("desk", 31.0), ("rack", 412.0)):
        made_up.telemetry.tell(NodeWindow(node, window(power_w)))


def alone(system: str, number: int, *, factor: float = 1.0) -> Solo:
    """A request that had a machine to itself, and took `factor` times what was predicted."""
    predicted_s = float(PREDICTOR.expect(np.array([64]), np.array([64])).runtime_s[0])
    return Solo(f"{system}{number}", system, "llama-2-7b", PREDICTOR, 64, 64, factor * predicted_s)


def window(power_w: float) -> Window:
    """One second of a node's agent."""
    return Window(started_at_s=99.0, stopped_at_s=100.0, energy_j=power_w)


def _cost_j(system: str, input_tokens: int, output_tokens: int) -> float:
    """Small machines win short queries, and lose long ones."""
    if system == "m1-pro":
        return 0.15 * input_tokens + 1.2 * output_tokens + 0.02 * output_tokens**1.6
    return 60.0 + 0.1 * input_tokens + 1.3 * output_tokens
