"""Two ways to decode with a model of transformers, both greedy and both to exactly the tokens asked for.

    EagerDecoder         `generate` as everybody calls it, with or without a KV cache; every operation of every step is
                         launched by the host, which bounds the speed at small batches
    StaticGraphDecoder   a static KV cache, and one decoding step recorded as a CUDA graph and replayed n - 1 times, so
                         that the host launches one thing a token

They are two configurations of an engine and two systems: their joules are never pooled. torch and transformers are
imported where they are used, since neither is needed to read this module.
"""

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from wattshed.errors import EngineError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, StaticCache

WARM_UP_STEPS: Final = 3
"""Steps on a side stream before a capture, so that libraries allocate outside it (PyTorch notes, "CUDA semantics")."""


class Decoder(Protocol):
    """Makes tokens from prompts of equal length."""

    def prepare(self, queries: int, input_tokens: int, output_tokens: int) -> None:
        """Do what may be done before the clock starts."""
        ...

    def decode(
        self, prompts: "torch.Tensor", output_tokens: int, *, on_first_token: Callable[[], None]
    ) -> "torch.Tensor":
        """The tokens made, shape (queries, n), from prompts of shape (queries, m)."""
        ...


class EagerDecoder:
    """Decodes through `generate`; without a KV cache each step runs the whole prefix again, as in the paper."""

    def __init__(self, model: "PreTrainedModel", *, kv_cache: bool) -> None:
        self._model, self._kv_cache = model, kv_cache

    def prepare(self, queries: int, input_tokens: int, output_tokens: int) -> None:
        """Nothing: `generate` allocates as it goes."""

    def decode(
        self, prompts: "torch.Tensor", output_tokens: int, *, on_first_token: Callable[[], None]
    ) -> "torch.Tensor":
        """The tokens made, shape (queries, n); the first is there when its logits are."""
        import torch
        from transformers import LogitsProcessorList

        made = self._model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            min_new_tokens=output_tokens,
            max_new_tokens=output_tokens,
            do_sample=False,
            use_cache=self._kv_cache,
            logits_processor=LogitsProcessorList([_FirstLogits(on_first_token)]),
        )
        return made[:, prompts.shape[1] :]


class _FirstLogits:
    """A logits processor that changes nothing and reports once, when the first logits are computed."""

    def __init__(self, report: Callable[[], None]) -> None:
        self._report: Callable[[], None] | None = report

    def __call__(self, _input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        if self._report is not None:
            self._report()
            self._report = None
        return scores


class StaticGraphDecoder:
    """Decodes by replaying one recorded step; `record` turns a step into its replay.

    Memory for prompt and answer is reserved at once and each step attends to all of it, masked, so a step costs the
    same from the first token to the last. The recording of the last shape is kept.
    """

    def __init__(self, model: "PreTrainedModel", record: Callable[["StaticStep"], Callable[[], None]]) -> None:
        self._model, self._record = model, record
        self._recorded: tuple[StaticStep, Callable[[], None]] | None = None

    def prepare(self, queries: int, input_tokens: int, output_tokens: int) -> None:
        """Reserve the cache and record a step, unless the last request had the same shape."""
        shape = (queries, input_tokens + output_tokens)
        if self._recorded is None or self._recorded[0].shape != shape:
            self._recorded = None  # the old cache goes before the new one comes
            step = StaticStep(self._model, *shape)
            self._recorded = step, self._record(step)

    def decode(
        self, prompts: "torch.Tensor", output_tokens: int, *, on_first_token: Callable[[], None]
    ) -> "torch.Tensor":
        """The tokens made, shape (queries, n); the first comes from the prefill."""
        queries, input_tokens = prompts.shape
        self.prepare(queries, input_tokens, output_tokens)
        assert self._recorded is not None  # prepare() has just made it
        step, replay = self._recorded
        step.prefill(prompts)
        on_first_token()
        for _ in range(output_tokens - 1):
            replay()
        return step.transcript[:, input_tokens:].clone()


class StaticStep:
    """One decoding step on tensors that never move: the last token of each query in, the next one out.

    `transcript` has shape (queries, tokens) and holds each token at its position.
    """

    def __init__(self, model: "PreTrainedModel", queries: int, tokens: int) -> None:
        import torch

        self.shape = (queries, tokens)
        self.transcript = torch.zeros(self.shape, dtype=torch.long, device=model.device)
        self._model = model
        self._cache = _static_cache(model, tokens)
        self._remembering = {cache_keyword(model.forward): self._cache, "use_cache": True}
        self._token = torch.zeros((queries, 1), dtype=torch.long, device=model.device)
        self._position = torch.zeros(1, dtype=torch.long, device=model.device)
        self._positions = torch.arange(tokens, device=model.device)

    def reset(self) -> None:
        """Forget every token."""
        self._cache.reset()
        self._position.zero_()

    def prefill(self, prompts: "torch.Tensor") -> None:
        """Read prompts of shape (queries, m) and make the first token of each."""
        import torch

        input_tokens = prompts.shape[1]
        self.reset()
        self.transcript[:, :input_tokens] = prompts
        with torch.no_grad():
            logits = self._model(
                input_ids=prompts,
                position_ids=self._positions[:input_tokens].unsqueeze(0),
                logits_to_keep=1,
                **self._remembering,
            ).logits
        self._position.fill_(input_tokens - 1)
        self._accept(logits)

    def __call__(self) -> None:
        """Make the next token of each query; free of host synchronisation, so that it can be recorded."""
        import torch

        # A mask of four dimensions is taken as it is, so nothing in the model asks the device how far we are.
        visible = (self._positions <= self._position).expand(self.shape[0], 1, 1, -1)
        with torch.no_grad():
            logits = self._model(
                input_ids=self._token,
                attention_mask=visible,
                position_ids=self._position.unsqueeze(0),
                **self._remembering,
            ).logits
        self._accept(logits)

    def _accept(self, logits: "torch.Tensor") -> None:
        self._token.copy_(logits[:, -1:].argmax(-1))
        self._position.add_(1)
        self.transcript.index_copy_(1, self._position, self._token)


def cuda_graph(step: StaticStep) -> Callable[[], None]:
    """A step recorded as a CUDA graph; calling the answer replays it in one launch."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_STEPS):
            step.reset()
            step()
    torch.cuda.current_stream().wait_stream(side)
    step.reset()
    graph = torch.cuda.CUDAGraph()
    # Meters sample on threads of their own; what they do must not break the capture.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def cache_keyword(forward: Callable[..., object]) -> str:
    """What a model calls its KV cache: `past_key_values`, or `cache` from transformers 5.24 on."""
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


def _static_cache(model: "PreTrainedModel", tokens: int) -> "StaticCache":
    """A cache for so many tokens a query; a sliding window is left out where it would see all of them anyway."""
    from transformers import StaticCache

    config = copy.deepcopy(model.config)
    window = getattr(config, "sliding_window", None)
    if window is not None and tokens > window:
        raise EngineError("refused", f"a static graph attends to all {tokens} tokens, the model to {window}; use eager")
    config.sliding_window = None
    cache = StaticCache(config=config, max_cache_len=tokens)
    if any(cache.is_sliding):
        raise EngineError("refused", "some layers of this model have a sliding window of their own; use eager")
    return cache
