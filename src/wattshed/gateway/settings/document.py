"""The shape of gateway.yaml: which keys there are, and what each may hold by itself.

What hangs together (names that refer to one another, files, the environment) is the business of `file.py`.
Policies are in `policies.py`. Sections whose keys are the fields of a value are read straight into it.
"""

from dataclasses import replace
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, InstanceOf
from pydantic import model_validator as validator

from wattshed.domain.cost import Objective
from wattshed.gateway.fleet.health import HealthSettings
from wattshed.gateway.settings.parts import (
    Amount,
    Duration,
    FilePath,
    GridCarbon,
    Lambda,
    Name,
    Part,
    Secretive,
    Url,
    read,
)
from wattshed.gateway.settings.policies import ArgminPart, PolicyPart, RoundRobinPart
from wattshed.gateway.settings.settings import Joules, LimitSettings, Listen, LogSettings
from wattshed.gateway.wire.http import UpstreamTimeouts, WireLimits

_MOST_HOST_POWER_W = 100_000.0
"""More than a whole rack of servers draws: a slip of the unit."""


class ModelPart(Part):
    """A model as clients call it."""

    name: Name
    aliases: list[Name] = Field(default=[])
    variants: list[Name] = Field(default=[])
    tokenizer: FilePath | None = None


class ServingPart(Part):
    """A model on a system. The measured names may be left out where the predictor file holds one pair.

    `joules` says whether those of the predictor were metered, or rest on assumed watts: then receipts say so.
    """

    model: Name
    upstream_model: Name | None = None
    variant: Name | None = None
    joules: Joules = "metered"
    predictor: FilePath
    measured_system: Name | None = None
    measured_model: Name | None = None


class AgentPart(Secretive):
    """The agent on a system's node."""

    url: Url
    token_env: Name | None = None
    token_file: FilePath | None = None


class TimeoutsPart(Part):
    """Time-outs of one system, each instead of the general one."""

    connect_s: Duration | None = None
    first_byte_s: Duration | None = None
    silence_s: Duration | None = None
    idle_s: Duration | None = None
    whole_s: Duration | None = None

    def over(self, general: UpstreamTimeouts) -> UpstreamTimeouts:
        """All of them."""
        return replace(general, **{name: own for name, own in dict(self).items() if own is not None})


class SystemPart(Secretive):
    """An upstream server."""

    name: Name
    url: Url
    serves: list[ServingPart] = Field(min_length=1)
    context_tokens: int = Field(ge=2)
    slots: int = Field(default=1, ge=1, le=1_000_000)
    max_input_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    api_key_env: Name | None = None
    api_key_file: FilePath | None = None
    forward_authorization: bool = False
    prefix_cache: bool = False
    host_power_w: float = Field(default=0.0, ge=0, le=_MOST_HOST_POWER_W)
    wake_energy_j: Amount = 0.0
    wake_s: Amount = 0.0
    sleeps_after_s: Duration | None = None
    agent: AgentPart | None = None
    upstream: TimeoutsPart | None = None
    grid_carbon_g_per_kwh: GridCarbon | None = None

    @validator(mode="after")
    def _one_that_sleeps(self) -> Self:
        if self.sleeps_after_s is None and (self.wake_s or self.wake_energy_j):
            raise ValueError("a system that never sleeps need not wake: expected sleeps_after_s with its wake_s")
        return self


class ObjectivePart(Part):
    """Lambda, or the watts that one would spend to save a second."""

    lam: Lambda | None = None
    exchange_w: Amount | None = None
    energy_ref_j: float = Field(default=1.0, gt=0)
    runtime_ref_s: float = Field(default=1.0, gt=0)
    routes: dict[Literal["chat", "completions", "embeddings"], Lambda] = Field(default={})

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


class LedgerPart(Secretive):
    """A file of SQLite, or any database by its URL."""

    file: FilePath | None = None
    url: Name | None = None
    password_env: Name | None = None
    password_file: FilePath | None = None
    keep_s: float | None = Field(default=None, gt=0)

    @validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise ValueError("expected either file or url")
        if self.url is not None and urlsplit(self.url).password is not None:
            raise ValueError("a URL must not hold a secret: take it out, and use password_env or password_file")
        return self


class OtelPart(Part):
    """A collector of OpenTelemetry."""

    endpoint: Url
    service: Name = "wattshed"


class Document(Secretive):
    """The whole file."""

    listen: Annotated[InstanceOf[Listen], read(Listen)] = Listen()
    models: list[ModelPart] = Field(min_length=1)
    systems: list[SystemPart] = Field(min_length=1)
    suffixes: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,50}$")], Lambda] = Field(default={"eco": 1.0, "fast": 0.0})
    objective: ObjectivePart = ObjectivePart()
    policy: PolicyPart = ArgminPart(kind="argmin")
    baseline: PolicyPart = RoundRobinPart(kind="round_robin")
    shadow: PolicyPart | None = None
    keys: FilePath | None = None
    admin_key_env: Name | None = None
    admin_key_file: FilePath | None = None
    limits: Annotated[InstanceOf[LimitSettings], read(LimitSettings)] = LimitSettings()
    wire: Annotated[InstanceOf[WireLimits], read(WireLimits)] = WireLimits()
    upstream: Annotated[InstanceOf[UpstreamTimeouts], read(UpstreamTimeouts)] = UpstreamTimeouts()
    health: Annotated[InstanceOf[HealthSettings], read(HealthSettings)] = HealthSettings()
    grid_carbon_g_per_kwh: GridCarbon | None = None
    ledger: LedgerPart | None = None
    log: Annotated[InstanceOf[LogSettings], read(LogSettings)] = LogSettings()
    otel: OtelPart | None = None
