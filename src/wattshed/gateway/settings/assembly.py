"""The second pass over gateway.yaml: a document becomes `Settings`, and flaws pile up meanwhile.

document --> systems with predictors and secrets --> policies, by the systems' names --> settings --> checks
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from wattshed.domain.cost import Objective
from wattshed.domain.system import Limits
from wattshed.errors import InputError, MissingError, UsageError
from wattshed.gateway.ledger.database import Place
from wattshed.gateway.placing.slot_prices import read_prices
from wattshed.gateway.placing.tokenizer import read_tokenizer
from wattshed.gateway.settings.checks import check
from wattshed.gateway.settings.document import (
    AgentPart,
    Document,
    LedgerPart,
    OtelPart,
    ServingPart,
)
from wattshed.gateway.settings.policies import PolicyPart, PricedPart
from wattshed.gateway.settings.settings import (
    AgentSettings,
    LedgerSettings,
    Measured,
    ModelSettings,
    OtelSettings,
    Serving,
    Settings,
    SystemSettings,
)
from wattshed.gateway.settings.site import Site, Steps
from wattshed.policies.fixed import Random
from wattshed.policies.policy import Policy
from wattshed.predictors.fit import resolve
from wattshed.units import per_joule


@dataclass(frozen=True, slots=True)
class Overrides:
    """What flags say instead of the file."""

    host: str | None = None
    port: int | None = None


def assembled(document: Document, site: Site, overrides: Overrides) -> Settings:
    """The settings; they hold only if `site` has no flaws afterwards."""
    systems = tuple(_system(document, place, site) for place in range(len(document.systems)))
    models = tuple(_model(document, place, site) for place in range(len(document.models)))
    objective, names = document.objective.objective(), [system.name for system in systems]
    given = {name: value for name, value in (("host", overrides.host), ("port", overrides.port)) if value is not None}
    settings = Settings(
        models,
        systems,
        replace(document.listen, **given),  # type: ignore[arg-type]  # each value has the type of its name
        objective,
        _policy("policy", document.policy, names, objective, site),
        _policy("baseline", document.baseline, names, objective, site),
        None if document.shadow is None else _policy("shadow", document.shadow, names, objective, site),
        document.suffixes,
        {str(route): lam for route, lam in document.objective.routes.items()},
        None if document.keys is None else site.path(document.keys),
        site.secret((), "admin_key", document.admin_key_env, document.admin_key_file),
        document.limits,
        document.wire,
        document.upstream,
        document.health,
        None if document.ledger is None else _ledger(document.ledger, site),
        document.log,
        None if document.otel is None else _otel(document.otel, site),
        document.policy.tuning if isinstance(document.policy, PricedPart) else None,
    )
    check(settings, site)
    return settings


def _model(document: Document, place: int, site: Site) -> ModelSettings:
    part, vocabulary = document.models[place], None
    path = None if part.tokenizer is None else site.path(part.tokenizer)
    if path is not None:
        try:
            vocabulary = read_tokenizer(path)
        except (InputError, MissingError) as error:
            site.flaw(("models", place, "tokenizer"), str(error), "or leave it out, and tokens are estimated")
    return ModelSettings(part.name, tuple(part.aliases), tuple(part.variants), path, vocabulary)


def _system(document: Document, place: int, site: Site) -> SystemSettings:
    part, at, carbon_g_per_j = document.systems[place], ("systems", place), _carbon_g_per_j(document, place)
    unlimited = part.max_input_tokens is part.max_output_tokens is None
    return SystemSettings(
        part.name,
        part.url,
        tuple(
            replace(one, carbon_g_per_j=carbon_g_per_j)
            for index, serving in enumerate(part.serves)
            if (one := _serving(serving, part.name, site, (*at, "serves", index))) is not None
        ),
        part.context_tokens,
        part.slots,
        Limits(part.max_input_tokens, part.max_output_tokens, reason=None if unlimited else "set in the config"),
        site.secret(at, "api_key", part.api_key_env, part.api_key_file),
        part.forward_authorization,
        part.prefix_cache,
        part.host_power_w,
        part.wake_energy_j,
        part.wake_s,
        part.sleeps_after_s,
        None if part.agent is None else _agent(part.agent, site, (*at, "agent")),
        None if part.upstream is None else part.upstream.over(document.upstream),
    )


def _carbon_g_per_j(document: Document, place: int) -> float | None:
    """What a system's own grid emits, or the one of all."""
    own, general = document.systems[place].grid_carbon_g_per_kwh, document.grid_carbon_g_per_kwh
    if own is None:
        own = general
    return None if own is None else per_joule(own)


def _agent(part: AgentPart, site: Site, at: Steps) -> AgentSettings:
    return AgentSettings(part.url, site.secret(at, "token", part.token_env, part.token_file))


def _serving(part: ServingPart, system: str, site: Site, at: Steps) -> Serving | None:
    fitted = site.fitted((*at, "predictor"), part.predictor)
    if fitted is None:
        return None
    only = next(iter(fitted.predictors)) if len(fitted.predictors) == 1 else (system, part.model)
    wanted = part.measured_system or only[0], part.measured_model or only[1]
    try:
        pair = resolve([*fitted.predictors, *fitted.skipped], *wanted)
        predictor = fitted.predictor(*pair)
    except UsageError as error:
        site.flaw((*at, "predictor"), str(error), "name the pair with measured_system and measured_model")
        return None
    measured = Measured(site.path(part.predictor), *pair, fitted.channel, predictor)
    return Serving(part.model, part.upstream_model or part.model, measured, part.variant, joules=part.joules)


def _policy(key: str, part: PolicyPart, names: list[str], objective: Objective, site: Site) -> Policy:
    """The policy at a key; a flaw and any policy where it cannot be."""
    if isinstance(part, PricedPart) and part.self_tuned and key != "policy":
        site.flaw((key, "self_tuned"), "only the policy that decides can tune itself", "give it the prices of a plan")
    try:
        if isinstance(part, PricedPart) and part.prices is not None:
            return read_prices(site.path(part.prices), names, objective)
        return part.policy(names, objective)
    except KeyError as error:
        site.flaw((key,), f"there is no system {error.args[0]!r}", f"choose from {', '.join(names)}")
    except ValueError as error:
        site.flaw((key,), str(error), "correct the value")
    except (InputError, MissingError) as error:
        site.flaw((key, "prices"), str(error), "or write one with: wattshed plan --capacity --out FOLDER")
    return Random()


def _ledger(part: LedgerPart, site: Site) -> LedgerSettings:
    field, url = "url", part.url or ""
    if part.file is not None:
        field, url = "file", f"sqlite:///{site.path(part.file).absolute()}"
    try:
        place = Place.of(url)
    except UsageError as error:
        site.flaw(("ledger", field), str(error), "or name a file")
    else:
        if place.kind == "sqlite":
            site.check_writable(("ledger", field), Path(place.address))
    password = site.secret(("ledger",), "password", part.password_env, part.password_file)
    if password is not None and "@" not in url:
        site.flaw(("ledger", "url"), "has a password but no user", "write it as postgresql://USER@HOST/DATABASE")
    return LedgerSettings(url, password, part.keep_s)


def _otel(part: OtelPart, site: Site) -> OtelSettings:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        site.flaw(("otel",), "OpenTelemetry is not installed", "run: pip install 'wattshed[otel]'")
    return OtelSettings(part.endpoint, part.service)
