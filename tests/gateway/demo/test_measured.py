"""The embedded demo's quick look at an engine, on one whose seconds and joules are known."""

import asyncio

import numpy as np
import pytest

from wattshed.domain.system import System
from wattshed.errors import EngineError
from wattshed.gateway.demo.demo import DemoServer, demo_machines
from wattshed.gateway.demo.measured import CELLS, CONCURRENCIES, Subject, measured
from wattshed.predictors.fit import Fitted

SYSTEM = System("mac", "llama-2-7b", "imitated", kv_cache=True)


def look(server: DemoServer) -> Fitted:
    """What is found out about an engine."""

    async def run() -> Fitted:
        port = await server.start()
        try:
            url = f"http://127.0.0.1:{port}"
            return await measured(Subject(SYSTEM, url, lambda: server.occupancy.energy_j, "imitated"))
        finally:
            await server.stop()

    return asyncio.run(run())


def test_joules_are_found_as_they_are() -> None:
    """Between the measured shapes the fit is within a tenth of the machine's own joules."""
    machine = demo_machines(speed_up=1000.0, slots=2)["mac"]

    fitted = look(DemoServer(machine))

    predictor = fitted.predictor("mac", "llama-2-7b")
    found, known = predictor.predict(np.array([40]), np.array([10])), machine.predictor.predict([40], [10])
    assert found.energy_j == pytest.approx(known.energy_j, rel=0.1)
    assert (fitted.kind, fitted.channel) == ("batch", "cpu")


def test_every_shape_is_tried_at_every_concurrency() -> None:
    """Requests are as long as they are said to be, a warm-up before them."""
    server = DemoServer(demo_machines(speed_up=1000.0, slots=2)["mac"])

    look(server)

    seen = [(one.input_tokens, one.output_tokens) for one in server.answered]
    assert seen == [CELLS[0], *(cell for among in CONCURRENCIES for cell in CELLS for _ in range(among))]


def test_an_engine_that_is_not_there_is_told() -> None:
    """Nothing is fitted to nothing."""
    with pytest.raises(EngineError, match="mac could not be measured"):
        asyncio.run(measured(Subject(SYSTEM, "http://127.0.0.1:9", lambda: 0.0, "none")))
