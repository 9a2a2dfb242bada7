"""The suite that every engine passes, ours and users'.

class TestMyEngine(EngineSuite):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        ...                             # not loaded; closed again by the fixture
    @pytest.fixture
    def prompts(self, engine) -> Callable[[Request], Sequence[object]]:
        ...                             # what the engine makes its queries read, to be compared by ==
    @pytest.fixture
    def impossible(self) -> Request:
        ...                             # a request that it must fail on
"""

from collections.abc import Callable, Sequence

import pytest

from wattshed.domain.system import System
from wattshed.engines.engine import Engine, Request
from wattshed.errors import EngineError

Prompts = Callable[[Request], Sequence[object]]
REASONS = ("out_of_memory", "timed_out", "engine_gone", "refused")
SHAPES = (Request(1, 1), Request(16, 1), Request(16, 9, serial=1), Request(16, 9, concurrency=3, serial=2))


class EngineSuite:
    """Tests of the contract; a subclass gives the fixtures `engine`, `prompts` and `impossible`."""

    @pytest.fixture
    def engine(self) -> Engine:
        """The engine under test, not loaded yet."""
        raise NotImplementedError("a subclass of EngineSuite says which engine it tests")

    @pytest.fixture
    def prompts(self, engine: Engine) -> Prompts:
        """What the queries of a request read; a list of no prompts where the engine reads none."""
        raise NotImplementedError("a subclass of EngineSuite says what its engine reads")

    @pytest.fixture
    def impossible(self) -> Request:
        """A request that the engine cannot answer."""
        raise NotImplementedError("a subclass of EngineSuite says what its engine fails on")

    @pytest.mark.parametrize("request_", SHAPES, ids=str)
    def test_answers_every_query_in_full(self, engine: Engine, request_: Request) -> None:
        """There is one generation a query, with exactly the tokens that were asked for."""
        engine.load()

        generations = engine.generate(request_)

        assert len(generations) == request_.concurrency
        assert {generation.output_tokens for generation in generations} == {request_.output_tokens}
        assert all(generation.input_tokens >= request_.input_tokens for generation in generations)

    def test_reads_prompts_of_the_asked_length(self, engine: Engine) -> None:
        """A prompt of ordinary length is met exactly."""
        engine.load()

        assert [generation.input_tokens for generation in engine.generate(Request(40, 2, concurrency=2))] == [40, 40]

    @pytest.mark.parametrize("request_", SHAPES, ids=str)
    def test_times_are_positive_and_in_order(self, engine: Engine, request_: Request) -> None:
        """The first token comes after the start and not after the last."""
        engine.load()

        for generation in engine.generate(request_):
            assert generation.ttft_s is None or 0 < generation.ttft_s <= generation.runtime_s
            assert generation.runtime_s > 0

    def test_no_two_prompts_are_alike(self, engine: Engine, prompts: Prompts) -> None:
        """Queries of one request, and of two requests that differ in their serial, read different prompts."""
        engine.load()

        read = [prompt for serial in range(3) for prompt in prompts(Request(16, 1, concurrency=2, serial=serial))]

        assert all(read.count(prompt) == 1 for prompt in read)

    def test_the_same_request_reads_the_same_prompt(self, engine: Engine, prompts: Prompts) -> None:
        """A campaign that is repeated asks the same again."""
        engine.load()
        request = Request(16, 1, concurrency=2, serial=5)

        assert prompts(request) == prompts(request)

    def test_failures_carry_a_reason(self, engine: Engine, impossible: Request) -> None:
        """What cannot be answered is an `EngineError` with a known reason."""
        engine.load()

        with pytest.raises(EngineError) as failed:
            engine.generate(impossible)

        assert failed.value.reason in REASONS

    def test_serves_again_after_a_failure(self, engine: Engine, impossible: Request) -> None:
        """One failed request takes nothing from the next."""
        engine.load()
        with pytest.raises(EngineError):
            engine.generate(impossible)

        assert len(engine.generate(Request(8, 2))) == 1

    def test_an_engine_that_is_not_loaded_is_gone(self, engine: Engine) -> None:
        """Before loading and after closing there is nothing to generate with."""
        for prepare in (lambda: None, engine.load):
            prepare()
            engine.close()

            with pytest.raises(EngineError) as failed:
                engine.generate(Request(8, 2))

            assert failed.value.reason == "engine_gone"

    def test_loads_and_closes_any_number_of_times(self, engine: Engine) -> None:
        """A second load or close does nothing, and a closed engine can be loaded again."""
        for _ in range(2):
            engine.load()
            engine.load()

            assert len(engine.generate(Request(8, 2))) == 1

            engine.close()
            engine.close()

    def test_says_what_it_is(self, engine: Engine) -> None:
        """The system is a value that does not change with loading."""
        before = engine.system
        engine.load()

        assert isinstance(before, System)
        assert engine.system == before
