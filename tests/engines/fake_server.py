"""An OpenAI-compatible server that counts exactly: golden truth for the client, and every quirk that we know of.

Its tokens are words, after one beginning-of-text token (and five of a template in chat); its answers are `a` repeated.
It is a real server on loopback, in a thread of its own.
"""

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web

SPECIAL_TOKENS = 1
TEMPLATE_TOKENS = 5
EXTRAS = frozenset({"ignore_eos", "min_tokens", "cache_prompt"})


@dataclass(frozen=True)
class Behaviour:
    """What a server does, beyond answering; `None` and `False` are a server without quirks."""

    refuses: Mapping[str, int] = field(default_factory=dict)
    """Status by path."""
    strict: bool = False
    """Refuses the fields that make lengths exact."""
    counts: bool = True
    """Offers /tokenize."""
    usage: bool = True
    cached_tokens: int | None = None
    stops_after: int | None = None
    """Ends its answers after so many tokens, whatever was asked."""
    breaks_after: int | None = None
    """Drops the connection after so many tokens."""
    fails_after: int | None = None
    """Reports an error in the stream after so many tokens."""
    stalls: bool = False
    dies_when_reused: bool = False
    """Drops every connection at its second request."""
    says_done: bool = True
    fits: int = 10_000
    """Words of the longest prompt that it takes."""
    web_page: bool = False
    """Knows nothing of models, and says so in HTML."""
    together: int = 1
    """Answers nobody until so many requests are in flight."""


class FakeServer:
    """The server; `behaviour` may be changed while it runs, and `payloads` holds every completion asked of it."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.payloads: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.url = ""
        self._known: set[object] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def prompts(self) -> list[str]:
        """Every prompt read, in order."""
        return [_prompt(payload) for payload in self.payloads]

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._started(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Vanish, as a server that crashed; twice does no harm."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _started(self) -> web.AppRunner:
        application = web.Application(middlewares=[self._quirks])
        application.router.add_post("/v1/completions", self._complete)
        application.router.add_post("/v1/chat/completions", self._complete)
        application.router.add_post("/tokenize", self._tokenize)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.05)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    @web.middleware
    async def _quirks(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.behaviour.web_page:
            return web.Response(
                status=501, text="<html><body>Unsupported method</body></html>", content_type="text/html"
            )
        if self.behaviour.stalls:
            await asyncio.Event().wait()
        if self.behaviour.dies_when_reused and request.protocol in self._known:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self._known.add(request.protocol)
        if request.path in self.behaviour.refuses:
            body = {"error": {"message": f"no, said {request.headers.get('Authorization', 'nobody')}"}}
            return web.json_response(body, status=self.behaviour.refuses[request.path])
        response: web.StreamResponse = await handler(request)
        return response

    async def _tokenize(self, request: web.Request) -> web.Response:
        if not self.behaviour.counts:
            raise web.HTTPNotFound
        text = (await request.json())["content"]
        return web.json_response({"tokens": list(range(SPECIAL_TOKENS + len(text.split())))})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if self.behaviour.strict and EXTRAS & set(asked):
            return web.json_response({"detail": "extra fields not permitted"}, status=422)
        if len(json.dumps(asked).split()) > self.behaviour.fits:
            return web.json_response({"error": {"message": "the prompt is too long"}}, status=400)
        self.payloads.append(asked)
        self.headers.append(request.headers)
        await self._gathered()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self._streamed(request, response, asked)
        return response

    async def _gathered(self) -> None:
        """Wait until enough requests are in flight."""
        if self.behaviour.together > 1:
            turn = self._loop.create_future()
            self._waiting.append(turn)
            if len(self._waiting) == self.behaviour.together:
                for waiting in self._waiting:
                    waiting.set_result(None)
                self._waiting = []
            await turn

    async def _streamed(self, request: web.Request, response: web.StreamResponse, asked: dict[str, Any]) -> None:
        chat = "messages" in asked
        tokens = min(asked["max_tokens"], self.behaviour.stops_after or asked["max_tokens"])
        for made in range(tokens):
            if made == self.behaviour.breaks_after:
                assert request.transport is not None
                request.transport.abort()
                return
            if made == self.behaviour.fails_after:
                await response.write(_event({"error": {"message": "out of pages"}}))
                return
            piece: dict[str, Any] = {"delta": {"content": " a"}} if chat else {"text": " a"}
            reason = "length" if made + 1 == tokens else None
            await response.write(_event({"choices": [piece | {"finish_reason": reason}]}))
        if self.behaviour.usage:
            await response.write(_event({"choices": [], "usage": self._usage(asked, tokens)}))
        if self.behaviour.says_done:
            await response.write(b"data: [DONE]\n\n")

    def _usage(self, asked: dict[str, Any], tokens: int) -> dict[str, Any]:
        template = TEMPLATE_TOKENS if "messages" in asked else 0
        read = SPECIAL_TOKENS + template + len(_prompt(asked).split())
        usage: dict[str, Any] = {"prompt_tokens": read, "completion_tokens": tokens}
        cached = {"prompt_tokens_details": {"cached_tokens": self.behaviour.cached_tokens}}
        return usage if self.behaviour.cached_tokens is None else usage | cached


def _prompt(asked: dict[str, Any]) -> str:
    return str(asked.get("prompt") or asked["messages"][0]["content"])


def _event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"
