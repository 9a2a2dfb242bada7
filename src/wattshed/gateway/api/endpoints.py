"""Every path of the gateway's API, named once: its method, what it takes, what it answers, and with what it refuses.

`app.py` asks this table which methods a path takes, and `openapi.py` describes it; a test holds that the gateway
answers at each of these. The dashboard is for people and stands in neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Takes = Literal["chat", "completions", "embeddings", "either", "nothing"]
"""The body of a request: `either` is that of a chat or of completions."""

Says = Literal["answer", "models", "placement", "state", "readiness", "reloaded", "document", "metrics"]
"""The body of an answer."""

Key = Literal["client", "admin", "none"]
"""Whose key opens a path, where the gateway has keys."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path. `refusals` are the statuses of its own, beside those of every path."""

    path: str
    method: Literal["GET", "POST"]
    meaning: str
    says: Says
    takes: Takes = "nothing"
    key: Key = "none"
    refusals: tuple[int, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """What it may be asked by; a HEAD is a GET without the body (RFC 9110, section 9.3.2)."""
        return ("GET", "HEAD") if self.method == "GET" else ("POST",)

    @property
    def generates(self) -> bool:
        """Whether an engine is asked."""
        return self.says == "answer"


_ASKED: Final = (400, 401, 404, 429, 500, 502, 503, 504)

ENDPOINTS: Final = (
    Endpoint("/v1/chat/completions", "POST", "An answer to a conversation", "answer", "chat", "client", _ASKED),
    Endpoint("/v1/completions", "POST", "A text that goes on", "answer", "completions", "client", _ASKED),
    Endpoint("/v1/embeddings", "POST", "Vectors of texts", "answer", "embeddings", "client", _ASKED),
    Endpoint(
        "/v1/route",
        "POST",
        "Where a request would go, and why; nothing is sent",
        "placement",
        "either",
        "client",
        (400, 401, 404, 500, 503),
    ),
    Endpoint("/v1/models", "GET", "Every name that may be asked for", "models", key="client", refusals=(401,)),
    Endpoint("/health", "GET", "That the process lives", "state"),
    Endpoint("/ready", "GET", "Whether a request would find a system", "readiness", refusals=(503,)),
    Endpoint("/metrics", "GET", "Counts for Prometheus", "metrics"),
    Endpoint("/openapi.json", "GET", "This document", "document"),
    Endpoint(
        "/admin/reload",
        "POST",
        "Read the settings again; what is wrong in them changes nothing",
        "reloaded",
        key="admin",
        refusals=(401, 403, 404, 422),
    ),
)

REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "What was sent makes no sense: HTTP, JSON, a field, a header, or more than the context holds",
        401: "No key, or a client's that is not known",
        403: "Not the admin key",
        404: "No such model, or no such path",
        405: "Another method; `Allow` names those that are taken",
        408: "The request took too long to arrive",
        413: "The body is too large",
        417: "Another expectation than `100-continue`",
        422: "The settings are wrong, and as they were",
        429: "More than the key is allowed, or than the engines take; `Retry-After` says when to come back",
        431: "The head of the request is too large",
        500: "A defect of the gateway, or an engine's own words",
        502: "Every engine that was tried failed",
        503: "No system may take it, or the gateway is stopping; `Retry-After` says when to come back",
        504: "An engine was silent for too long",
        505: "Another version of HTTP",
    }
)
"""Every status that is no answer, and when it is sent."""

EVERYWHERE: Final = (400, 405, 408, 413, 417, 431, 505)
"""What any path may refuse with, before it is known which one was meant."""

METHODS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {endpoint.path: endpoint.methods for endpoint in ENDPOINTS}
)
"""The methods that each path takes."""
