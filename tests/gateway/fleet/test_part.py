"""Machines that serve several models: one queue, one sleep, and company that all of them know."""

import asyncio
from dataclasses import replace
from weakref import ref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.scene import Scene, scene
from tests.gateway.serving import ask, batch, fleet, served
from wattshed.domain.cost import Objective
from wattshed.gateway.fleet.live import LiveFleet, Ticket
from wattshed.gateway.fleet.part import FleetPart, Shared
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.router import Router
from wattshed.gateway.settings.settings import ModelSettings, SystemSettings
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import RoundRobin
from wattshed.testing import VirtualClock


def routers(machines: list[ServedSystem], *served_by: tuple[int, ...]) -> tuple[list[Router], VirtualClock]:
    """A router a model over the machines that serve it, all of one fleet."""
    clock = VirtualClock()
    live = LiveFleet(machines)
    return [
        Router(
            [machines[machine] for machine in mine],
            Argmin(Objective(lam=1)),
            baseline=RoundRobin(),
            now_s=clock.now_s,
            rng=np.random.default_rng(0),
            shared=Shared(live, mine),
        )
        for mine in served_by
    ], clock


def test_a_request_for_one_model_is_waited_for_by_another() -> None:
    """What runs on a machine makes everyone wait who would go there, and nobody elsewhere."""
    (first, second, other), _ = routers(fleet(slots=1), (0,), (1, 0), (2,))

    ticket = first.begin(first.place(ask(1)))

    waits_s = [state.wait_s for state in second.state()]
    assert waits_s[0] == 0
    assert waits_s[1] == pytest.approx(first.state()[0].wait_s) == pytest.approx(ticket.service_s)
    assert other.state()[0].wait_s == 0


def test_what_one_model_wakes_is_awake_for_all() -> None:
    """The first request pays for waking, whichever model it is for."""
    (first, second), _ = routers(fleet(slots=2, wake_energy_j=10.0, wake_s=5.0), (0,), (0,))
    first.slept(0)
    assert second.place(ask(1)).price.wake_energy_j == 10

    first.begin(first.place(ask(1)))

    assert second.place(ask(1)).price.wake_energy_j == 0


def test_company_of_another_model_is_priced() -> None:
    """The joules of the next request are marginal to all that run on its machine."""
    (first, second), _ = routers([served("node", batch(), 8)], (0,), (0,))
    alone_j = second.place(ask(1)).decision.energy_j

    ticket = first.begin(first.place(ask(1)))
    beside_j = second.place(ask(1)).decision.energy_j
    first.finished(ticket, "completed")

    assert beside_j < alone_j
    assert second.place(ask(1)).decision.energy_j == pytest.approx(alone_j)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=40))
def test_everyone_sees_the_same_machines(steps: list[tuple[int, int, bool]]) -> None:
    """Whoever begins and ends what, each router says of a machine what the others say of it, and in the end nothing."""
    served_by = ((0, 1, 2), (2, 0), (1,))
    these, clock = routers(fleet(slots=2), *served_by)
    open_: list[tuple[Router, Ticket]] = []
    for model, rest, ends in steps:
        clock.sleep(0.1)
        if ends and open_:
            router, ticket = open_.pop(rest % len(open_))
            router.finished(ticket, "completed")
        else:
            router = these[model]
            open_.append((router, router.begin(router.place(ask(len(served_by[model]))))))
        said = [dict(zip(mine, router.state(), strict=True)) for router, mine in zip(these, served_by, strict=True)]
        assert all(view[machine] == said[0][machine] for view in said for machine in view)
    for router, ticket in open_:
        router.finished(ticket, "cancelled")

    assert all((state.in_flight, state.queued, state.tokens) == (0, 0, 0) for state in these[0].state())


def both(system: SystemSettings) -> SystemSettings:
    """The system, which serves another model as well."""
    [one] = system.serves
    return replace(system, serves=(one, replace(one, model="other")))


def test_a_gateway_s_models_share_their_machines() -> None:
    """While a request for one model runs, a dry run for another says how long it would wait."""
    models = (ModelSettings("llama-2-7b", ("demo",)), ModelSettings("other"))

    async def play(at: Scene) -> list[float]:
        core = at.gateway.core
        router = core.desks["llama-2-7b"].router
        before = await at.ask("/v1/route", model="other")
        tickets = [router.begin(router.place(ask(2, m=20, n=5))) for _ in range(2)]
        after = await at.ask("/v1/route", model="other")
        for ticket in tickets:
            router.finished(ticket, "completed")
        return [sum(one["wait_seconds"] for one in said.json["candidates"]) for said in (before, after)]  # type: ignore[attr-defined]  # a list

    async def played() -> list[float]:
        async with scene(each=both, models=models, speed_up=1.0) as at:
            return await play(at)

    before_s, after_s = asyncio.run(played())

    assert before_s == 0
    assert after_s > 0


def test_a_machine_that_sleeps_is_shown_priced_and_not_probed() -> None:
    """Page, metrics and dry run say that it sleeps; a probe lets it sleep, and a request wakes it."""
    clock = VirtualClock(100.0)

    def sleepy(system: SystemSettings) -> SystemSettings:
        return replace(system, sleeps_after_s=60.0, wake_energy_j=5.0, wake_s=1.0)

    async def asleep(at: Scene) -> list[bool]:
        state = await at.send("GET", "/dashboard/state")
        return [system["asleep"] for system in state.json["systems"]]  # type: ignore[attr-defined]  # a list

    async def play(at: Scene) -> None:
        assert await asleep(at) == [False, False]
        clock.sleep(61.0)
        for probe in at.gateway.core.probes():
            await probe()
        assert [one.connections for one in at.gateway.core.upstreams] == [0, 0]
        assert await asleep(at) == [True, True]
        assert b'wattshed_asleep{system="mac"} 1.0' in (await at.send("GET", "/metrics")).body
        assert "waking it takes 5 J" in str((await at.ask("/v1/route")).json["reason"])
        assert (await at.ask()).status == 200
        clock.sleep(2.0)
        assert await asleep(at) == [False, True]

    async def played() -> None:
        async with scene(each=sleepy, now_s=clock.now_s) as at:
            await play(at)

    asyncio.run(played())


def test_a_fleet_holds_no_part_that_is_gone() -> None:
    """A fleet outlives the routers of a reload, and must not keep them."""
    live = LiveFleet([served("a", batch()), served("b", batch())])
    part = FleetPart(live, (1,))
    gone = ref(part)
    part.look(1.0)

    del part

    assert gone() is None
