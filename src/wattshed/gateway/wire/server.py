"""The side of the gateway that clients see: a socket that listens, its connections, and their end.

Draining stops the listening, closes idle connections, lets the others finish what they answer, and then closes all.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from wattshed.gateway.wire.connection import Connection
from wattshed.gateway.wire.http import Sweep, WireLimits
from wattshed.gateway.wire.reply import Answering, Reply

__all__ = ["Answering", "Reply", "Server"]

UNWIND_S: Final = 5.0
"""How long cancelled tasks have to come to their end before we stop waiting for them."""

_log = logging.getLogger(__name__)


class Server:
    """Listens, and hands every request to `answering`."""

    def __init__(
        self, answering: Answering, limits: WireLimits | None = None, now_s: Callable[[], float] = monotonic
    ) -> None:
        self.answering, self.limits, self.now_s = answering, limits or WireLimits(), now_s
        self.draining = False
        shortest_s = min(self.limits.head_timeout_s, self.limits.body_timeout_s, self.limits.idle_timeout_s)
        self.connections: Sweep[Connection] = Sweep(min(shortest_s, self.limits.write_timeout_s), now_s)
        self._unwinding: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._emptied: asyncio.Event = asyncio.Event()

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; 0 takes a free one. OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=2048)
        return int(self._listener.sockets[0].getsockname()[1])

    async def drain(self, most_s: float) -> None:
        """Take no more connections, let answers come to their end for `most_s` at most, then close; no task is left."""
        self.draining = True
        self._stop_listening()
        for connection in self.connections.members():
            connection.leave_when_idle()
        await self._empty(most_s)
        busy = sum(connection.busy for connection in self.connections.members())
        if busy:
            _log.warning("closing %d connections that were still busy", busy)
        self.close()
        await self._empty(UNWIND_S)
        if self._unwinding:
            await asyncio.wait(self._unwinding, timeout=UNWIND_S)

    def close(self) -> None:
        """Drop everything now; the tasks are cancelled, and `drain` waits for them."""
        self.draining = True
        self._stop_listening()
        for connection in self.connections.members():
            connection.drop()

    def forget(self, connection: "Connection") -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not len(self.connections):
            self._emptied.set()

    def unwind(self, task: asyncio.Task[None]) -> None:
        """A cancelled task is coming to its end."""
        self._unwinding.add(task)
        task.add_done_callback(self._unwinding.discard)

    async def _empty(self, most_s: float) -> None:
        """Wait until no connection is left, for so long at most."""
        if len(self.connections):
            self._emptied.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), most_s)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
