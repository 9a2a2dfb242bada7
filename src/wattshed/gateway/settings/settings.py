"""What a gateway is told once, before it starts: frozen values, checked, with every default in sight.

`file.py` makes them of gateway.yaml; nobody else reads that file or the environment. Secrets are `Secret`s, so
whatever prints, logs or encodes settings cannot give one away. A system's *position* is its index in `systems`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from wattshed.domain.choices import Channel
from wattshed.domain.cost import Objective
from wattshed.domain.system import Limits
from wattshed.gateway.fleet.health import HealthSettings
from wattshed.gateway.placing.slot_prices import Tuning
from wattshed.gateway.placing.tokenizer import Tokenizer
from wattshed.gateway.wire.http import UpstreamTimeouts, WireLimits, is_loopback
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import RoundRobin
from wattshed.policies.policy import Policy
from wattshed.predictors.curve import CurvePredictor

Joules = Literal["metered", "assumed"]
"""How the joules behind a predictor are known: by a meter, or from watts that somebody assumed."""

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class Secret:
    """A text that shows only where it came from. No dataclass: what encodes or copies fields finds none here."""

    __slots__ = ("_source", "_text")

    def __init__(self, text: str, *, source: str) -> None:
        self._text, self._source = text, source

    def reveal(self) -> str:
        """The text itself, for the one who sends it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._text, self._source) == (other._text, other._source)

    def __hash__(self) -> int:
        return hash(self._source)

    def __repr__(self) -> str:
        return f"(secret, from {self._source})"

    def __reduce__(self) -> str:
        raise TypeError("a secret is neither copied nor written")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where clients find the gateway; port 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = 8080
    allow_unprotected: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise ValueError(f"a port lies in 0 to 65535, got {self.port}")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model as clients call it; `variants` are the precisions and quantisations that count as the same model.

    `vocabulary` is what the file `tokenizer` holds; without one, tokens are estimated from bytes.
    """

    name: str
    aliases: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    tokenizer: Path | None = None
    vocabulary: Tokenizer | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """The predictor of one system and model, and where it comes from: the names are those of its file."""

    file: Path
    system: str
    model: str
    channel: Channel
    predictor: CurvePredictor = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Serving:
    """One model on one system: what it is called there, which variant it is, and what it costs.

    `carbon_g_per_j` is what the system's grid emits: grams of CO2 equivalent for a joule.
    """

    model: str
    upstream_model: str
    measured: Measured
    variant: str | None = None
    carbon_g_per_j: float | None = None
    joules: Joules = "metered"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where a node's `wattshed agent` tells its joules."""

    url: str
    token: Secret | None = None


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """One upstream server. `url` is what stands before `/v1/...`; clients cannot change it.

    `prefix_cache` says whether the engine keeps prompts that it has read; where it does not, all input is priced.
    `upstream` are time-outs of its own. A machine that sleeps once nobody has asked it for `sleeps_after_s` takes
    `wake_energy_j` and `wake_s` to wake.
    """

    name: str
    url: str
    serves: tuple[Serving, ...]
    context_tokens: int
    slots: int = 1
    limits: Limits = field(default_factory=Limits)
    api_key: Secret | None = None
    forward_authorization: bool = False
    prefix_cache: bool = False
    host_power_w: float = 0.0
    wake_energy_j: float = 0.0
    wake_s: float = 0.0
    sleeps_after_s: float | None = None
    agent: AgentSettings | None = None
    upstream: UpstreamTimeouts | None = None

    def serving(self, model: str) -> Serving | None:
        """How it serves a model, if it does."""
        return next((one for one in self.serves if one.model == model), None)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How far the gateway goes before it gives up.

    Requests that wait for a system, and how long each may; systems tried after a first one failed; blocks of prompts
    remembered, all systems together; and seconds that open streams are given when it stops.
    """

    most_queued: int = 64
    most_wait_s: float = 30.0
    most_retries: int = 2
    most_prefix_blocks: int = 20_000
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("most_queued", 0), ("most_retries", 0), ("most_prefix_blocks", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is at least {least}, got {getattr(self, name)}")
        if not (0 < self.most_wait_s < inf and 0 <= self.drain_s < inf):
            raise ValueError("most_wait_s and drain_s are finite times above 0 s")


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where the rows of requests go (a URL without its password), and for how long; `None`: for ever."""

    url: str
    password: Secret | None = None
    keep_s: float | None = None

    def whole_url(self) -> str:
        """The URL with the password in its place, for the one who connects."""
        if self.password is None:
            return self.url
        scheme, _, rest = self.url.partition("://")
        user, _, place = rest.rpartition("@")
        return f"{scheme}://{user}:{quote(self.password.reveal(), safe='')}@{place}"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How much is logged, and whether for people or for programs."""

    level: LogLevel = "info"
    format: LogFormat = "text"


@dataclass(frozen=True, slots=True)
class OtelSettings:
    """Where OpenTelemetry's collector listens, as `http://HOST:4318`, and what the gateway is called there."""

    endpoint: str
    service: str = "wattshed"


@dataclass(frozen=True, slots=True)
class Named:
    """What a model's name means: the model, and lambda where a suffix sets it."""

    model: str
    lam: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that one gateway is told. `baseline` is what savings are counted against, `shadow` only watches.

    `suffixes` are what clients may append to a model's name, with the lambda that each means; `routes` are the lambdas
    of `chat`, `completions` and `embeddings`, where they differ from the objective's. With `tuning` the policy is one
    of prices, which find themselves.
    """

    models: tuple[ModelSettings, ...]
    systems: tuple[SystemSettings, ...]
    listen: Listen = Listen()
    objective: Objective = field(default_factory=Objective)
    policy: Policy = field(default_factory=lambda: Argmin(Objective()))
    baseline: Policy = field(default_factory=RoundRobin)
    shadow: Policy | None = None
    suffixes: Mapping[str, float] = field(default_factory=dict)
    routes: Mapping[str, float] = field(default_factory=dict)
    keys_file: Path | None = None
    admin_key: Secret | None = None
    limits: LimitSettings = LimitSettings()
    wire: WireLimits = field(default_factory=WireLimits)
    upstream: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    health: HealthSettings = field(default_factory=HealthSettings)
    ledger: LedgerSettings | None = None
    log: LogSettings = LogSettings()
    otel: OtelSettings | None = None
    tuning: Tuning | None = None

    def names(self) -> dict[str, Named]:
        """Every name that a client may ask for, models, aliases and both with suffixes, and what it means."""
        plain = {name: model.name for model in self.models for name in (model.name, *model.aliases)}
        bare = {name: Named(model) for name, model in plain.items()}
        return bare | {
            f"{name}:{suffix}": Named(model, lam)
            for name, model in plain.items()
            for suffix, lam in self.suffixes.items()
        }

    def serving(self, model: str) -> tuple[int, ...]:
        """Positions of the systems that serve a model."""
        return tuple(position for position, system in enumerate(self.systems) if system.serving(model))
