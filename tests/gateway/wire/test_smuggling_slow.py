"""Smuggled requests and injected headers, through `wattshed serve` to llama.cpp, which has a parser of its own."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.engines.llama_cpp import Llama, listening
from tests.gateway.processes import Engine, serving
from tests.gateway.wire.attacks import ATTACKS, attack, tapped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_nothing_is_smuggled_to_a_real_engine(tmp_path: Path) -> None:
    """Every attack asks llama.cpp for its honest part alone, which it answers, request by request."""
    with listening(Llama(slots=2)) as url:
        asyncio.run(_attacked(int(urlsplit(url).port or 80), tmp_path))


async def _attacked(engine_port: int, folder: Path) -> None:
    async with tapped(engine_port) as tap:
        fleet = {name: Engine(name, 1.0, port=tap.port) for name in ("mac", "a100")}
        changes = {"wire": {"head_timeout_s": 1.0, "body_timeout_s": 1.0}, "health": {"probe_every_s": 3600.0}}
        gateway = serving(fleet, folder, **changes)
        at = await asyncio.to_thread(gateway.__enter__)
        try:
            for name in ATTACKS:
                await attack(at.port, tap, name)
        finally:
            gateway.__exit__(None, None, None)
