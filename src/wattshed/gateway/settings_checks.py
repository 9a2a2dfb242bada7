"""The second pass over gateway.yaml: what hangs together. A document becomes `Settings`, and flaws pile up meanwhile.

document --> systems with predictors and secrets --> policies, by the systems' names --> settings --> who may come in
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from wattshed.domain.cost import Objective
from wattshed.domain.system import Limits
from wattshed.errors import InputError, MissingError, UsageError
from wattshed.files import read_whole
from wattshed.gateway.settings import (
    AgentSettings,
    LedgerSettings,
    Measured,
    ModelSettings,
    OtelSettings,
    Secret,
    Serving,
    Settings,
    SystemSettings,
)
from wattshed.gateway.settings_document import (
    AgentPart,
    Document,
    LedgerPart,
    OtelPart,
    ServingPart,
)
from wattshed.gateway.settings_policies import PolicyPart, PricedPart
from wattshed.gateway.slot_prices import read_prices
from wattshed.gateway.tokenizer import read_tokenizer
from wattshed.policies.fixed import Random
from wattshed.policies.policy import Policy
from wattshed.predictors.file import load
from wattshed.predictors.fit import Fitted, resolve
from wattshed.units import per_joule

BUNDLED: Final = "bundled:demo"
"""What a config calls the predictors that ship with the gateway."""

DEMO_PREDICTORS: Final = Path(__file__).with_name("demo-predictors.json")
"""Llama-2 (7B) on M1-Pro and Swing AMD+A100. Made by `python tools/demo_predictors.py`."""

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with a document, at the key that `at` leads to."""

    at: Steps
    problem: str
    fix: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """What flags say instead of the file."""

    host: str | None = None
    port: int | None = None


@dataclass(slots=True)
class Site:
    """Where a document is read: its folder, its environment, the predictor files opened, and the flaws so far."""

    folder: Path
    environ: Mapping[str, str]
    flaws: list[Flaw] = field(default_factory=list)
    opened: dict[Path, Fitted] = field(default_factory=dict)

    def flaw(self, at: Steps, problem: str, fix: str) -> None:
        """Note what is wrong."""
        self.flaws.append(Flaw(at, problem, fix))

    def secret(self, at: Steps, name: str, variable: str | None, file: str | None) -> Secret | None:
        """The secret `name` of the part at `at`, from the variable or the file that stands there, if any does."""
        if variable is not None:
            return self._sound((*at, f"{name}_env"), self.environ.get(variable), f"environment variable {variable}")
        if file is None:
            return None
        place = (*at, f"{name}_file")
        try:
            text = read_whole(self.folder / file, wanted="a file that holds nothing but the secret").decode()
        except (MissingError, UnicodeDecodeError) as error:
            self.flaw(place, str(error) if isinstance(error, MissingError) else "is not text", "write the secret there")
            return None
        return self._sound(place, text.strip(), f"file {file}")

    def fitted(self, at: Steps, name: str) -> Fitted | None:
        """The predictors in a file."""
        path = self.path(name)
        try:
            if path not in self.opened:
                self.opened[path] = load(path)
        except (InputError, MissingError) as error:
            self.flaw(at, str(error).partition("; give ")[0], "write one with: wattshed fit PROFILE --out FILE")
            return None
        return self.opened[path]

    def path(self, name: str) -> Path:
        """A file that the document names, relative to its folder."""
        return DEMO_PREDICTORS if name == BUNDLED else self.folder / name

    def _sound(self, at: Steps, text: str | None, source: str) -> Secret | None:
        if not text or not (text.isascii() and text.isprintable()):
            # The name is not repeated: people paste the secret itself where its name belongs.
            problem = f"what it names is {'not plain text of one line' if text else 'not set, or empty'}"
            self.flaw(at, problem, "put the secret there before the gateway starts")
            return None
        return Secret(text, source=source)


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
    _check_names(settings, site)
    _check_agents(settings, site)
    _check_serving(settings, site)
    _check_protected(settings, site)
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
        site.flaw((key, "prices"), str(error), "write one with: wattshed plan --capacity --out FOLDER")
    return Random()


def _ledger(part: LedgerPart, site: Site) -> LedgerSettings:
    url = part.url if part.file is None else f"sqlite:///{site.path(part.file).absolute()}"
    password = site.secret(("ledger",), "password", part.password_env, part.password_file)
    if password is not None and "@" not in (url or ""):
        site.flaw(("ledger", "url"), "has a password but no user", "write it as postgresql://USER@HOST/DATABASE")
    return LedgerSettings(url or "", password, part.keep_s)


def _otel(part: OtelPart, site: Site) -> OtelSettings:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        site.flaw(("otel",), "OpenTelemetry is not installed", "run: pip install 'wattshed[otel]'")
    return OtelSettings(part.endpoint, part.service)


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
        from wattshed.gateway.keys_file import read_keys

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
