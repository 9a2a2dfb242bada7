"""What tests of faults play with: a clock that can be moved, a fleet that fails, and what must be left afterwards.

The gateway stands in front of the demo fleet on real sockets. Requests go to `mac`, where they are cheapest, and `mac`
is what fails, so whatever `a100` answers was asked again.
"""

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

import numpy as np

from tests.gateway.metering.test_agent import TOKEN
from tests.gateway.scene import Said
from wattshed.gateway.core import Core, Minds
from wattshed.gateway.events import Event
from wattshed.gateway.ledger.ledger import Settlement
from wattshed.gateway.settings.keys import KeyRing
from wattshed.gateway.settings.settings import AgentSettings, Secret, Settings


class Hands:
    """A clock whose hands may be moved forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        """The clock, and what it was moved by."""
        return monotonic() + self.ahead_s


def code_of(said: Said) -> str:
    """The code of an error, which has OpenAI's shape."""
    error = said.json["error"]
    assert isinstance(error, dict)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return str(error["code"])


def at_url(settings: Settings, url: str) -> Settings:
    """The same with `mac` somewhere else."""
    mac, a100 = settings.systems
    return replace(settings, systems=(replace(mac, url=url), a100))


def core_of(settings: Settings, now_s: Callable[[], float] = monotonic) -> Core:
    """A core of these settings, which nobody probes."""
    return Core(settings, KeyRing(), Minds(), now_s=now_s, rng=np.random.default_rng(0))


def heard(tell: Callable[[Event], None], settled: list[Settlement]) -> Callable[[Event], None]:
    """The same, and settlements are kept."""

    def telling(event: Event) -> None:
        tell(event)
        if isinstance(event, Settlement):
            settled.append(event)

    return telling


def metered(settings: Settings, url: str) -> Settings:
    """The same with an agent at `mac` only."""
    mac, a100 = settings.systems
    agent = AgentSettings(url, Secret(TOKEN, source="the test"))
    return replace(settings, systems=(replace(mac, agent=agent), replace(a100, agent=None)))
