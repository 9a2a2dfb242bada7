"""`wattshed serve --demo --embedded`: real engines on this machine, in processes that end with the gateway."""

from functools import partial
from typing import TYPE_CHECKING

from wattshed.cli.frame import stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from wattshed.gateway.demo.embedded import EmbeddedFleet
    from wattshed.gateway.settings.assembly import Overrides
    from wattshed.gateway.settings.settings import Settings

KEPT = {
    "quota": "by quotas",
    "threads": "by threads alone, for no quotas can be set here (Linux control groups that this user may write)",
}


async def serve_embedded(
    overrides: "Overrides", core_w: tuple[float, float], ready: "Callable[[Settings, int], None]"
) -> None:
    """Start and measure the engines, and serve until SIGTERM or Ctrl-C."""
    from wattshed.gateway.app import serve
    from wattshed.gateway.demo.embedded import embedded_fleet
    from wattshed.gateway.demo.llama import weights
    from wattshed.gateway.telemetry.logs import start_logs

    weights()  # before anything is announced that cannot be
    say("starting two engines, and measuring them for some 20 s")
    async with embedded_fleet(core_w) as fleet:
        settings = fleet.settings(overrides)
        start_logs(settings.log)
        _introduce(fleet)
        await serve(settings, ready=partial(ready, settings))


async def settings_of_embedded(overrides: "Overrides", core_w: tuple[float, float]) -> "Settings":
    """The settings that would be served with; the engines are started and measured for them."""
    from wattshed.gateway.demo.embedded import embedded_fleet

    async with embedded_fleet(core_w) as fleet:
        return fleet.settings(overrides)


def say(text: str) -> None:
    """A line to whoever started it."""
    stderr().print(text, markup=False, soft_wrap=True)


def _introduce(fleet: "EmbeddedFleet") -> None:
    for engine in fleet.engines.values():
        say(f"demo engine {engine.title}: SmolLM2-135M on llama.cpp at {engine.url}")
    kept = {engine.kept for engine in fleet.engines.values()}
    say(f"shares of the processor are kept {KEPT['quota' if kept == {'quota'} else 'threads']}")
    say("joules are assumed, not measured: an engine's processor seconds times these watts (--assumed-core-w)")
