"""What a client wants beside its answer: less energy or less time, within which limits; and what it knows of it.

    X-Wattshed-Lambda               1 is energy alone, 0 is time alone
    X-Wattshed-Exchange-Watts       watts that one would spend to save a second, instead of lambda
    X-Wattshed-Max-P95-Seconds      least energy among the systems that answer 19 of 20 such requests in this time
    X-Wattshed-Max-Joules           least time among those that are predicted to take no more than this
    X-Wattshed-Output-Tokens        how long the answer will be, where the client knows

The first that says something about lambda wins: header, key, suffix of the model's name, route, the gateway's own.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import isfinite
from typing import Final

import msgspec

from wattshed.domain.cost import Objective
from wattshed.domain.schema import MOST_TOKENS
from wattshed.gateway.placing.asking import NO_WISHES, Wishes
from wattshed.gateway.settings.keys import Key
from wattshed.gateway.settings.settings import Named
from wattshed.gateway.wire.http import Request
from wattshed.gateway.wire.refusals import Refusal

OURS: Final = b"x-wattshed-"
"""How the headers begin that are for the gateway alone."""

LAMBDA: Final = "x-wattshed-lambda"
EXCHANGE: Final = "x-wattshed-exchange-watts"
MAX_P95: Final = "x-wattshed-max-p95-seconds"
MAX_JOULES: Final = "x-wattshed-max-joules"
OUTPUT_TOKENS: Final = "x-wattshed-output-tokens"

MOST_WISHED: Final = 1e12
"""More than this in a header is a slip of the pen: J, s and W alike."""


class Wanted(msgspec.Struct, frozen=True):
    """The objective of one request, its limits, and the length of the answer where the client knows it."""

    objective: Objective
    wishes: Wishes
    output_tokens: int | None = None


def wanted_of(
    request: Request, key: Key | None, named: Named, *, route: str, own: Objective, routes: Mapping[str, float]
) -> Wanted:
    """What a request wants; `Refusal` 400 for a header that makes no sense. `own` is the gateway's objective."""
    asks = request.has_prefixed(OURS)  # mostly nothing is, and then five headers need not be looked for
    exchange_w, lam = (_number(request, EXCHANGE), _number(request, LAMBDA, most=1.0)) if asks else (None, None)
    said = (lam, None if key is None else key.lam, named.lam, routes.get(route))
    chosen = [one for one in said if one is not None]
    objective = _at(own, chosen[0]) if chosen else own
    if exchange_w is not None:
        if lam is not None:
            raise _senseless(EXCHANGE, f"and {LAMBDA} say the same thing twice; send one of them")
        objective = Objective.from_exchange(exchange_w)
    return Wanted(objective, _wishes(request), _tokens(request)) if asks else Wanted(objective, NO_WISHES)


@lru_cache(maxsize=256)
def _at(own: Objective, lam: float) -> Objective:
    """The gateway's objective at another lambda: the same object for all who want it, mostly a few keys."""
    return replace(own, lam=lam)


def _wishes(request: Request) -> Wishes:
    limits = {MAX_P95: _number(request, MAX_P95), MAX_JOULES: _number(request, MAX_JOULES)}
    for name, most in limits.items():
        if most == 0:
            raise _senseless(name, "is 0, and nothing is that cheap; send a number above 0")
    return Wishes(*limits.values())


def _tokens(request: Request) -> int | None:
    tokens = _number(request, OUTPUT_TOKENS, most=MOST_TOKENS)
    if tokens is not None and (tokens < 1 or tokens != int(tokens)):
        raise _senseless(OUTPUT_TOKENS, "is a whole number of at least 1")
    return None if tokens is None else int(tokens)


def _number(request: Request, name: str, *, most: float = MOST_WISHED) -> float | None:
    text = request.header(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        raise _senseless(name, f"is {text[:40]!r}, not a number") from None
    if not (isfinite(number) and 0 <= number <= most):
        raise _senseless(name, f"lies between 0 and {most:g}, got {text[:40]}")
    return number


def _senseless(name: str, problem: str) -> Refusal:
    return Refusal(400, "invalid_value", f"header {name} {problem}", param=name)
