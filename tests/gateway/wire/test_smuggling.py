"""Smuggled requests and injected headers, through the gateway to an engine of the demo."""

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.gateway.wire.attacks import ATTACKS, attack, tapped
from wattshed.gateway.app import Gateway
from wattshed.gateway.demo.demo import demo_fleet
from wattshed.gateway.wire.http import WireLimits
from wattshed.gateway.wire.server import Server


@pytest.mark.parametrize("name", ATTACKS)
def test_no_request_becomes_two_and_no_header_comes_in(name: str) -> None:
    """An engine is asked for what is honest in an attack, and for nothing else."""

    async def run() -> None:
        async with demo_fleet(speed_up=1e6) as fleet, tapped(urlsplit(fleet.urls["a100"]).port or 80) as tap:
            settings = fleet.settings()
            url = f"http://127.0.0.1:{tap.port}"
            systems = tuple(replace(one, url=url, agent=None) for one in settings.systems)
            models = tuple(replace(one, aliases=("llama",)) for one in settings.models)
            gateway = Gateway(replace(settings, systems=systems, models=models), rng=np.random.default_rng(0))
            server = Server(gateway.answer, WireLimits(head_timeout_s=0.1, body_timeout_s=0.1, idle_timeout_s=0.1))
            try:
                await attack(await server.start("127.0.0.1", 0), tap, name)
            finally:
                await server.drain(1.0)
                gateway.close()

    asyncio.run(run())
