"""A client of one OpenAI-compatible server: `probe` finds what it understands, `complete` streams one answer.

A kept connection that dies before any byte is replaced (llama.cpp closes after each stream and says otherwise). Every
wait has an end, and what goes wrong is an `EngineError` with a reason:

    refused or reset connection, broken stream   engine_gone
    no answer in time                            timed_out
    4xx, 5xx, no JSON, no usage                  refused, with what the server says
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from wattshed.engines.completions import DIALECTS, Answer, Dialect, Transcript, complaint, json_object
from wattshed.errors import EngineError

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S: Final = 10.0
"""Longest wait for a connection to be accepted."""

WEB_PAGE: Final = "text/html"
"""What a server answers with that is none of a model's; OpenAI-compatible ones speak JSON even to refuse."""

LONGEST_MESSAGE: Final = 300
"""Characters of a server's complaint that are passed on."""


class Client:
    """Talks to one server; every wait has an end. The key goes into the header and nowhere else."""

    def __init__(
        self, base_url: str, model: str, *, api_key: str | None, timeout_s: float, now_s: Callable[[], float]
    ) -> None:
        self._base_url, self._model, self._now_s = base_url.rstrip("/").removesuffix("/v1"), model, now_s
        self._api_key, self._timeout_s = api_key, timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._dialect = DIALECTS[0]

    @property
    def dialect(self) -> Dialect:
        """What the server was found to understand."""
        return self._dialect

    async def probe(self, prompt: str) -> Answer:
        """Find the dialect by asking for one token; `EngineError` where the server takes none."""
        for dialect in DIALECTS:
            self._dialect = dialect
            try:
                return await self.complete(prompt, 1)
            except _RefusedError as error:
                refusal = error
        raise EngineError("refused", str(refusal))

    async def complete(self, prompt: str, output_tokens: int) -> Answer:
        """Stream one completion to its end."""
        payload = self._dialect.payload(self._model, prompt, output_tokens)
        with self._translated():
            sent_at_s, response = await self.post(self._dialect.path, payload)
            transcript = Transcript(sent_at_s)
            async with response:
                async for line in response.content:
                    transcript.take(line, self._now_s())
        return transcript.answer()

    async def count(self, text: str) -> int | None:
        """Tokens of a text by the server's own tokenizer; `None` where it does not offer one."""
        # vLLM reads `prompt`, llama.cpp reads `content`; each ignores the other's.
        payload = {"model": self._model, "prompt": text, "content": text, "add_special": True}
        try:
            with self._translated():
                _, response = await self.post("/tokenize", payload)
                async with response:
                    tokens = json_object(await response.json(content_type=None)).get("tokens")
        except _RefusedError:
            return None
        return len(tokens) if isinstance(tokens, list) else None

    async def post(self, path: str, payload: Mapping[str, object]) -> "tuple[float, aiohttp.ClientResponse]":
        """The instant of sending, and the response as soon as its header is there; `_RefusedError` for 4xx and 5xx.

        A connection that was kept from an earlier request may have died meanwhile; then another is taken.
        """
        import aiohttp

        session = self._opened()
        while True:
            connection = SimpleNamespace(reused=False)
            sent_at_s = self._now_s()
            try:
                response = await session.post(self._base_url + path, json=payload, trace_request_ctx=connection)
                break
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not connection.reused:
                    raise
        if response.status >= 400 or response.content_type == WEB_PAGE:
            async with response:
                raise _RefusedError(await self._complaint(path, response))
        return sent_at_s, response

    async def close(self) -> None:
        """Close every connection; twice does no harm."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # the caller says how many at once
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S),
                headers={"Authorization": f"Bearer {self._api_key}"} if self._api_key else {},
                trace_configs=[trace],
            )
        return self._session

    async def _complaint(self, path: str, response: "aiohttp.ClientResponse") -> str:
        """What came back instead of an answer, in one line."""
        if response.content_type == WEB_PAGE:
            what = f"{self._base_url}{path} answered {response.status} with a web page"
            return f"{what}, so no model is served there; give the address of one that speaks the OpenAI API"
        return f"{path} answered {response.status}: {self._cleaned(await response.text())}"

    def _cleaned(self, body: str) -> str:
        """What the server complains of, in one line, without our key should it quote that."""
        try:
            words = complaint(json_object(json.loads(body))) or body
        except ValueError:
            words = body
        secret = self._api_key or "\0"
        return " ".join(words.replace(secret, "***").split())[:LONGEST_MESSAGE]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the network and of JSON as `EngineError` with a reason."""
        import aiohttp

        try:
            yield
        except TimeoutError as error:
            raise EngineError("timed_out", f"{self._base_url}: no answer in {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise EngineError("engine_gone", f"{self._base_url}: {str(error) or type(error).__name__}") from error
        except ValueError as error:
            raise EngineError("refused", f"{self._base_url} speaks no JSON: {error}") from error


class _RefusedError(EngineError):
    """4xx or 5xx: another dialect may fare better."""

    def __init__(self, problem: str) -> None:
        super().__init__("refused", problem)


async def _note_reuse(_session: object, context: SimpleNamespace, _parameters: object) -> None:
    context.trace_request_ctx.reused = True
