"""An engine's answer on its way to the client: as it is, but for the receipt and what belongs to one connection only.

A stream's head goes out with its first piece, so that an engine which dies before it leaves the client none the wiser
and the next one may try. Secrets of clients go to no engine, and those of engines to no client.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from wattshed.domain.schema import RECEIPT_HEADERS
from wattshed.gateway.api.relay import Relay
from wattshed.gateway.api.usage import has_token, said_in
from wattshed.gateway.api.wanted import OURS
from wattshed.gateway.settings.settings import SystemSettings
from wattshed.gateway.story import Story
from wattshed.gateway.wire.answer import Answer
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import FRAMING, Headers, Request, bearer, forwardable
from wattshed.gateway.wire.reply import Reply

MOST_ANSWER_BYTES: Final = 64 * 2**20
"""Longest answer that is held as a whole; what is streamed has no limit."""

_SECRET: Final = frozenset({b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"cookie"})
"""Headers of a client that may bear its secrets."""

_KEPT_HERE: Final = FRAMING | _SECRET
"""Headers of a client that no engine is sent."""

_OURS_ALONE: Final = frozenset(
    {b"x-request-id", b"set-cookie", *(one.name.lower().encode("ascii") for one in RECEIPT_HEADERS)}
)
"""Headers of an engine that stay here: what we say ourselves, lest it stand there twice, and its cookies."""
_GOOD: Final = range(200, 300)

_ELSEWHERE: Final = range(300, 400)
"""Statuses of redirection: clients would follow them past the gateway, and no engine that is set up well has one."""


def request_headers(request: Request, system: SystemSettings) -> Headers:
    """What the engine is sent: the client's headers without secrets and without ours, and its own key."""
    passed = forwardable(request.headers, dropped=_KEPT_HERE)
    kept = tuple([header for header in passed if not header[0].startswith(OURS)])
    if system.api_key is not None:
        return (*kept, *bearer(system.api_key.reveal()))
    theirs = request.header("authorization") if system.forward_authorization else None
    return kept if theirs is None else (*kept, (b"authorization", theirs.encode("latin-1")))


class Passing:
    """Passes one answer on. The story learns of its first token, its usage and its end."""

    def __init__(self, answer: Answer, reply: Reply, story: Story, *, now_s: Callable[[], float]) -> None:
        self._answer, self._reply, self._story, self._now_s = answer, reply, story, now_s

    @property
    def streams(self) -> bool:
        """Whether the answer comes as events, as the client asked."""
        if self._story.call is None or not self._story.call.stream or self._answer.status not in _GOOD:
            return False
        kind = next((value for name, value in self._answer.headers if name == b"content-type"), b"")
        return kind.startswith(b"text/event-stream")

    async def refusal(self) -> None:
        """What an engine says that will not answer, in its own words."""
        said = await self._answer.whole(MOST_ANSWER_BYTES)
        await self._reply.whole(self._answer.status, self._headers(), said)

    async def whole(self, on_first_token: Callable[[], None]) -> None:
        """An answer in one piece, with the receipt in it."""
        story, answer = self._story, self._answer
        said = await answer.whole(MOST_ANSWER_BYTES)
        if answer.status in _ELSEWHERE:
            raise UpstreamError("malformed", "the answer sends the client elsewhere")
        whole, usage = said_in(said)
        if answer.status in _GOOD and not whole:
            raise UpstreamError("malformed", "the answer is no JSON object")
        on_first_token()
        story.usage = usage
        receipt = story.receipt(at_s=self._now_s(), ended=True) if answer.status in _GOOD else None
        story.outcome = "done"
        await self._reply.whole(
            answer.status,
            (*self._headers(), *(receipt.headers() if receipt else ())),
            receipt.inside(said) if receipt else said,
        )

    async def stream(self, on_first_token: Callable[[], None]) -> None:
        """An answer piece by piece, with the receipt at its end."""
        story, reply = self._story, self._reply
        relay, pieces = Relay(wants_usage=story.call is not None and story.call.include_usage), self._answer.chunks
        opening = await _opening(relay, pieces)
        begun = self._begun(opening, on_first_token)
        headers = story.receipt(at_s=self._now_s(), ended=False).headers()
        await reply.start(self._answer.status, (*self._headers(), *headers), opening)
        if not begun:
            await self._until_begun(relay, on_first_token)
        take, push = relay.take, reply.push
        await self._answer.pour(lambda piece: push(take(piece)), reply.cleared)
        if relay.torn or not relay.complete:
            raise UpstreamError("broken_midway", "the stream ended before it was complete")
        story.usage = relay.usage
        story.outcome = "broken" if relay.failed else "done"
        await reply.end(relay.ending(story.receipt(at_s=self._now_s(), ended=True)))

    def _begun(self, passed: bytes, on_first_token: Callable[[], None]) -> bool:
        """Whether the first token is in what is passed on; the story notes when."""
        begun = has_token(passed)
        if begun:
            on_first_token()
            self._story.first_token_at_s = self._now_s()
        return begun

    async def _until_begun(self, relay: Relay, on_first_token: Callable[[], None]) -> None:
        """Pass on what comes before the first token, which may be long in coming, and the token."""
        async for piece in self._answer.chunks:
            passed = relay.take(piece)
            begun = self._begun(passed, on_first_token)
            await self._reply.send(passed)
            if begun:
                return

    def _headers(self) -> Headers:
        """The engine's headers, and the request's name."""
        kept = [header for header in self._answer.headers if header[0] not in _OURS_ALONE]
        return (*kept, (b"x-request-id", self._story.name.encode("ascii")))


async def _opening(relay: Relay, pieces: AsyncIterator[bytes]) -> bytes:
    """The first that a client may see of a stream; `UpstreamError` where it ends before there is anything."""
    async for piece in pieces:
        opening = relay.take(piece)
        if opening:
            return opening
    if relay.torn or not relay.complete:
        raise UpstreamError("gone_before_answer", "the stream ended before its first event")
    return b""
