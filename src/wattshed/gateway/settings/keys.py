"""Keys of clients: hashed where they lie, compared in constant time, with a name, an allowance and an objective each.

keys:
  - name: alice
    sha256: 5e88...                  # of the key; `wattshed key alice` makes one and prints it once
    requests_per_minute: 60          # default: no limit
    tokens_per_minute: 100000        # default: no limit
    lam: 0.8                         # default: what the model or the gateway says

Keys are 256 random bits, so a plain hash of one tells nothing about it; words that people choose would need a slow
hash, and none are taken.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from wattshed.gateway.fleet.admission import Allowance
from wattshed.gateway.wire.refusals import Refusal

PREFIX: Final = "ws-"
"""Begins every key, so that scanners for leaked secrets can know one."""

KEY_BYTES: Final = 32

ANYBODY: Final = "anybody"
"""The name of every client of a gateway without keys."""


@dataclass(frozen=True, slots=True)
class Key:
    """One client's key, as it is kept; `sha256` is of the key itself, in hex."""

    name: str
    sha256: str
    allowance: Allowance = field(default_factory=Allowance)
    lam: float | None = None

    def __post_init__(self) -> None:
        if len(self.sha256) != hashlib.sha256().digest_size * 2 or not set(self.sha256) <= set("0123456789abcdef"):
            raise ValueError(f"key {self.name!r}: sha256 has 64 hexadecimal digits, in lower case")
        if self.lam is not None and not 0 <= self.lam <= 1:
            raise ValueError(f"key {self.name!r}: lambda lies in [0, 1], got {self.lam}")


def new_key() -> str:
    """A key that nobody has had before."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hashed(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """All keys of a gateway; an empty one lets anybody in."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_hash = {key.sha256: key for key in keys}

    @property
    def names(self) -> tuple[str, ...]:
        """Whose keys they are."""
        return tuple(key.name for key in self._by_hash.values())

    @property
    def locked(self) -> bool:
        """Whether a key is needed."""
        return bool(self._by_hash)

    def owner(self, authorization: str | None) -> Key | None:
        """Whose key an Authorization header bears; `None` where none is needed, `Refusal` 401 without the right one."""
        if not self.locked:
            return None
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Refusal(401, "invalid_api_key", "this gateway needs a key: send 'Authorization: Bearer KEY'")
        sought = hashed(secret.strip())
        key = self._by_hash.get(sought)
        # The look-up saw hashes only; the comparison is for whoever mistrusts the timing of a dictionary.
        if key is None or not hmac.compare_digest(key.sha256, sought):
            raise Refusal(401, "invalid_api_key", "this key is not known here")
        return key
