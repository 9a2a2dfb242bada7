"""How an engine of the demo tells its answer, and the ways in which it may fail at that.

    status_500, status_429   an error of OpenAI's shape, the second with Retry-After
    dies                     all connections of the engine are reset, as at the end of a process
    hangs                    no more comes
    slow                     nothing comes for `delay_s`, then all is well
    garbage                  the answer, or an event, is no JSON
    half_event               the answer, or an event, breaks off, and the body ends as if that were all
    drips                    byte by byte, each after `delay_s`

`after_tokens` says when: before any byte (`None`), after the head (0), or after so many tokens; an answer that is not
streamed stops half-way then.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal

import msgspec

from wattshed.gateway.demo.machine import Run
from wattshed.gateway.demo.words import Asked, ending, event, whole
from wattshed.gateway.wire.refusals import Refusal
from wattshed.gateway.wire.reply import Reply

FaultKind = Literal["status_500", "status_429", "dies", "hangs", "slow", "garbage", "half_event", "drips"]

JSON: Final = ((b"content-type", b"application/json"),)
EVENTS: Final = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"))
_GARBAGE: Final = b'{"choices": [oops'


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, for how many `requests` (`None`: until told otherwise), and when."""

    kind: FaultKind
    requests: int | None = None
    delay_s: float = 0.01
    after_tokens: int | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.delay_s) and self.delay_s >= 0) or min(self.requests or 0, self.after_tokens or 0) < 0:
            raise ValueError("a fault has a finite delay and counts from 0")

    @property
    def refusal(self) -> Refusal | None:
        """The error that is answered instead, where one is."""
        if self.kind == "status_500":
            return Refusal(500, "internal_error", "the demo was told to fail")
        if self.kind == "status_429":
            return Refusal(429, "rate_limit_exceeded", "the demo was told to refuse", 1.0)
        return None


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    kind: FaultKind | None = None
    requests: int | None = None
    delay_s: float = 0.01
    after_tokens: int | None = None


def wished(body: bytes) -> Fault | None:
    """The fault that a body asks for, none where it names no kind; `Refusal` 400 for what is no fault."""
    try:
        wish = msgspec.json.decode(body, type=_Wish)
        return None if wish.kind is None else Fault(wish.kind, wish.requests, wish.delay_s, wish.after_tokens)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise Refusal(400, "invalid_json", str(error)) from error


@dataclass(slots=True)
class Telling:
    """One answer on its way; `tokens` of it have gone out. `die` resets the connections."""

    asked: Asked
    serial: int
    reply: Reply
    fault: Fault | None
    die: Callable[[], None]
    tokens: int = 0

    async def tell(self, run: Run) -> None:
        """Send the answer as the machine makes it, unless something goes wrong on purpose."""
        if self._is("slow"):
            await asyncio.sleep(self.fault.delay_s if self.fault else 0)
        await self._stop_if(None)
        if self.asked.stream:
            await self._stream(run)
        else:
            await self._at_once(run)

    async def _at_once(self, run: Run) -> None:
        await run.until(self.asked.output_tokens)
        body = _GARBAGE if self._is("garbage") else whole(self.asked, self.serial)
        half = body[: len(body) // 2]
        if self._is("half_event"):
            await self.reply.whole(200, JSON, half)
            return
        if self._is("drips") or self._stops:
            await self.reply.start(200, JSON)
            await self._stop_if(0)
            await self._send(half)
            if self._stops:
                await self._stop()
            await self._send(body[len(half) :])
            await self.reply.end()
        else:
            await self.reply.whole(200, JSON, body)
        self.tokens = self.asked.output_tokens

    async def _stream(self, run: Run) -> None:
        await run.until(1)
        await self.reply.start(200, EVENTS)
        await self._stop_if(0)
        for token in range(self.asked.output_tokens):
            await run.until(token + 1)
            said = event(self.asked, self.serial, token)
            if self.tokens >= self._after and (self._is("garbage") or self._is("half_event")):
                spoilt = b"data: " + _GARBAGE + b"\n\n" if self._is("garbage") else said[: len(said) // 2]
                await self.reply.send(spoilt)
                await self.reply.end()
                return
            await self._send(said)
            self.tokens += 1
            await self._stop_if(self.tokens)
        for piece in ending(self.asked, self.serial):
            await self._send(piece)
        await self.reply.end()

    @property
    def _stops(self) -> bool:
        return self._is("dies") or self._is("hangs")

    @property
    def _after(self) -> int:
        return 0 if self.fault is None or self.fault.after_tokens is None else self.fault.after_tokens

    def _is(self, kind: FaultKind) -> bool:
        return self.fault is not None and self.fault.kind == kind

    async def _stop_if(self, tokens: int | None) -> None:
        """Stop, if this is the moment for it."""
        if self._stops and self.fault is not None and self.fault.after_tokens == tokens:
            await self._stop()

    async def _stop(self) -> None:
        """Die or hang; comes back by cancellation only."""
        if self._is("dies"):
            self.die()
        await asyncio.Event().wait()

    async def _send(self, piece: bytes) -> None:
        if not self._is("drips"):
            await self.reply.send(piece)
            return
        for place in range(len(piece)):
            await asyncio.sleep(self.fault.delay_s if self.fault else 0)
            await self.reply.send(piece[place : place + 1])
