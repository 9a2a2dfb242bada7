"""Policies as the command line names them: KIND, KIND:VALUE or KIND:KEY=VALUE,..., kinds and keys as in gateway.yaml.

least-cost                                      also called optimum, as plans do, and argmin
all-to:NAME   random   round-robin   shortest-queue
threshold:below=mac,above=a100,most_tokens=32   and product-threshold, two-thresholds
best threshold on m and n                       any plan's name that `wattshed plan` prints
priced:plan.json                                by the shadow prices of `wattshed plan --capacity`
self-tuned                                      finds such prices as it goes, from nothing; self-tuned:10 every 10 s
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wattshed.errors import UsageError

if TYPE_CHECKING:
    from wattshed.domain.cost import Objective
    from wattshed.planner.evaluate import Evaluator
    from wattshed.policies.policy import Policy

KINDS: Final = (
    "least-cost, all-to:NAME, random, round-robin, shortest-queue, threshold:below=A,above=B,most_tokens=T, "
    "product-threshold:..., two-thresholds:..., a name that `wattshed plan` prints, priced:plan.json or self-tuned"
)

_WORDS: Final = {"missing": "is missing", "extra_forbidden": "is an unknown key", "string_too_short": "is empty"}
"""What pydantic says in other words, by its types of errors."""

_OPTIMUM: Final = {"argmin", "least_cost", "optimum"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy under the name that the user gave it; one that tunes itself begins with `policy`, every `period_s`."""

    text: str
    policy: "Policy"
    period_s: float | None = None


def rules(texts: list[str], evaluator: "Evaluator", objective: "Objective") -> list[Rule]:
    """The policies that were asked for, each under a name of its own; `UsageError` where one makes no sense."""
    for place, text in enumerate(texts):
        if text in texts[:place]:
            raise UsageError(f"--policy and --against name {text!r} twice; name each policy once")
    return [_rule(text, evaluator, objective) for text in texts]


def _rule(text: str, evaluator: "Evaluator", objective: "Objective") -> Rule:
    from wattshed.policies.argmin import Argmin

    kind, _, given = text.partition(":")
    name = kind.strip().lower().replace("-", "_").replace(" ", "_")
    if name in _OPTIMUM and not given:
        return Rule(text, Argmin(objective))
    if name == "shortest_queue" and not given:
        from wattshed.policies.fixed import ShortestQueue

        return Rule(text, ShortestQueue())
    if name == "priced":
        return Rule(text, _priced(text, given, evaluator, objective))
    if name == "self_tuned":
        return _self_tuned(text, given, evaluator, objective)
    planned = _planned(name, evaluator, objective) if not given else None
    return Rule(text, planned or _of_gateway(text, name, given, (evaluator.fleet.names, objective)))


def _planned(name: str, evaluator: "Evaluator", objective: "Objective") -> "Policy | None":
    """What `wattshed plan` calls so, if anything; it looks for the best thresholds only where one is asked for."""
    if not name.startswith(("best_threshold", "all_to_")):
        return None
    from wattshed.planner.planning import candidates

    known = {one.lower().replace("-", "_").replace(" ", "_"): one for one in candidates(evaluator, objective)}
    if name not in known:
        raise UsageError(f"no plan is called {name.replace('_', ' ')!r}; choose from {', '.join(known.values())}")
    return candidates(evaluator, objective)[known[name]]


def _of_gateway(text: str, name: str, given: str, of: tuple[tuple[str, ...], "Objective"]) -> "Policy":
    """A policy by its kind and keys in gateway.yaml."""
    from pydantic import TypeAdapter, ValidationError

    from wattshed.gateway.settings.policies import PolicyPart

    names, objective = of
    keys = {"system": given} if name == "all_to" else _keys(text, given)
    try:
        part = TypeAdapter[PolicyPart](PolicyPart).validate_python({"kind": name, **keys})
        return part.policy(list(names), objective)
    except ValidationError as error:
        raise UsageError(f"--policy {text}: {_first(error)}; write {KINDS}") from error
    except KeyError as error:
        raise UsageError(f"--policy {text}: no system {error.args[0]!r}; choose from {', '.join(names)}") from error
    except ValueError as error:
        raise UsageError(f"--policy {text}: {error}; write {KINDS}") from error


def _keys(text: str, given: str) -> dict[str, object]:
    """KEY=VALUE pairs, with numbers as numbers."""
    found: dict[str, object] = {}
    for pair in filter(None, given.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or key.strip() in found:
            raise UsageError(f"--policy {text}: wants each KEY=VALUE once, got {pair!r}; write {KINDS}")
        found[key.strip()] = _number(value)
    return found


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value.strip()


def _first(error: "ValueError") -> str:
    """What is wrong first, in a few words."""
    from pydantic import ValidationError

    assert isinstance(error, ValidationError)
    first = error.errors(include_url=False)[0]
    if first["type"] == "union_tag_invalid":
        return "is no policy"
    words = _WORDS.get(first["type"]) or first["msg"].replace("Input should be", "should be")
    place = ".".join(str(step) for step in first["loc"][1:])
    return f"{place} {words}" if place else words


def _priced(text: str, given: str, evaluator: "Evaluator", objective: "Objective") -> "Policy":
    from wattshed.gateway.placing.slot_prices import read_prices

    if not given:
        raise UsageError(f"--policy {text}: wants the plan.json of `wattshed plan --capacity`, like priced:plan.json")
    return read_prices(Path(given).expanduser(), evaluator.fleet.names, objective)


def _self_tuned(text: str, given: str, evaluator: "Evaluator", objective: "Objective") -> Rule:
    from wattshed.gateway.placing.slot_prices import Tuning
    from wattshed.policies.priced import Priced

    period_s = _number(given) if given else Tuning().every_s
    if not isinstance(period_s, float) or not 0 < period_s < float("inf"):
        raise UsageError(f"--policy {text}: wants the seconds between two looks, like self-tuned:10")
    return Rule(text, Priced.free(objective, len(evaluator.fleet.pools)), period_s)
