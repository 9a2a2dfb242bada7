"""A stream on its way from the engine to the client, and what is learned from it in passing.

                             the client
    chunk of text            gets it at once, byte for byte
    chunk with usage only    gets it at the end with the receipt, if it asked for usage; else never
    last text with usage     gets it at the end with the receipt, if it asked for usage; else at once
    [DONE]                   gets it at the end: the receipt comes before it
    half an event            gets it when it is whole, or never: what is torn must not be seen
    no JSON object           gets an error instead, where first and last byte give it away

Most of what comes is whole events of text, and passes without being taken apart. Of one stream they are alike but for
the text itself: one that begins and ends as the last did, with no quotes between, has nothing to look at either.
"""

import re
from typing import Final

from wattshed.gateway.api.receipt import Receipt
from wattshed.gateway.api.usage import Usage, read_chunk
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.sse import DONE, Event, SseReader

_FINISHED: Final = (b'"finish_reason":"', b'"finish_reason": "')
"""How an engine says in a chunk that a text is complete; within a text its quotes would be escaped."""


_TEXT: Final = re.compile(rb'"(?:content|reasoning_content|text)": ?"([^"\\]+)"')
"""A text without quotes, in a chat or in a completion."""


class Relay:
    """One stream. `wants_usage` is whether the client asked for the chunk with usage.

    `usage` is what the engine counted, if it has; `done` after `[DONE]`; `failed` when the engine reported an error,
    which the client has seen too.
    """

    __slots__ = (
        "_back",
        "_done",
        "_earlier",
        "_finished",
        "_front",
        "_reader",
        "_usage_event",
        "_wants_usage",
        "failed",
        "usage",
    )

    def __init__(self, *, wants_usage: bool) -> None:
        self.failed = False
        self.usage: Usage | None = None
        self._front = self._back = b""
        self._wants_usage, self._reader = wants_usage, SseReader()
        self._earlier, self._usage_event, self._done, self._finished = b"", b"", b"", False

    @property
    def done(self) -> bool:
        """Whether the engine said that this is all."""
        return bool(self._done)

    @property
    def complete(self) -> bool:
        """Whether the engine told its end in any of the usual ways; `transformers serve` has no `[DONE]`."""
        return self.done or self._finished or self.failed or self.usage is not None

    @property
    def torn(self) -> bool:
        """Whether half an event is here; at the end of the stream, that it broke off."""
        return bool(self._reader.rest.strip())

    def take(self, received: bytes) -> bytes:
        """What the client gets now; maybe nothing. `UpstreamError` where an event never ends."""
        if not self._reader.rest:
            front, back = self._front, self._back
            alike = front and received.startswith(front) and received.endswith(back)
            if alike and received.find(b'"', len(front), -len(back)) < 0:
                return received
            if _is_plain(received):
                self._passes(received)
                return received
        return b"".join([event.raw for event in self._reader.feed(received) if self._goes_on(event)])

    def ending(self, receipt: Receipt | None) -> bytes:
        """What was kept for the end: the chunk with usage and the comment, both with the receipt, and `[DONE]`."""
        if receipt is None:
            return self._earlier + self._usage_event + self._done
        usage_event = self._usage_event and receipt.inside(self._usage_event)
        return self._earlier + usage_event + receipt.comment() + self._done

    def _passes(self, event: bytes) -> None:
        """Note what a plain event says, and what stands around its first text."""
        self._finished = self._finished or _finishes(event)
        text = _TEXT.search(event)
        self._front, self._back = (b"", b"") if text is None else (event[: text.start(1)], event[text.end(1) :])

    def _goes_on(self, event: Event) -> bool:
        if event.data is None:
            return True
        said = event.data.strip()
        if said == DONE:
            self._done = event.raw
            return False
        if said and not (said.startswith(b"{") and said.endswith(b"}")):
            raise UpstreamError("malformed", "an event of the stream is no JSON object")
        self._finished = self._finished or _finishes(said)
        chunk = read_chunk(said)
        self.usage = chunk.usage or self.usage
        self.failed |= chunk.failed
        if self._wants_usage and chunk.usage is not None and (chunk.usage_only or _finishes(said)):
            self._earlier, self._usage_event = self._earlier + self._usage_event, event.raw
            return False
        return not chunk.usage_only


def _is_plain(received: bytes) -> bool:
    """Whether these are whole events with nothing in them to look at."""
    return (
        received[:5] == b"data:"
        and received[-3:] == b"}\n\n"
        and (b'"usage"' not in received or received.count(b'"usage"') == received.count(b'"usage":null'))
        and b'"error"' not in received
        and DONE not in received
    )


def _finishes(received: bytes) -> bool:
    return _FINISHED[0] in received or _FINISHED[1] in received
