"""The engine in process with real torch on the CPU: tiny models of the paper's three architectures."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contracts.engine_suite import EngineSuite, Prompts
from wattshed.engines.architectures import ARCHITECTURES, Architecture
from wattshed.engines.decoding import EagerDecoder, StaticGraphDecoder
from wattshed.engines.engine import Engine, Request
from wattshed.engines.loading import load_model
from wattshed.engines.transformers import TransformersEngine, TransformersSettings, failure
from wattshed.errors import EngineError, MissingError

if TYPE_CHECKING:
    import torch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REASON = "needs pip install 'wattshed[transformers]'"
TINY = ("random:tiny-falcon", "random:tiny-llama", "random:tiny-mistral")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Torch with one thread: quickest for models this small, and repeatable."""
    torch = pytest.importorskip("torch", reason=REASON)
    pytest.importorskip("transformers", reason=REASON)
    torch.set_num_threads(1)


class TestTransformers(EngineSuite):
    """The contract, with the KV cache and without."""

    @pytest.fixture(params=[True, False], ids=["cache", "no cache"])
    def engine(self, request: pytest.FixtureRequest) -> Iterator[Engine]:
        """A tiny Mistral."""
        engine = TransformersEngine(TransformersSettings("random:tiny-mistral", kv_cache=request.param))
        yield engine
        engine.close()

    @pytest.fixture
    def prompts(self, engine: TransformersEngine) -> Prompts:
        """Its token ids."""
        return lambda request: engine.prompts(request).tolist()

    @pytest.fixture
    def impossible(self) -> Request:
        """More queries than any memory holds."""
        return Request(1, 1, concurrency=2**50)


@pytest.mark.parametrize("model", TINY)
@pytest.mark.parametrize("kv_cache", [True, False])
def test_a_cache_saves_the_prefix(model: str, kv_cache: bool) -> None:
    """Without a cache every step reads the whole prefix again; with it, one token."""
    loaded = load_model(model, "fp32", device="cpu", devices=1)
    read: list[int] = []
    loaded.get_input_embeddings().register_forward_hook(lambda *call: read.append(call[1][0].shape[1]))

    EagerDecoder(loaded, kv_cache=kv_cache).decode(_prompts(2, 7), 4, on_first_token=lambda: None)

    assert read == ([7, 1, 1, 1] if kv_cache else [7, 8, 9, 10])


@pytest.mark.parametrize("model", TINY)
def test_static_steps_make_the_same_tokens(model: str) -> None:
    """A step on tensors that never move decodes as `generate` does, also when it is used again, and for one token."""
    loaded = load_model(model, "fp32", device="cpu", devices=1)
    eager, static = EagerDecoder(loaded, kv_cache=True), StaticGraphDecoder(loaded, lambda step: step)

    for queries, input_tokens, output_tokens in ((2, 7, 20), (2, 7, 20), (2, 20, 7), (1, 5, 1), (3, 1, 9)):
        prompts = _prompts(queries, input_tokens)
        expected = eager.decode(prompts, output_tokens, on_first_token=lambda: None)
        assert static.decode(prompts, output_tokens, on_first_token=lambda: None).tolist() == expected.tolist()


def test_a_shape_is_recorded_once() -> None:
    """Requests of one shape share a recording; another shape needs another."""
    loaded = load_model("random:tiny-llama", "fp32", device="cpu", devices=1)
    recorded: list[tuple[int, int]] = []

    def record(step: Callable[[], None]) -> Callable[[], None]:
        recorded.append(step.shape)  # type: ignore[attr-defined]  # a StaticStep, which is callable
        return step

    static = StaticGraphDecoder(loaded, record)
    for shape in ((1, 4, 4), (1, 4, 4), (1, 5, 3), (2, 4, 4)):
        static.prepare(*shape)

    assert recorded == [(1, 8), (2, 8)]


def test_a_static_graph_refuses_what_a_window_would_hide() -> None:
    """Tokens beyond a sliding window are not attended to, and a static step would."""
    loaded = load_model("random:tiny-mistral", "fp32", device="cpu", devices=1)
    static = StaticGraphDecoder(loaded, lambda step: step)
    static.prepare(1, 200, 56)

    with pytest.raises(EngineError, match="attends to all 257 tokens, the model to 256") as failed:
        static.prepare(1, 200, 57)

    assert failed.value.reason == "refused"


@pytest.mark.parametrize("shape", ARCHITECTURES, ids=lambda shape: shape.name)
def test_architectures_have_their_parameters(shape: Architecture) -> None:
    """Settings give the number of parameters that is published, without building the model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(shape.model_type, **shape.settings))

    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters


@pytest.mark.parametrize(("precision", "name"), [("fp32", "float32"), ("bf16", "bfloat16"), ("fp16", "float16")])
def test_weights_have_the_asked_precision(precision: str, name: str) -> None:
    """Every weight has the number format that the system says it has."""
    model = load_model("random:tiny-llama", precision, device="cpu", devices=1)  # type: ignore[arg-type]  # from a table

    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{name}"}


def test_a_folder_and_a_prompt_file_can_be_run(tmp_path: Path) -> None:
    """A saved model reads the prompts of a file through its own tokenizer, cut to length."""
    load_model("random:tiny-llama", "fp32", device="cpu", devices=1).save_pretrained(tmp_path / "model")
    _word_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "prompts.txt").write_text("one two three\ntwo\n", encoding="utf-8")
    settings = TransformersSettings(str(tmp_path / "model"), prompts=tmp_path / "prompts.txt")
    engine = TransformersEngine(settings)
    engine.load()

    assert engine.prompts(Request(5, 1, concurrency=2)).tolist() == [[1, 2, 3, 2, 1], [2, 1, 2, 3, 2]]
    assert engine.generate(Request(5, 3))[0].output_tokens == 3
    engine.close()


def test_prompts_need_a_tokenizer(tmp_path: Path) -> None:
    """A folder with a model and no tokenizer cannot read a prompt file, and the message says what would help."""
    load_model("random:tiny-llama", "fp32", device="cpu", devices=1).save_pretrained(tmp_path / "model")
    (tmp_path / "prompts.txt").write_text("one\n", encoding="utf-8")
    engine = TransformersEngine(TransformersSettings(str(tmp_path / "model"), prompts=tmp_path / "prompts.txt"))

    with pytest.raises(MissingError, match=r"has no tokenizer that can be read .* or leave out --prompts"):
        engine.load()


def test_a_folder_is_published_by_its_last_name(tmp_path: Path) -> None:
    """The system of a local model says nothing of where it lies."""
    load_model("random:tiny-llama", "fp32", device="cpu", devices=1).save_pretrained(tmp_path / "gandalf" / "mine")

    system = TransformersEngine(TransformersSettings(str(tmp_path / "gandalf" / "mine"))).system

    assert system.model.startswith("mine-")
    assert "gandalf" not in str(system)


def test_a_model_that_is_not_there_is_missing(tmp_path: Path) -> None:
    """An empty folder is no model, and the message says what would be."""
    engine = TransformersEngine(TransformersSettings(str(tmp_path)))

    with pytest.raises(MissingError, match=r"cannot load .* give a folder, a hub id or random:NAME"):
        engine.load()


def test_devices_that_are_not_there_are_missing() -> None:
    """Asking for more GPUs than torch sees is refused on loading."""
    engine = TransformersEngine(TransformersSettings("random:tiny-llama", device="cuda", devices=99))

    with pytest.raises(MissingError, match="99 cuda devices were asked for and torch sees"):
        engine.load()


def test_an_allocator_without_memory_is_recognised() -> None:
    """Torch's own error of the CPU allocator counts as out of memory."""
    import torch

    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**55)

    assert failure(failed.value) == "out_of_memory"


def test_the_engine_says_its_version() -> None:
    """Library, version and configuration name the engine."""
    from transformers import __version__

    system = TransformersEngine(TransformersSettings("random:tiny-llama", host="amber-fox")).system

    assert system.engine == f"transformers {__version__} eager"
    assert (system.host, system.kv_cache, system.precision, system.devices) == ("amber-fox", True, "fp32", 1)


def _prompts(queries: int, input_tokens: int) -> "torch.Tensor":
    import torch

    return torch.arange(queries * input_tokens).reshape(queries, input_tokens) * 37 % 512


def _word_tokenizer() -> object:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"?": 0, "one": 1, "two": 2, "three": 3}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
