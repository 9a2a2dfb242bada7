"""The shape of gateway.yaml: which keys there are, and what each may hold by itself.

What hangs together (names that refer to one another, files, the environment) is the business of `settings_file.py`.
Sections whose keys are the fields of a value in `settings.py` are read straight into it.
"""

from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, Self, TypeVar, get_type_hints
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, create_model
from pydantic import model_validator as validator

from wattshed.domain.cost import Objective
from wattshed.gateway.health import HealthSettings
from wattshed.gateway.settings import LimitSettings, Listen, LogSettings
from wattshed.gateway.wire import UpstreamTimeouts, WireLimits
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Policy
from wattshed.policies.threshold import Pair, ProductThreshold, Reading, Threshold, TwoThresholds

V = TypeVar("V")

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)
"""Building waits until a file is read: then one validator is made for the whole, and none for each part."""
_MOST_HOST_POWER_W = 100_000.0
"""More than a whole rack of servers draws: a slip of the unit."""


def _read(value: type[V]) -> BeforeValidator:
    """Reads a section into a frozen value that has no other fields; what its `__post_init__` refuses is a defect."""

    def section(given: object) -> V:
        return given if isinstance(given, value) else value(**dict(_model_of(value).model_validate(given)))

    return BeforeValidator(section)


def _model_of(value: type[Any]) -> type[BaseModel]:  # made when a file has the section, since each takes milliseconds
    kinds = get_type_hints(value)
    parts: dict[str, Any] = {
        one.name: (kinds[one.name], ... if one.default is MISSING else one.default) for one in fields(value)
    }
    return create_model(value.__name__, __config__=_STRICT, **parts)


def _http(url: str) -> str:
    """The URL of a server, without a slash at its end; ValueError says why it cannot be one."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("expected http://HOST:PORT or https://HOST")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold a secret: take it out, and use a key from the environment or a file")
    if parts.query or parts.fragment or not 0 < (parts.port or 1) < 2**16:
        raise ValueError("expected no query, no fragment, and a port from 1 to 65535")
    bare = url.rstrip("/")
    if bare.endswith("/v1"):
        raise ValueError("leave out /v1: the gateway appends it")
    return bare


_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Path = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
_Url = Annotated[str, Field(max_length=1000), AfterValidator(_http)]
_Lambda = Annotated[float, Field(ge=0, le=1)]
_Amount = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = _STRICT


class _Secretive(_Part):
    """A part with secrets: each stands in an environment variable or in a file, never here."""

    @validator(mode="after")
    def _one_source(self) -> Self:
        for name in type(self).model_fields:
            of = name.removesuffix("_env")
            if of != name and getattr(self, name) is not None and getattr(self, f"{of}_file") is not None:
                raise ValueError(f"expected {name} or {of}_file, not both")
        return self


class ModelPart(_Part):
    """A model as clients call it."""

    name: _Name
    aliases: list[_Name] = []
    variants: list[_Name] = []
    tokenizer: _Path | None = None


class ServingPart(_Part):
    """A model on a system. The measured names may be left out where the predictor file holds one pair."""

    model: _Name
    upstream_model: _Name | None = None
    variant: _Name | None = None
    predictor: _Path
    measured_system: _Name | None = None
    measured_model: _Name | None = None


class AgentPart(_Secretive):
    """The agent on a system's node."""

    url: _Url
    token_env: _Name | None = None
    token_file: _Path | None = None


class SystemPart(_Secretive):
    """An upstream server."""

    name: _Name
    url: _Url
    serves: list[ServingPart] = Field(min_length=1)
    context_tokens: int = Field(ge=2)
    slots: int = Field(default=1, ge=1, le=1_000_000)
    max_input_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    api_key_env: _Name | None = None
    api_key_file: _Path | None = None
    forward_authorization: bool = False
    prefix_cache: bool = False
    host_power_w: float = Field(default=0.0, ge=0, le=_MOST_HOST_POWER_W)
    wake_energy_j: _Amount = 0.0
    wake_s: _Amount = 0.0
    agent: AgentPart | None = None


class ObjectivePart(_Part):
    """Lambda, or the watts that one would spend to save a second."""

    lam: _Lambda | None = None
    exchange_w: _Amount | None = None
    energy_ref_j: float = Field(default=1.0, gt=0)
    runtime_ref_s: float = Field(default=1.0, gt=0)
    routes: dict[Literal["chat", "completions", "embeddings"], _Lambda] = {}

    @validator(mode="after")
    def _one_exchange(self) -> Self:
        if self.exchange_w is not None and (self.lam, self.energy_ref_j, self.runtime_ref_s) != (None, 1.0, 1.0):
            raise ValueError("exchange_w is in watts and needs no lam and no scales: expected one or the other")
        return self

    def objective(self) -> Objective:
        """The value."""
        if self.exchange_w is not None:
            return Objective.from_exchange(self.exchange_w)
        return Objective(1.0 if self.lam is None else self.lam, self.energy_ref_j, self.runtime_ref_s)


class ArgminPart(_Part):
    """Each request to the system where it costs least."""

    kind: Literal["argmin"]

    def policy(self, _: list[str], objective: Objective) -> Policy:
        """The policy."""
        return Argmin(objective)


class AllToPart(_Part):
    """Everything to one system."""

    kind: Literal["all_to"]
    system: _Name

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy; KeyError names a system that is not in `names`, here and below."""
        return AllTo(_position(names, self.system), self.system)


class RandomPart(_Part):
    """By lot."""

    kind: Literal["random"]

    def policy(self, _: list[str], __: Objective) -> Policy:
        """The policy."""
        return Random()


class RoundRobinPart(_Part):
    """By turns."""

    kind: Literal["round_robin"]

    def policy(self, _: list[str], __: Objective) -> Policy:
        """The policy."""
        return RoundRobin()


class _PairPart(_Part):
    below: _Name
    above: _Name

    def pair(self, names: list[str]) -> Pair:
        """The two systems."""
        return Pair.of(names, _position(names, self.below), _position(names, self.above))


class ThresholdPart(_PairPart):
    """By m, n or a weighted sum of them."""

    kind: Literal["threshold"]
    most_tokens: float
    input_weight: float = 1.0
    output_weight: float = 0.0

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy."""
        return Threshold(self.pair(names), self.most_tokens, self.input_weight, self.output_weight)


class ProductThresholdPart(_PairPart):
    """By the product m n."""

    kind: Literal["product_threshold"]
    most_product: float

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy."""
        return ProductThreshold(self.pair(names), self.most_product)


class TwoThresholdsPart(_PairPart):
    """By both lengths."""

    kind: Literal["two_thresholds"]
    most_input_tokens: float
    most_output_tokens: float
    reading: Reading = "and"

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy."""
        return TwoThresholds(self.pair(names), self.most_input_tokens, self.most_output_tokens, self.reading)


PolicyPart = Annotated[
    ArgminPart | AllToPart | RandomPart | RoundRobinPart | ThresholdPart | ProductThresholdPart | TwoThresholdsPart,
    Field(discriminator="kind"),
]


class LedgerPart(_Secretive):
    """A file of SQLite, or any database by its URL."""

    file: _Path | None = None
    url: _Name | None = None
    password_env: _Name | None = None
    password_file: _Path | None = None
    keep_s: float | None = Field(default=None, gt=0)

    @validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise ValueError("expected either file or url")
        if self.url is not None and urlsplit(self.url).password is not None:
            raise ValueError("a URL must not hold a secret: take it out, and use password_env or password_file")
        return self


class OtelPart(_Part):
    """A collector of OpenTelemetry."""

    endpoint: _Url
    service: _Name = "wattshed"


class Document(_Secretive):
    """The whole file."""

    listen: Annotated[InstanceOf[Listen], _read(Listen)] = Listen()
    models: list[ModelPart] = Field(min_length=1)
    systems: list[SystemPart] = Field(min_length=1)
    suffixes: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,50}$")], _Lambda] = {"eco": 1.0, "fast": 0.0}
    objective: ObjectivePart = ObjectivePart()
    policy: PolicyPart = ArgminPart(kind="argmin")
    baseline: PolicyPart = RoundRobinPart(kind="round_robin")
    shadow: PolicyPart | None = None
    keys: _Path | None = None
    admin_key_env: _Name | None = None
    admin_key_file: _Path | None = None
    limits: Annotated[InstanceOf[LimitSettings], _read(LimitSettings)] = LimitSettings()
    wire: Annotated[InstanceOf[WireLimits], _read(WireLimits)] = WireLimits()
    upstream: Annotated[InstanceOf[UpstreamTimeouts], _read(UpstreamTimeouts)] = UpstreamTimeouts()
    health: Annotated[InstanceOf[HealthSettings], _read(HealthSettings)] = HealthSettings()
    ledger: LedgerPart | None = None
    log: Annotated[InstanceOf[LogSettings], _read(LogSettings)] = LogSettings()
    otel: OtelPart | None = None


def _position(names: list[str], name: str) -> int:
    if name not in names:
        raise KeyError(name)
    return names.index(name)
