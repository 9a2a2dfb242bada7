"""What hangs together in the settings of a gateway: names, agents, models with their systems, and who may come in."""

from collections import Counter
from collections.abc import Sequence

from wattshed.errors import InputError, MissingError
from wattshed.gateway.settings.settings import ModelSettings, Serving, Settings
from wattshed.gateway.settings.site import Site


def check(settings: Settings, site: Site) -> None:
    """Note all that is wrong between one part and another."""
    _check_names(settings, site)
    _check_agents(settings, site)
    _check_serving(settings, site)
    _check_protected(settings, site)


def doubts(settings: Settings) -> tuple[str, ...]:
    """What may be meant, but makes joules of company a guess: more slots than the predictor has seen requests at once.

    Measured on an H100: four at once took 0.58 of the joules that a profile of single requests predicted
    (docs/explanation/gateway-h100.md).
    """
    seen = [
        (system, one, one.measured.predictor.support.concurrencies[-1])
        for system in settings.systems
        for one in system.serves
    ]
    return tuple(
        f"{system.name} has {system.slots} slots, and its predictor of {one.model} has seen {most} at once: what more "
        "of them share it does not know; profile it with --concurrency"
        for system, one, most in seen
        if system.slots > most
    )


def _check_names(settings: Settings, site: Site) -> None:
    """No two things of one name."""
    for place in _repeated([system.name for system in settings.systems]):
        site.flaw(("systems", place, "name"), "another system has this name", "give each a name of its own")
    owned = [(place, name) for place, model in enumerate(settings.models) for name in (model.name, *model.aliases)]
    for index in _repeated([name for _, name in owned]):
        place, name = owned[index]
        site.flaw(("models", place), f"{name!r} is the name of two models", "give each its own names and aliases")
    plain = {name for _, name in owned}
    for place, name in owned:
        for suffix in settings.suffixes:
            if f"{name}:{suffix}" in plain:
                site.flaw(
                    ("models", place), f"'{name}:{suffix}' is a model too", f"rename it, or the suffix {suffix!r}"
                )


def _check_agents(settings: Settings, site: Site) -> None:
    """Each agent's joules are those of one system: two that split them would both get all of them."""
    metered = [(place, system.agent.url) for place, system in enumerate(settings.systems) if system.agent is not None]
    for index in _repeated([url for _, url in metered]):
        place, url = metered[index]
        problem = f"another system has the agent {url}, and its joules would be counted twice"
        site.flaw(("systems", place, "agent", "url"), problem, "leave out the agent of all but one of them")


def _check_serving(settings: Settings, site: Site) -> None:
    """Each model is served, by systems that may stand in for one another, with joules that may be compared."""
    known = [model.name for model in settings.models]
    for place, system in enumerate(settings.systems):
        served = [one.model for one in system.serves]
        for index, name in enumerate(served):
            if name not in known:
                fix = f"add it to models, or choose from {', '.join(known)}"
                site.flaw(("systems", place, "serves", index, "model"), f"there is no model {name!r}", fix)
        for index in _repeated(served):
            site.flaw(("systems", place, "serves", index), "the system serves this model already", "take one out")
    for place, model in enumerate(settings.models):
        _check_model(place, model, [one for system in settings.systems for one in system.serves], site)


def _check_model(place: int, model: ModelSettings, serves: Sequence[Serving], site: Site) -> None:
    ours, at = [one for one in serves if one.model == model.name], ("models", place)
    if not ours and not site.flaws:
        site.flaw(at, f"no system serves {model.name!r}", "add it to the serves of a system")
    variants, channels = {one.variant for one in ours}, {one.measured.channel for one in ours}
    strange = sorted(str(variant or "(none)") for variant in variants if variant not in model.variants)
    if len(variants) > 1 and strange:
        fix = "list in its variants all that count as the same model, and name each system's variant"
        site.flaw(at, f"is served in variants that it does not list: {', '.join(strange)}", fix)
    if len(channels) > 1:
        problem = f"its systems were measured on several channels ({', '.join(sorted(channels))}), not to be compared"
        site.flaw(at, problem, "fit all of them with one --channel")


def _check_protected(settings: Settings, site: Site) -> None:
    """Strangers are kept out, unless the file says that they may come in."""
    if settings.keys_file is not None:
        from wattshed.gateway.settings.keys_file import read_keys

        try:
            if not read_keys(settings.keys_file).locked:
                site.flaw(("keys",), "the file holds no key", "make one with: wattshed key NAME")
        except (InputError, MissingError) as error:
            site.flaw(("keys",), str(error).partition("; give ")[0], "make one with: wattshed key NAME")
    elif not settings.listen.loopback and not settings.listen.allow_unprotected:
        problem = f"{settings.listen.host} can be reached from other machines, and no keys are set"
        fix = "set keys, listen on 127.0.0.1, or say allow_unprotected: true"
        site.flaw(("listen", "host"), problem, fix)


def _repeated(names: Sequence[str]) -> list[int]:
    """Places of the names that stood before already."""
    seen: Counter[str] = Counter()
    places = []
    for place, name in enumerate(names):
        if seen[name]:
            places.append(place)
        seen[name] += 1
    return places
