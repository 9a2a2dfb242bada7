"""Asking the agent of a node for its joules, window after window, and handing them to `NodeEnergy`.

    no mark --an answer--> marked --answers--> windows          each begins at the instant that the last one ended at
       ^                      |
       |                      +--no joules yet, or no answer--> marked still: the next window is longer
       `--a new session, or nothing for `patience_s`------------'    (a window without joules, and a reason)

The agent says how long its answer was in the making; the rest of the round trip is taken to have been even, so the end
of a window is known on our clock to half of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from wattshed.domain.choices import Channel
from wattshed.domain.energy import Part
from wattshed.errors import WattshedError
from wattshed.gateway.attribution.energy import NodeEnergy, Window
from wattshed.gateway.attribution.split import split
from wattshed.gateway.events import NodeWindow
from wattshed.gateway.ledger.ledger import Settlement
from wattshed.gateway.metering.agent import Told
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import bearer

log = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
MOST_BYTES: Final = 1 << 20

_REASONS: Final = {400: "agent_restarted", 401: "agent_refused", 403: "agent_refused"}
"""What a status of the agent means; 400 is for an instant that its clock has not come to, so it began anew."""

Ask = Callable[[str], Awaitable[bytes]]
"""Gets a path from an agent; `AgentError` where that fails."""


class AgentError(WattshedError):
    """An agent that does not answer as it should; `reason` is a code of `schema.ENERGY_REASONS`."""

    def __init__(self, reason: str, problem: str) -> None:
        self.reason = reason
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the next window begins, on the agent's clock."""

    session: str
    at_s: float


def over(upstream: Upstream, token: str | None) -> Ask:
    """Asks an agent through a connection that is kept."""
    headers = () if token is None else bearer(token)

    async def ask(path: str) -> bytes:
        try:
            answer = await upstream.send("GET", path, headers)
        except UpstreamError as error:
            raise AgentError("agent_gone", str(error)) from error
        try:
            body = await answer.whole(MOST_BYTES)
        except UpstreamError as error:
            raise AgentError("agent_gone", str(error)) from error
        finally:
            answer.close()
        if answer.status != 200:
            raise AgentError(
                _REASONS.get(answer.status, "source_failed"), f"{upstream.name}: the agent answers {answer.status}"
            )
        return body

    return ask


def parts_of(channel: Channel) -> tuple[Part, ...]:
    """The parts of a machine whose joules a predictor of this channel predicts: the same are billed."""
    return ("gpu", "cpu") if channel == "total" else (channel,)


class Polling:
    """Polls one agent for one node. `told` gets the windows that were split, `settled` the joules of requests."""

    def __init__(
        self,
        node: NodeEnergy,
        ask: Ask,
        parts: tuple[Part, ...],
        *,
        name: str,
        now_s: Callable[[], float],
        told: Callable[[NodeWindow], None] = lambda _: None,
        settled: Callable[[Settlement], None] = lambda _: None,
    ) -> None:
        self.node = node
        self._ask, self._parts, self._name, self._now_s = ask, parts, name, now_s
        self._told, self._settled = told, settled
        self._mark: _Mark | None = None
        self._reason = "not_bracketed"
        self._silent = False
        self._undelivered_j = 0.0

    def follow(self, before: "Polling") -> None:
        """Go on from where another has stopped; with other parts joules begin anew, and so does idle power."""
        self._undelivered_j = before._undelivered_j
        if self._parts == before._parts:
            self._mark, self._reason, self._silent = before._mark, before._reason, before._silent
        else:
            self.node.forget_idle()

    async def run(self, period_s: float = PERIOD_S, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self.once()
            except Exception:  # the boundary of a task: serving goes on without joules, and so does its probing
                log.exception("a poll of the agent failed; joules may be missing", extra={"node": self._name})
            await sleep(period_s)

    async def once(self) -> None:
        """One question to the agent, and whatever can be split and settled after it."""
        asked_s = self._now_s()
        try:
            told = await self._asked()
        except AgentError as error:
            self._missed(error)
        else:
            answered_s = self._now_s()
            self._heard(told, (asked_s + answered_s - min(max(told.took_s, 0.0), answered_s - asked_s)) / 2)
        await self._split()

    async def _asked(self) -> Told:
        body = await self._ask("/energy" if self._mark is None else f"/energy?since={self._mark.at_s!r}")
        try:
            return msgspec.json.decode(body, type=Told)
        except msgspec.DecodeError as error:
            raise AgentError("malformed", f"{self._name}: what the agent says is not understood ({error})") from error

    def _heard(self, told: Told, ended_at_s: float) -> None:
        """What follows from an answer: a window, a longer one to come, or a new start."""
        mark, self._mark = self._mark, _Mark(told.session, told.at_s)
        if ended_at_s <= self.node.until_s:
            self._mark = mark  # the round trip was longer than the window; nothing is lost by waiting
        elif mark is None or told.since_s is None:
            self._close(ended_at_s, None, self._reason)
        elif mark.session != told.session:
            self._close(ended_at_s, None, "agent_restarted")
        else:
            energy_j, reason = _billed(told, self._parts)
            if reason == "window_too_short" and ended_at_s - self.node.until_s < self.node.terms.patience_s:
                self._mark = mark
            else:
                self._close(ended_at_s, energy_j, reason)
        if self._silent:
            log.info("the agent answers again", extra={"node": self._name})
        self._silent = False

    def _missed(self, error: AgentError) -> None:
        """Wait for the next answer, whose window covers this one; after too long give up the joules meanwhile."""
        if not self._silent:
            log.warning("the agent does not answer", extra={"node": self._name, "problem": str(error)})
        self._silent, self._reason = True, error.reason
        now_s = self._now_s()
        if error.reason == "agent_restarted":
            self._mark = None
        if now_s - self.node.until_s >= self.node.terms.patience_s:
            self._mark = None
            self._close(now_s, None, self._reason)

    def _close(self, at_s: float, energy_j: float | None, reason: str | None) -> None:
        self.node.counted(Window(self.node.until_s, at_s, energy_j, reason))

    async def _split(self) -> None:
        """Split what is due, in a thread for its arithmetic, and tell."""
        due = self.node.due(self._now_s())
        if due:
            shares = await asyncio.to_thread(split, due, self.node.terms)
            self.node.take(due, shares)
            for one, share in zip(due, shares, strict=True):
                self._tell(one.window, 0.0 if share is None else share.unattributed_j)
        for settlement in self.node.settled(self._now_s()):
            self._settled(settlement)

    def _tell(self, window: Window, unattributed_j: float) -> None:
        before_j, self._undelivered_j = self._undelivered_j, self.node.joules.undelivered_j
        self._told(NodeWindow(self._name, window, unattributed_j, self._undelivered_j - before_j))


def _billed(told: Told, parts: tuple[Part, ...]) -> tuple[float | None, str | None]:
    """Joules of all parts together; where one has none there is no sum, for its reason."""
    amounts = {amount.name: amount for amount in told.parts}
    energy_j = 0.0
    for part in parts:
        amount = amounts.get(part)
        if amount is None or amount.energy_j is None:
            return None, "no_meter" if amount is None else amount.reason or "source_failed"
        energy_j += amount.energy_j
    return energy_j, None
