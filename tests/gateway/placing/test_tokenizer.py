"""Prompts counted by a model's own tokenizer, and what that is worth to the placing of requests."""

import asyncio
import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import wattshed.gateway.placing.tokenizer as tokenizer_module
from tests.gateway.scene import scene
from wattshed.errors import InputError, MissingError
from wattshed.gateway.placing.tokenizer import MOST_COUNTED_BYTES, MOST_READ_BYTES, Counted, Tokenizer, read_tokenizer
from wattshed.gateway.settings.file import parse_settings
from wattshed.gateway.settings.settings import ModelSettings

PAGE = Path(__file__).read_text(encoding="utf-8")
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "gateway.yaml"

BODIES: dict[str, tuple[object, Counted | None]] = {
    "a chat": ({"messages": [{"role": "user", "content": "one two"}]}, Counted(2, 1, "chat")),
    "escapes": ({"messages": [{"content": 'a "b" \n é'}]}, Counted(3, 1, "chat")),
    "parts": (
        {"messages": [{"content": [{"text": "a b"}, {"type": "image_url"}]}]},
        Counted(2, 1, "chat"),
    ),
    "two messages": ({"messages": [{"content": "a"}, {"content": None}]}, Counted(1, 2, "chat")),
    "tools": ({"messages": [{"content": "a"}], "tools": [{"b": 1}]}, Counted(3, 1, "tools")),
    "calls": ({"messages": [{"content": "a", "tool_calls": ["b", "c"]}]}, Counted(3, 1, "chat")),
    "a prompt": ({"prompt": "a b c"}, Counted(3, 1, "plain")),
    "prompts": ({"prompt": ["a b", "c"]}, Counted(3, 2, "plain")),
    "numbers": ({"prompt": [5, 6, 7, 8]}, Counted(4, 1, "plain")),
    "lists of numbers": ({"input": [[5, 6], [7]]}, Counted(3, 2, "plain")),
    "no prompt": ({"prompt_embeds": "x"}, None),
    "a strange prompt": ({"prompt": {"a": 1}}, None),
}


def words(text: str) -> int:
    """As many tokens as there are words."""
    return len(text.split())


def trained(folder: Path) -> Path:
    """A tokenizer.json of byte pairs, learned from this page."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([PAGE], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.mark.parametrize("name", BODIES)
def test_what_the_model_reads_is_counted(name: str) -> None:
    """Texts, tools and token numbers of any route are counted, with the parts that they come in."""
    body, wanted = BODIES[name]

    assert Tokenizer(words).counted(json.dumps(body).encode()) == wanted


def test_a_file_counts_as_its_package_does(tmp_path: Path) -> None:
    """A short text has as many tokens as its own tokenizer says, without those of a template."""
    path = trained(tmp_path)

    counted = read_tokenizer(path).tokens(PAGE[:1500])

    assert counted == len(tokenizers.Tokenizer.from_file(str(path)).encode(PAGE[:1500], add_special_tokens=False))


def test_a_long_text_is_sampled(tmp_path: Path) -> None:
    """Of a long text no more than `MOST_COUNTED_BYTES` are counted, and the sum is right within a tenth."""
    path, text = trained(tmp_path), PAGE * 10
    exact, seen = tokenizers.Tokenizer.from_file(str(path)), list[str]()

    def count(piece: str) -> int:
        seen.append(piece)
        return len(exact.encode(piece))

    tokens = Tokenizer(count).tokens(text)

    assert len("".join(seen).encode()) <= MOST_COUNTED_BYTES
    assert tokens == pytest.approx(len(exact.encode(text)), rel=0.1)


@settings(deadline=None, max_examples=50)
@given(st.text(min_size=1, max_size=3 * MOST_COUNTED_BYTES))
def test_any_text_can_be_cut(text: str) -> None:
    """Wherever a text is cut, its letters stay whole and its estimate is near its length."""
    bytewise = Tokenizer(lambda piece: len(piece.encode("utf-8", "replace")))
    length = len(text.encode("utf-8", "replace"))

    assert bytewise.tokens(text) == pytest.approx(length, rel=0.02, abs=1)


def test_a_body_too_long_to_read_in_time_is_not_read() -> None:
    """Beyond `MOST_READ_BYTES` the estimate by bytes has to do."""
    body = json.dumps({"prompt": "a " * MOST_READ_BYTES}).encode()

    assert Tokenizer(words).counted(body) is None


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    """The message names the file and what to give in its place."""
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")

    with pytest.raises(InputError, match=r"tokenizer\.json: is no tokenizer .*; give the model's tokenizer\.json"):
        read_tokenizer(path)
    with pytest.raises(MissingError, match=r"no\.json: no such file"):
        read_tokenizer(tmp_path / "no.json")


def test_settings_read_the_tokenizer(tmp_path: Path) -> None:
    """A model's `tokenizer` is a file beside gateway.yaml, read as the settings are."""
    trained(tmp_path)
    text = EXAMPLE.read_text().replace("aliases: [llama]", "aliases: [llama]\n    tokenizer: tokenizer.json")
    (tmp_path / "gateway.yaml").write_text(text)

    read, found = parse_settings(tmp_path / "gateway.yaml", {})

    assert found == []
    assert read is not None
    assert read.models[0].vocabulary is not None
    assert read.models[0].vocabulary.tokens("gateway") > 0


def test_a_missing_package_is_named_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `tokenizers` is not installed, settings say at which key it is wanted and how it is got."""
    monkeypatch.setattr(tokenizer_module, "find_spec", lambda _: None)
    text = EXAMPLE.read_text().replace("aliases: [llama]", "aliases: [llama]\n    tokenizer: tokenizer.json")
    (tmp_path / "gateway.yaml").write_text(text)

    _, [found] = parse_settings(tmp_path / "gateway.yaml", {})

    assert found.field == "models[0].tokenizer"
    assert "run: pip install 'wattshed[tokenizers]'" in str(found)


def test_requests_are_placed_by_the_count() -> None:
    """With a tokenizer, m is known before anything was learned: the demo's engines count words, and add none."""

    async def given() -> tuple[int | None, int | None, int | None]:
        model = ModelSettings("llama-2-7b", ("demo",), (), None, Tokenizer(words))
        async with scene(models=(model,)) as at:
            prompt = "one two three four five six seven eight nine ten " * 20
            for _ in range(30):
                await at.ask(messages=[{"role": "user", "content": prompt[:49]}])
            await at.ask(messages=[{"role": "user", "content": prompt}])
            first, last = at.rows[0], at.rows[-1]
            return first.estimated_input_tokens, last.estimated_input_tokens, last.input_tokens

    first, last, true = asyncio.run(given())

    assert first == 10 + 30
    assert true == 200
    assert last == pytest.approx(200, abs=6)
