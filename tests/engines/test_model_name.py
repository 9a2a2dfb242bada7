"""What a model is called in what is published."""

from pathlib import Path

import pytest

from wattshed.engines.model_name import model_name


def folder(place: Path, weights: bytes = b"1234") -> Path:
    """A folder with a model."""
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(weights)
    return place


def test_a_path_is_published_by_its_last_name(tmp_path: Path) -> None:
    """Of a folder its last name and a digest stay, and nothing of where it lies."""
    name = model_name(str(folder(tmp_path / "gandalf" / "tiny-llama")))

    assert name.startswith("tiny-llama-")
    assert len(name) == len("tiny-llama-") + 8
    assert "gandalf" not in name


def test_a_model_has_one_name_wherever_it_lies(tmp_path: Path) -> None:
    """The digest is of the files: equal ones share it, others do not, and notes beside them do not matter."""
    here, there = folder(tmp_path / "a" / "m"), folder(tmp_path / "b" / "m")
    (there / "README.md").write_text("mine")
    other = folder(tmp_path / "c" / "m", b"4321")

    names = [model_name(str(place)) for place in (here, there, other)]

    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("model", ["random:tiny-llama", "meta-llama/Llama-2-7b-hf", "llama-3:8b"])
def test_a_name_stays_as_it_is(model: str) -> None:
    """A hub id, an architecture and what a server calls its model name nobody's folders."""
    assert model_name(model) == model


@pytest.mark.parametrize(
    "path", ["/" + "srv/gandalf/llama", "~/gandalf/llama", "C:\\\\gandalf\\\\llama", "./gandalf/llama"]
)
def test_a_path_on_another_machine_is_no_name_either(path: str) -> None:
    """A server may call its model by a path of its own, which is cut and told apart all the same."""
    name = model_name(path)

    assert name.startswith("llama-")
    assert "gandalf" not in name
