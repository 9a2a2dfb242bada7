"""One request through the gateway: foreseen, placed, sent, passed on and told of; exactly once, whatever happens.

    foresee     key, body, model, wishes, length              a Refusal, and nothing has been counted
    attempt     place -> begin -> slot -> engine -> first piece of the answer
                    an engine that fails before that piece: the next system, `most_retries` times
                    after it: the stream ends with an error event
    pass on     piece by piece, as they come; the receipt at the end
    tell        lengths, tokens and prefixes learn; the row goes to whoever listens

The task is cancelled when the client goes away, and what is held (slot, ticket, connection) is given back on the way
out. Between placing and beginning nobody else decides, since nothing awaits there.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from wattshed.gateway.api.body import PATHS, Route, rewritten
from wattshed.gateway.attribution.energy import Tokens
from wattshed.gateway.core import Attempt, Core, ModelDesk, Stand
from wattshed.gateway.events import Attempted, Called, Event, Placed, Solo
from wattshed.gateway.fleet.live import Outcome, Ticket
from wattshed.gateway.foresight import foresee
from wattshed.gateway.passing import Passing, request_headers
from wattshed.gateway.placing.asking import Bar, NoSystemError
from wattshed.gateway.placing.placement import Placement
from wattshed.gateway.story import Story
from wattshed.gateway.wire.failures import ClientGone, UpstreamError
from wattshed.gateway.wire.http import Request
from wattshed.gateway.wire.refusals import Kind, Refusal, sse_error
from wattshed.gateway.wire.reply import Reply

_log: Final = logging.getLogger(__name__)

_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = 500

_REFUSALS: Final[dict[Bar, tuple[int, Kind]]] = {
    "no_such_model": (404, "model_not_found"),
    "unavailable": (503, "no_system"),
    "too_long": (400, "context_length_exceeded"),
    "all_tried": (502, "upstream_failed"),
    "busy": (503, "overloaded"),
    "beyond_wishes": (503, "infeasible"),
}

_OUTCOMES: Final[dict[str, Outcome]] = {"done": "completed", "client_gone": "cancelled"}
"""How a request's end counts for the router; all others failed."""


class Exchange:
    """One request, from its arrival to its row."""

    def __init__(self, core: Core, request: Request, reply: Reply, *, tell: Callable[[Event], None]) -> None:
        self._core, self._request, self._reply, self._tell = core, request, reply, tell
        self.story = Story.of(request, next(core.fresh_names), core.now_s())
        self._tried: set[int] = set()
        self._failure: Refusal | None = None
        self._spent_tokens = 0.0

    async def run(self, route: Route) -> None:
        """Answer the request; whatever the end, one row is told."""
        story, core = self.story, self._core
        story.route = route
        traceparent = self._request.header("traceparent")
        if traceparent is not None:
            self._tell(Called(story.request, traceparent))
        core.exchanges += 1
        try:
            desk = foresee(self._core, self._request, route, story)
            self._spend()
            await self._attempts(desk)
        except Refusal as refusal:
            await self._refused(refusal)
        except (asyncio.CancelledError, ClientGone):
            story.outcome = "client_gone"
            raise
        finally:
            core.exchanges -= 1
            self._learn()
            self._tell(story.row(core.now_s()))

    def dry_run(self, route: Route) -> Placement:
        """Where the request would go now; nothing is sent, and nothing counted but what the key may ask for."""
        self.story.route = route
        return self._place(foresee(self._core, self._request, route, self.story))

    def _spend(self) -> None:
        story = self.story
        assert story.ask is not None  # foresee() has just made it
        if story.key is not None and story.key.allowance.limited:
            tokens = story.ask.input_tokens + story.ask.forecast.mean
            self._core.allowances.spend(story.key_name, story.key.allowance, tokens)
            self._spent_tokens = tokens

    async def _attempts(self, desk: ModelDesk) -> None:
        """System after system, until one has answered."""
        most = self._core.settings.limits.most_retries + 1
        for attempt in range(1, most + 1):
            placement = self._place(desk)
            self.story.attempts = attempt
            try:
                await self._attempt(desk, placement)
            except UpstreamError as error:
                self._failed(desk.stands[placement.position], placement, error)
                if self._reply.started or attempt == most:
                    raise _refusal_of(error) from error
            else:
                return

    def _place(self, desk: ModelDesk) -> Placement:
        """The next system for it; `Refusal` where there is none."""
        story, began_s = self.story, self._core.now_s()
        assert story.ask is not None  # foresee() has made it
        available = self._core.taking(desk.stands, self._tried)
        if self._tried or available != story.ask.available:  # mostly nobody is tried, and all may be asked
            story.ask = replace(story.ask, available=available, tried=frozenset(self._tried))
        try:
            placement = desk.router.place(story.ask)
        except NoSystemError as error:
            if self._failure is not None:
                raise self._failure from error
            full = any(self._core.slots.full(stand.machine) for stand in desk.stands)
            bar: Bar = "busy" if full and error.reason == "unavailable" else error.reason
            raise Refusal(*_REFUSALS[bar], str(error), error.retry_after_s) from error
        story.placed(placement, desk.stands[placement.position].serving)
        self._tell(Placed(self._core.now_s() - began_s))
        return placement

    async def _attempt(self, desk: ModelDesk, placement: Placement) -> None:
        """One system: a ticket from now on, a slot when there is one, and both given back."""
        core, story, stand = self._core, self.story, desk.stands[placement.position]
        ticket = desk.router.begin(placement)
        try:
            if not core.slots.enter_at_once(stand.machine):
                await core.slots.enter(stand.machine, most_wait_s=core.settings.limits.most_wait_s)
            story.wait_s, alone = core.now_s() - story.arrived_at_s, core.slots.alone(stand.machine)
            try:
                await self._asked(desk, stand, ticket)
                if alone is not None and alone == core.slots.alone(stand.machine):
                    self._was_alone(stand)
            finally:
                core.slots.leave(stand.machine)
        except (asyncio.CancelledError, ClientGone):
            story.outcome = "client_gone"
            raise
        finally:
            self._finished(desk, stand, ticket)

    async def _asked(self, desk: ModelDesk, stand: Stand, ticket: Ticket) -> None:
        """Ask the engine, and pass on what it says; `UpstreamError` where it fails."""
        core, story, call = self._core, self.story, self.story.call
        assert call is not None  # foresee() has read it
        self._began(stand)
        usage = call.stream and not call.include_usage
        body = rewritten(self._request.body, call.model, model=stand.serving.upstream_model, include_usage=usage)
        headers = request_headers(self._request, stand.system)
        upstream = core.upstreams[stand.machine]
        answer = await upstream.send("POST", PATHS[call.route], headers, body, meanwhile=lambda: story.foreseen)
        try:
            story.status = answer.status
            passing = Passing(answer, self._reply, story, now_s=core.now_s)
            if answer.status >= _SERVER_ERRORS or answer.status == _TOO_MANY:
                return await self._turned_down(desk, stand, passing)

            def first_token() -> None:
                desk.router.first_token(ticket)
                if story.metered:
                    core.first_token(stand, self._attempt_now)

            await (passing.stream(first_token) if passing.streams else passing.whole(first_token))
            if story.outcome == "done":
                core.health.succeeded(stand.machine)
                self._tell(Attempted(stand.system.name))
        finally:
            answer.close()

    def _was_alone(self, stand: Stand) -> None:
        """Tell what the predictor can be held against: a whole answer to a whole prompt."""
        story, usage = self.story, self.story.usage
        if story.outcome != "done" or usage is None or usage.cached_tokens or story.route == "embeddings":
            return
        if usage.input_tokens >= 1 and usage.output_tokens >= 1:
            runtime_s = self._core.now_s() - story.arrived_at_s - (story.wait_s or 0.0)
            self._tell(
                Solo(
                    story.request,
                    stand.system.name,
                    story.model,
                    stand.serving.measured.predictor,
                    usage.input_tokens,
                    usage.output_tokens,
                    runtime_s,
                    metered=story.metered,
                )
            )

    async def _turned_down(self, desk: ModelDesk, stand: Stand, passing: Passing) -> None:
        """An engine that says it cannot: the next system, or its own words where there is none."""
        story, placement = self.story, self.story.placement
        assert placement is not None  # we are on it
        status = story.status
        others = self._core.taking(desk.stands, self._tried | {placement.position})
        if any(others) and story.attempts <= self._core.settings.limits.most_retries:
            raise UpstreamError("gone_before_answer", f"{stand.system.name} answers {status}")
        self._failed(stand, placement, UpstreamError("gone_before_answer", f"status {status}"))
        story.failure = f"status_{status}"
        await passing.refusal()

    def _began(self, stand: Stand) -> None:
        story = self.story
        assert story.ask is not None  # foresee() has made it
        self._core.health.begun(stand.machine)
        story.metered = stand.system.agent is not None
        if story.metered:
            expected = Tokens(story.ask.input_tokens, max(1, round(story.ask.forecast.mean)))
            self._core.began(stand, self._attempt_now, expected)

    def _finished(self, desk: ModelDesk, stand: Stand, ticket: Ticket) -> None:
        """Give back the ticket, and tell the node's meter when the request was there."""
        usage, outcome = self.story.usage, self.story.outcome
        desk.router.finished(
            ticket,
            _OUTCOMES.get(outcome, "failed"),
            input_tokens=None if usage is None else usage.input_tokens,
            output_tokens=None if usage is None else usage.output_tokens,
        )
        if self.story.metered:
            tokens = None if usage is None else Tokens(usage.input_tokens, max(1, usage.output_tokens))
            self._core.finished(stand, self._attempt_now, tokens)
        if outcome == "client_gone":
            self._core.health.released(stand.machine)

    @property
    def _attempt_now(self) -> Attempt:
        return Attempt(self.story.request, self.story.attempts)

    def _failed(self, stand: Stand, placement: Placement, error: UpstreamError) -> None:
        """An engine failed: it is not asked again for this request, and its breaker hears of it."""
        _log.warning(
            "an attempt failed",
            extra={
                "request": self.story.request,
                "system": stand.system.name,
                "reason": error.reason,
                "error": str(error),
            },
        )
        self._tried.add(placement.position)
        self._failure = _refusal_of(error)
        self._core.health.failed(stand.machine, error.reason)
        self._core.prefixes.forget(stand.machine)
        self.story.wasted(placement, reached=error.reason != "connect_failed")
        self._tell(Attempted(stand.system.name, error.reason))

    async def _refused(self, refusal: Refusal) -> None:
        """Say no: as an answer, or as the last event of a stream that has begun."""
        story, reply = self.story, self._reply
        story.refused(refusal, begun=reply.started)
        if not reply.started:
            headers = (*refusal.headers, (b"x-request-id", story.name.encode("ascii")))
            await reply.whole(refusal.status, headers, refusal.as_json())
        elif not reply.ended:
            await reply.end(sse_error(refusal))

    def _learn(self) -> None:
        """What the next requests are foreseen by."""
        story, core, usage = self.story, self._core, self.story.usage
        if self._spent_tokens:
            used = 0 if usage is None else usage.input_tokens + usage.output_tokens
            core.allowances.settle(story.key_name, used - self._spent_tokens)
        if usage is not None and story.call is not None and story.length_key is not None:
            core.learn(story.call, story.length_key, usage)
            if story.placement is not None:
                core.remember(story.model, story.placement.position, story.call)


def _refusal_of(error: UpstreamError) -> Refusal:
    """What a client hears: no address, which is the operator's and stands in the log."""
    if error.reason == "timed_out":
        return Refusal(504, "upstream_timed_out", "the engine took too long to answer")
    return Refusal(502, "upstream_failed", f"the engine failed: {error.reason}")
