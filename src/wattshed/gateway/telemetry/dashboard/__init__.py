"""The dashboard: one HTML file that asks for nothing but `/dashboard/state` and `/dashboard/events`.

Its script and style stand in it, and the headers allow those two by their hashes and nothing else: whatever a client
puts into a model's name, no other script can run. The page holds no data, so it may be given to anybody; the two
addresses that it asks want a key where the gateway does.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

_INLINE: Final = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """What `GET /dashboard` answers."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def read_page() -> Page:
    """The page and its headers, as the package ships it."""
    body = files(__name__).joinpath("index.html").read_bytes()
    allowed = {kind.decode(): _hash(content) for kind, content in _INLINE.findall(body)}
    rules = (
        "default-src 'none'",
        "connect-src 'self'",
        "img-src data:",
        f"script-src '{allowed['script']}'",
        f"style-src '{allowed['style']}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return Page(
        (
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", "; ".join(rules).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-cache"),
        ),
        body,
    )


def _hash(content: bytes) -> str:
    return "sha256-" + b64encode(sha256(content).digest()).decode()
