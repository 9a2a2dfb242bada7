"""Requests replayed through the real gateway: every policy's joules, predicted, attributed and of the baseline."""

import asyncio

import pytest

from wattshed.domain.query import Query
from wattshed.gateway.demo.demo import demo_machines
from wattshed.gateway.demo.replaying import RULES, Replayed, Rule, replay

QUERIES = [Query(m, n) for m, n in [(8, 4), (12, 300), (100, 6), (9, 8), (400, 40), (20, 20), (60, 8), (5, 90)]]


@pytest.fixture(scope="module")
def replayed() -> dict[Rule, Replayed]:
    """All policies, at the same time and very quickly."""

    async def run() -> list[Replayed]:
        return await asyncio.gather(*(replay(QUERIES, rule, speed_up=2000.0, ended=lambda: None) for rule in RULES))

    return {one.rule: one for one in asyncio.run(run())}


@pytest.mark.parametrize("rule", RULES)
def test_every_joule_is_attributed(replayed: dict[Rule, Replayed], rule: Rule) -> None:
    """All requests are answered and get joules from the meters, together as many as the engines have spent."""
    one = replayed[rule]

    assert (one.sent, one.answered, one.attributed) == (len(QUERIES),) * 3
    assert sum(one.served.values()) == len(QUERIES)
    assert one.attributed_energy_j == pytest.approx(one.metered_energy_j, rel=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_hindsight_is_what_the_engines_spent(replayed: dict[Rule, Replayed], rule: Rule) -> None:
    """Priced for the tokens that there were, the requests cost what engines of the same predictors have counted."""
    one = replayed[rule]

    assert one.hindsight_energy_j == pytest.approx(one.metered_energy_j, rel=1e-6)


def test_the_baseline_is_the_same_for_all(replayed: dict[Rule, Replayed]) -> None:
    """Its joules hang on the tokens alone, and who follows it has saved nothing."""
    a100 = demo_machines()["a100"]
    expected_j = sum(float(a100.pace(query.input_tokens, query.output_tokens).energy_j[-1]) for query in QUERIES)

    assert [one.baseline_energy_j for one in replayed.values()] == pytest.approx([expected_j] * len(RULES))
    assert replayed["baseline"].served == {"mac": 0, "a100": len(QUERIES)}
    assert replayed["baseline"].saved == pytest.approx(0, abs=0.01)


def test_who_knows_the_lengths_saves_most(replayed: dict[Rule, Replayed]) -> None:
    """Told every length, the gateway errs only where it misjudges an input: no other policy costs less."""
    informed = replayed["informed"]

    assert informed.saved is not None
    assert informed.saved > 0
    assert informed.served["mac"] > 0
    assert all(informed.attributed_energy_j <= one.attributed_energy_j * 1.01 for one in replayed.values())


def test_without_joules_nothing_is_said_to_be_saved() -> None:
    """A saving needs the joules of every request that was answered."""
    one = Replayed("argmin", "least cost", 2, 2, 1, {"mac": 1, "a100": 1}, 9.0, 9.0, 4.0, 10.0, 9.0)

    assert one.saved is None
