"""What goes wrong on either side of the gateway's wire, as errors with a reason.

UpstreamError   an engine did not answer, or not to the end; the reason says what may be done about it:

    connect_failed       no connection: refused, unreachable, no such name, no agreement on TLS   try another system
    gone_before_answer   closed before any byte of an answer                                      try another system
    timed_out            silent for longer than allowed, before or in the middle of an answer
    broken_midway        closed in the middle of an answer
    malformed            what came is not HTTP/1.1, or more than we take

ClientGone      nobody is there to read the answer any more
"""

from typing import Literal

from wattshed.errors import WattshedError

Reason = Literal["connect_failed", "timed_out", "gone_before_answer", "broken_midway", "malformed"]


class UpstreamError(WattshedError):
    """An engine that failed an exchange; the message names the engine, never what was asked of it."""

    def __init__(self, reason: Reason, problem: str) -> None:
        self.reason: Reason = reason
        super().__init__(problem)


class ClientGone(WattshedError):  # noqa: N818 - nothing went wrong: who asked has left
    """The client has closed its connection, so the answer has no reader."""
