"""Privacy: what names a machine or a person is taken out of what is published, and looked for in it once more.

`scrubbed` replaces, `traces` finds. Both know the names of the machine they run on (`Identity`) and the shapes of
addresses, home folders and serial numbers, so that a bundle can be checked on another machine too.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"

PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "e-mail": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    "home": re.compile(r"(?<![\w.])(?:(?:/home/|/Users/|[A-Z]:\\Users\\)[^/\\\s:'\"]+|(?:/var)?/root(?![\w.-]))"),
    "hardware address": re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b"),
    "device": re.compile(r"\b(?:GPU-|MIG-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE),
    "address": re.compile(rf"(?<![\w.])(?!127\.|0\.0\.0\.0){_OCTET}(?:\.{_OCTET}){{3}}(?![\w.]*\w)"),
    "address, version 6": re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){3,7}(?::|[0-9A-Fa-f]{1,4})(?![\w:])"),
    "serial": re.compile(r"\b(?i:serial(?: number)?|s/n)\s*[:=#]\s*\S+"),
}
"""What gives a machine away, by kind; loopback addresses do not."""

NAME: Final = "name"
"""The kind of what names this machine or its user."""

COMMON: Final = frozenset({"root", "user", "admin", "ubuntu", "debian", "runner", "localhost", "localdomain", "host"})
"""Names that a thousand machines share, and that occur in other meanings."""

SHORTEST_NAME: Final = 3
"""A shorter name would be found in half of all words."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Words that name one machine and its user: host name, account, home folder."""

    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: Iterable[str]) -> "Identity":
        """Only the words that tell: no common names, none too short, none that are numbers; longest first."""
        telling = {word for word in words if len(word) >= SHORTEST_NAME and word.lower() not in COMMON}
        return cls(
            tuple(sorted((word for word in telling if not word.isdecimal()), key=lambda word: (-len(word), word)))
        )

    def without(self, public: Iterable[str]) -> "Identity":
        """Only the words that stand in none of these texts, which name products: a host called h100 may hold one."""
        texts = tuple(public)
        return Identity(tuple(word for word in self.words if not any(_names(word).search(text) for text in texts)))


def scrubbed(text: str, identity: Identity) -> str:
    """The text with everything that names the machine replaced by its kind in angle brackets."""
    for kind, pattern in _patterns(identity):
        text = pattern.sub(f"<{kind}>", text)
    return text


def traces(text: str, identity: Identity) -> tuple[str, ...]:
    """The kinds of names that the text still holds."""
    return tuple(kind for kind, pattern in _patterns(identity) if pattern.search(text))


def _patterns(identity: Identity) -> Iterable[tuple[str, re.Pattern[str]]]:
    yield from PATTERNS.items()
    for word in identity.words:
        yield NAME, _names(word)


def _names(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", re.IGNORECASE)
