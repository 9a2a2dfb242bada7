"""Systems that share a name are told apart, and profiles stand side by side."""

from dataclasses import replace

import pytest

from tests.predictors.cases import trial
from wattshed.domain.joining import joined, told_apart, work_of
from wattshed.domain.measurement import Profile
from wattshed.domain.system import Limits, System

PLAIN = System("box", "random:llama-2-7b", "GPU", engine="torch 2 eager", kv_cache=False, host="host-a")
CACHED = replace(PLAIN, kv_cache=True, host="host-b")
GRAPH = replace(CACHED, engine="torch 2 graph")


def profile(*systems: System, limits: dict[tuple[str, str], Limits] | None = None) -> Profile:
    """One trial of each system."""
    return Profile("p", tuple(trial("grid", (8, 8), 1, 1.0, system=system) for system in systems), limits or {})


def names(measured: Profile) -> set[str]:
    """What the systems are called."""
    return {system.name for system in measured.systems}


def test_a_name_that_says_enough_stays() -> None:
    """Concurrencies of one system, and models on one system, need no brackets: the profile is the very same."""
    given = profile(PLAIN, replace(PLAIN, concurrency=4), replace(CACHED, model="another"))

    assert told_apart(given) is given


def test_namesakes_get_the_fewest_differences() -> None:
    """Engine words that all share are left out, and hosts too where engine and cache tell enough."""
    assert names(told_apart(profile(PLAIN, CACHED, GRAPH))) == {
        "box (eager, no cache)",
        "box (eager, KV cache)",
        "box (graph, KV cache)",
    }


def test_two_hosts_of_one_kind_are_two_systems() -> None:
    """Where nothing else differs the host does, and its label is in the name."""
    other = replace(PLAIN, host=None)

    assert names(told_apart(profile(PLAIN, other))) == {"box (host-a)", "box (host not known)"}


def test_every_difference_has_its_word() -> None:
    """Devices, precision, hardware and what is not known are said in words."""
    twin = replace(PLAIN, engine=None, kv_cache=None, precision="bf16", devices=2)

    named = names(told_apart(profile(PLAIN, twin)))

    assert named == {"box (torch 2 eager)", "box (engine not known)"}
    assert names(told_apart(profile(PLAIN, replace(PLAIN, devices=2)))) == {"box (1 device)", "box (2 devices)"}


def test_limits_go_with_the_name() -> None:
    """What a name is known to fail at holds for all who bore it."""
    short = Limits(max_output_tokens=512)

    apart = told_apart(profile(PLAIN, CACHED, limits={("box", PLAIN.model): short}))

    assert apart.limits_of("box (KV cache)", PLAIN.model) == short


@pytest.mark.parametrize(("model", "work"), [("random:llama-2-7b", "Llama-2 (7B)"), ("mine", "mine")])
def test_random_weights_do_the_work_of_their_architecture(model: str, work: str) -> None:
    """A published architecture with random weights costs what the model costs; others are themselves."""
    assert work_of(model) == work


def test_profiles_are_joined_by_work() -> None:
    """Equal work has one name, namesakes of one profile are told apart, and what tests a fit stays out."""
    kept_out = replace(profile(PLAIN), validation_experiments=frozenset({"grid"}))
    paper = profile(System("mac", "Llama-2 (7B)", "M1"))

    together = joined("all", [paper, profile(PLAIN, CACHED), kept_out])

    assert names(together) == {"mac", "box (no cache)", "box (KV cache)"}
    assert {system.model for system in together.systems} == {"Llama-2 (7B)"}
    assert len(together.measurements) == 3
