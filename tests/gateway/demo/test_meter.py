"""The demo's meters count what its machines spend, and agents tell it."""

import asyncio
import json
import threading
from itertools import pairwise

import pytest

from tests.gateway.demo.test_demo import CHAT, body, told
from wattshed.gateway.demo.demo import demo_fleet, demo_machines
from wattshed.gateway.demo.machine import Occupancy
from wattshed.gateway.demo.meter import DemoMeter
from wattshed.gateway.wire.client import Upstream
from wattshed.meters.meter import Meter


class Clock:
    """Time that passes when told."""

    at_s = 100.0

    def now_s(self) -> float:
        """Now."""
        return self.at_s


def test_windows_between_marks_add_up() -> None:
    """The parts of a run have the joules of its pace, and all of them those of the whole."""

    async def use() -> None:
        clock = Clock()
        machine = demo_machines()["mac"]
        occupancy = Occupancy(machine, clock.now_s)
        meter, pace = DemoMeter(occupancy, clock.now_s), machine.pace(8, 16)
        marks_s = [meter.mark()]
        async with occupancy.run(pace):
            for _ in range(3):
                clock.at_s += float(pace.after_s[-1]) / 4
                marks_s.append(meter.mark())
            clock.at_s += 100.0
        marks_s.append(meter.mark())

        parts_j = [meter.between(start_s, stop_s).channels[0].energy_j for start_s, stop_s in pairwise(marks_s)]

        whole = meter.between(marks_s[0], marks_s[-1])
        assert sum(part_j or 0.0 for part_j in parts_j) == pytest.approx(whole.channels[0].energy_j)
        assert whole.channels[0].energy_j == pytest.approx(pace.energy_j[-1])
        assert parts_j[0] == pytest.approx(pace.spent_j(float(pace.after_s[-1]) / 4))
        assert whole.channels[1].energy_j == 0

    asyncio.run(use())


def test_an_instant_without_a_mark_has_no_joules() -> None:
    """Nobody read the counter there, and so it is said."""
    clock = Clock()
    meter = DemoMeter(Occupancy(demo_machines()["mac"], clock.now_s), clock.now_s)

    window = meter.between(1.0, meter.mark())

    assert {channel.reason for channel in window.channels} == {"not_bracketed"}


def test_marks_are_forgotten_in_the_end() -> None:
    """Memory is bounded: of very many marks the first is known no more."""
    clock = Clock()
    meter = DemoMeter(Occupancy(demo_machines()["mac"], clock.now_s), clock.now_s)
    first_s = meter.mark()

    for _ in range(5000):
        clock.at_s += 1.0
        last_s = meter.mark()

    assert meter.between(first_s, last_s).channels[0].reason == "not_bracketed"


def test_joules_may_be_read_from_a_thread() -> None:
    """While requests come and go, a thread that reads the counter sees it rise, and never a half of a change."""

    async def use() -> list[float]:
        clock, read, stopped = Clock(), list[float](), threading.Event()
        machine = demo_machines()["a100"]
        occupancy = Occupancy(machine, clock.now_s)

        def reads() -> None:
            while not stopped.is_set():
                read.append(occupancy.energy_j)

        reading = asyncio.create_task(asyncio.to_thread(reads))
        pace = machine.pace(8, 8)
        for _ in range(2000):
            async with occupancy.run(pace):
                clock.at_s += 1.0
            await asyncio.sleep(0)
        stopped.set()
        await reading
        return read

    read_j = asyncio.run(use())

    assert all(later >= earlier * (1 - 1e-9) for earlier, later in pairwise(read_j))


def test_each_machine_has_an_agent_that_tells_its_joules() -> None:
    """What an agent tells of a window is what its engine has spent in it, and the settings say where to ask."""

    async def use() -> None:
        async with demo_fleet(speed_up=1e4) as fleet:
            agent, engine = Upstream(fleet.agents["mac"]), Upstream(fleet.urls["mac"])
            since_s = json.loads((await told(agent, "/energy"))[1])["at_s"]
            await told(engine, CHAT, body(demo={"output_tokens": 9}))
            window = json.loads((await told(agent, f"/energy?since={since_s!r}"))[1])
            agent.close()
            engine.close()

            by_part = {part["name"]: part["energy_j"] for part in window["parts"]}
            assert by_part == {"gpu": pytest.approx(fleet.servers["mac"].answered[-1].energy_j), "cpu": 0.0}
            named = [system.agent.url for system in fleet.settings().systems if system.agent is not None]
            assert named == list(fleet.agents.values())

    asyncio.run(use())


def test_it_is_asked_as_every_meter() -> None:
    """What an agent asks of a meter, this one has under the same names."""
    asked = {"channels", "mark", "between"}

    assert asked <= set(dir(DemoMeter)) & set(dir(Meter))
