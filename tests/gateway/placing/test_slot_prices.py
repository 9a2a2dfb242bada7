"""Prices of slots in the gateway: a plan's, or such as find themselves, and where they show."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from tests.gateway.scene import Scene, scene
from tests.gateway.serving import ask, fleet
from tests.gateway.settings.test_settings import SMALL, defects, read
from wattshed.domain.cost import Objective
from wattshed.gateway.core import Core, Minds
from wattshed.gateway.fleet.live import LiveFleet
from wattshed.gateway.fleet.part import Shared
from wattshed.gateway.placing.among import among
from wattshed.gateway.placing.router import Router
from wattshed.gateway.placing.slot_prices import SlotPrices, Tuning
from wattshed.gateway.settings.keys import KeyRing
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo
from wattshed.policies.priced import Priced
from wattshed.testing import VirtualClock

ENERGY, SPEED = Objective(lam=1), Objective(lam=0)
PLAN = {
    "objective": {"lam": 0.5, "energy_ref_j": 1.0, "runtime_ref_s": 1.0, "exchange_w": 1.0},
    "prices": {"a100": 3.5, "mac": 0.25, "spare": 1.0},
    "tilts": {"a100": 0.5, "mac": 0, "spare": 0},
}
HALF = "objective: {lam: 0.5}\n"


def test_prices_of_a_plan_are_found_by_name(tmp_path: Path) -> None:
    """A plan's prices become a policy, in the order of the gateway's systems, at the gateway's objective."""
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))

    settings = read(tmp_path, SMALL + HALF + "policy: {kind: priced, prices: plan.json}\n")

    assert settings.policy == Priced(Objective(0.5), (0.25, 3.5), (0.0, 0.5))
    assert settings.tuning is None


def test_prices_may_find_themselves(tmp_path: Path) -> None:
    """Without a plan they begin at nothing; with one, there."""
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))

    bare = read(tmp_path, SMALL + "policy: {kind: priced, self_tuned: true, every_s: 2}\n")
    begun = read(tmp_path, SMALL + HALF + "policy: {kind: priced, self_tuned: true, prices: plan.json}\n")

    assert (bare.policy, bare.tuning) == (Priced(ENERGY, (0.0, 0.0)), Tuning(0.9, 2.0))
    assert begun.policy == Priced(Objective(0.5), (0.25, 3.5), (0.0, 0.5))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            "policy: {kind: priced}",
            "gateway.yaml:15, field 'policy': expected prices, a file of wattshed plan, or self_tuned: true",
        ),
        ("policy: {kind: priced, prices: plan.json, every_s: 1}", "'policy': every_s means nothing without self_tuned"),
        ("policy: {kind: priced, prices: no.json}", "field 'policy.prices': no.json: no such file"),
        ("policy: {kind: priced, prices: old.json}", "field 'policy.prices': old.json: holds no prices of slots"),
        ("policy: {kind: priced, prices: plan.json}", "are in units of the objective (lam, J, s) (0.5, 1.0, 1.0), and"),
        (
            "policy: {kind: priced, prices: part.json}",
            "'policy.prices': part.json, field 'prices': has no price of 'a100', only of 'mac'; add what is missing",
        ),
        (
            "policy: {kind: priced, prices: strange.json}",
            "has no price of 'mac', only of 'm1', 'a100'; add what is missing, or call 'm1' as the systems are called",
        ),
        (
            "policy: {kind: priced, prices: {mac: 1}}",
            """expected a file that holds the prices: name one in which stands {"prices": {"mac": 1}}; correct the""",
        ),
        ("shadow: {kind: priced, self_tuned: true}", "only the policy that decides can tune itself"),
    ],
)
def test_prices_that_are_missing_are_a_defect(part: str, said: str, tmp_path: Path) -> None:
    """Each with the key, the file and what to do."""
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    (tmp_path / "old.json").write_text('{"plans": []}')
    (tmp_path / "part.json").write_text('{"prices": {"mac": 1.0}}')
    (tmp_path / "strange.json").write_text('{"prices": {"m1": 1.0, "a100": 2.0}}')

    [found] = defects(tmp_path, SMALL + part + "\n")

    assert said in found


def test_a_model_s_router_has_the_prices_of_its_machines() -> None:
    """Where a model is on some machines only, their prices and lots come along."""
    policy = Priced(ENERGY, (1.0, 2.0, 3.0), (0.0, 0.1, 0.2))

    assert among(policy, {2: 0, 1: 1}) == Priced(ENERGY, (3.0, 2.0), (0.2, 0.1))


def test_prices_say_where_requests_go() -> None:
    """Free slots are as least energy has them; a dear one is avoided, by any request that minds the joules."""
    clock = VirtualClock()
    router = Router(
        fleet(),
        Priced.free(ENERGY, 3),
        baseline=AllTo(0, "frugal"),
        now_s=clock.now_s,
        rng=np.random.default_rng(0),
    )
    free, hasty = router.place(ask()), router.place(ask(objective=SPEED))

    router.adopt(Priced(ENERGY, (1e6, 0.0, 1e6)))
    priced, halved = router.place(ask()), router.place(ask(objective=Objective(lam=0.5)))
    router.adopt(Priced(ENERGY, (0.0, 1e6, 1e6)))
    back, still_hasty = router.place(ask(objective=Objective(lam=0.5))), router.place(ask(objective=SPEED))

    assert [one.decision.system for one in (free, priced, halved, back)] == ["frugal", "fast", "fast", "frugal"]
    assert [one.decision.system for one in (hasty, still_hasty)] == ["fast", "fast"]
    assert (free.objective, hasty.objective) == (ENERGY, SPEED)
    assert priced.decision.policy == "least cost at lambda 1 with slots at 1e+06 W, 0 W, 1e+06 W"
    assert halved.decision.policy == "least cost at lambda 0.5 with slots at 5e+05 U/s, 0 U/s, 5e+05 U/s"


def test_a_machine_that_is_asked_for_too_much_grows_dear() -> None:
    """Work beyond a machine's slots raises its price until others serve; with no more work it falls to nothing."""
    clock, live = VirtualClock(), LiveFleet(fleet(slots=2))
    router = Router(
        fleet(slots=2),
        Priced.free(ENERGY, 3),
        baseline=AllTo(0, "frugal"),
        now_s=clock.now_s,
        rng=np.random.default_rng(0),
        shared=Shared(live, range(3)),
    )
    prices = SlotPrices(Tuning(0.9, 5.0), live, [2, 2, 2], start=Priced.free(ENERGY, 3), at_s=0.0)
    told, went = Priced.free(ENERGY, 3), list[int]()

    for _ in range(200):
        for _ in range(12):  # of 1.2 s each on the frugal machine, which has 10 s to give
            ticket = router.begin(router.place(ask()))
            went.append(ticket.position)
            router.finished(ticket, "completed")
        clock.sleep(5.0)
        told = prices.observe(clock.now_s())
        router.adopt(told)
    busy = told.prices
    share = went[1200:].count(0) / 1200
    for _ in range(200):
        clock.sleep(5.0)
        told = prices.observe(clock.now_s())

    assert set(went[:3]) == {0}
    assert share * 12 * 1.228 / 10 == pytest.approx(0.9, abs=0.05)
    assert busy[0] > 0 == busy[1]
    assert told.prices == (0.0, 0.0, 0.0)


def test_prices_show_and_outlive_a_reload() -> None:
    """What slots cost stands on the page and in the metrics, and a new reading of the file goes on from there."""
    tuned = {"policy": Priced.free(ENERGY, 2), "tuning": Tuning()}

    async def play(at: Scene) -> None:
        core = at.gateway.core
        core.charge(Priced(ENERGY, (0.0, 7.5), names=("mac", "a100")))
        state, page = await at.send("GET", "/dashboard/state"), await at.send("GET", "/metrics")
        said = await at.ask()
        again = Core(core.settings, KeyRing(), core.minds, now_s=core.now_s, rng=np.random.default_rng(0))
        afresh = Core(core.settings, KeyRing(), Minds(), now_s=core.now_s, rng=np.random.default_rng(0))

        assert [one["slot_price"] for one in state.json["systems"]] == [0.0, 7.5]  # type: ignore[attr-defined]  # a list
        assert b'wattshed_slot_price{system="a100"} 7.5' in page.body
        assert said.status == 200
        assert at.rows[0].policy == "least cost at lambda 1 with slots at 0 W on mac, 7.5 W on a100"
        assert again.policy == Priced(ENERGY, (0.0, 7.5))
        assert afresh.policy == Priced.free(ENERGY, 2)

    async def played() -> None:
        async with scene(**tuned) as at:  # type: ignore[arg-type]  # any settings
            await play(at)

    asyncio.run(played())


def test_without_prices_none_are_shown() -> None:
    """Other policies have no prices: null on the page, nothing in the metrics."""

    async def play() -> tuple[list[object], bytes]:
        async with scene(policy=Argmin(ENERGY)) as at:
            state, page = await at.send("GET", "/dashboard/state"), await at.send("GET", "/metrics")
            return [one["slot_price"] for one in state.json["systems"]], page.body  # type: ignore[attr-defined]  # a list

    shown, page = asyncio.run(play())

    assert shown == [None, None]
    assert b"wattshed_slot_price{" not in page


def test_the_gateway_tunes_by_itself() -> None:
    """A gateway that runs looks at the work every few seconds, and its routers have the new prices."""

    async def played() -> tuple[float, ...]:
        tuned = {"policy": Priced.free(ENERGY, 2), "tuning": Tuning(0.001, 0.02)}
        async with scene(**tuned) as at:  # type: ignore[arg-type]  # any settings
            tuning = asyncio.create_task(at.gateway.core.tune())
            async with asyncio.timeout(5.0):
                while not any(prices := at.gateway.core.policy.prices):  # type: ignore[attr-defined]  # a `Priced`
                    await at.ask()
            tuning.cancel()
            return tuple(prices)

    assert asyncio.run(played())[0] > 0
