"""What the gateway says instead of an answer: one envelope, OpenAI's, whatever went wrong.

    {"error": {"message": what happened and what to do, "type": by status, "param": the field, "code": the kind}}

Official clients choose their exception by the status and show the message; `Retry-After` tells them when to come back.
Once a stream has begun its status is spent, and the same envelope goes out as one more event, which makes those clients
raise. It is no named event: that would break them.
"""

from math import ceil
from typing import Final, Literal

import msgspec

from wattshed.errors import WattshedError

Kind = Literal[
    "invalid_json",
    "invalid_type",
    "invalid_value",
    "missing_field",
    "invalid_request",
    "model_not_found",
    "not_found",
    "method_not_allowed",
    "context_length_exceeded",
    "body_too_large",
    "headers_too_large",
    "request_timed_out",
    "invalid_api_key",
    "forbidden",
    "rate_limit_exceeded",
    "infeasible",
    "overloaded",
    "no_system",
    "draining",
    "upstream_failed",
    "upstream_timed_out",
    "internal_error",
]
"""Why a request was refused; OpenAI's codes where it has one."""

_TYPES: Final = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
"""OpenAI's `type` by status, where the class of the status does not say it."""


class Refusal(WattshedError):  # noqa: N818  (an answer, not a defect: the word the whole gateway uses)
    """A request that gets no answer: an HTTP status, a code, and a message for whoever sent it.

    `param` is the path of the field that is wrong, such as `messages`; `retry_after_s` when to ask again; `allow` the
    methods that are taken.
    """

    def __init__(
        self,
        status: int,
        kind: Kind,
        message: str,
        retry_after_s: float | None = None,
        *,
        param: str | None = None,
        allow: tuple[str, ...] = (),
    ) -> None:
        self.status, self.kind, self.message = status, kind, message
        self.retry_after_s, self.param, self.allow = retry_after_s, param, allow
        super().__init__(message)

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of the answer, without its length."""
        headers = [(b"content-type", b"application/json")]
        if self.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % whole_s(self.retry_after_s)))
        if self.allow:
            headers.append((b"allow", ", ".join(self.allow).encode("ascii")))
        return tuple(headers)

    def as_json(self) -> bytes:
        """The envelope."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.kind}
        return msgspec.json.encode({"error": error})


def whole_s(wait_s: float) -> int:
    """Seconds for a `Retry-After` header, which takes whole ones: rounded up, at least 1 (RFC 9110, section 10.2.3)."""
    return max(1, ceil(wait_s))


def sse_error(refusal: Refusal) -> bytes:
    """The event that ends a stream which has already begun."""
    return b"data: " + refusal.as_json() + b"\n\n"
