"""What is known of a request before any engine is asked: whose it is, what it wants, and how long it will be.

Nothing here waits; what is wrong with the request is a `Refusal`, and then nothing has been counted.
"""

from typing import Final

from wattshed.gateway.api.body import Call, Route, read_call
from wattshed.gateway.api.wanted import wanted_of
from wattshed.gateway.core import Core, ModelDesk
from wattshed.gateway.placing.asking import Ask
from wattshed.gateway.placing.conversation import BLOCK_BYTES
from wattshed.gateway.settings.settings import Named
from wattshed.gateway.story import Story
from wattshed.gateway.wire.http import Request
from wattshed.gateway.wire.refusals import Refusal
from wattshed.predictors.length import Forecast, LengthKey

_MOST_NAME: Final = 80


def foresee(core: Core, request: Request, route: Route, story: Story) -> ModelDesk:
    """Who serves the request, with all that bears on its placing written into the story."""
    story.key = core.keys.owner(request.header("authorization"))
    call = story.call = read_call(route, request.body)
    named = _named(core, call.model)
    call = story.call = core.counted(named.model, call, request.body)
    story.model, settings = named.model, core.settings
    wanted = wanted_of(request, story.key, named, route=route, own=settings.objective, routes=settings.routes)
    input_tokens = core.minds.tokens.estimate(named.model, call.prompt_bytes, counted=call.counted)
    story.length_key = LengthKey(named.model, story.key_name, route, _flags(call), input_tokens)
    forecast = _forecast(core, call, story.length_key, wanted.output_tokens)
    desk = core.desks[named.model]
    story.ask = Ask(
        desk.router.everyone,
        input_tokens,
        forecast,
        (True,) * len(desk.stands),
        _cached_tokens(core, desk, call, input_tokens),
        wanted.objective,
        wanted.wishes,
    )
    return desk


def _named(core: Core, model: str) -> Named:
    named = core.names.get(model)
    if named is None:
        known = ", ".join(sorted({one.model for one in core.names.values()}))
        raise Refusal(404, "model_not_found", f"there is no model {model[:_MOST_NAME]!r} here; known: {known}")
    return named


def _flags(call: Call) -> str:
    """What shapes answers beside the prompt."""
    return ("tools" if call.has_tools else "") + ("json" if call.wants_json else "")


def _forecast(core: Core, call: Call, key: LengthKey, hint: int | None) -> Forecast:
    if call.route == "embeddings":
        return Forecast.exactly(1)  # nothing is written; a query has at least one token each way
    return core.minds.lengths.forecast(key, most_output_tokens=call.most_output_tokens, hint=hint)


def _cached_tokens(core: Core, desk: ModelDesk, call: Call, input_tokens: int) -> dict[int, int]:
    """Tokens of the prompt that each engine should still hold, where it keeps prompts at all."""
    if not call.blocks:
        return {}
    block_tokens = input_tokens * BLOCK_BYTES / max(call.prompt_bytes, 1)
    return {
        position: min(core.prefixes.cached_tokens(stand.machine, call.blocks, block_tokens), input_tokens)
        for position, stand in enumerate(desk.stands)
        if stand.system.prefix_cache
    }
