"""What can be known of the transformers engine without torch: its settings, its names and its reasons."""

from pathlib import Path

import pytest

from wattshed.engines.architectures import ARCHITECTURES, architecture
from wattshed.engines.loading import hardware_name
from wattshed.engines.transformers import TransformersSettings, failure
from wattshed.errors import UsageError


@pytest.mark.parametrize("name", ["falcon-7b", "llama-2-7b", "mistral-7b", "tiny-falcon", "tiny-llama", "tiny-mistral"])
def test_every_architecture_has_its_name(name: str) -> None:
    """The three models of the paper and a small one of each can be had without a download."""
    found = architecture(f"random:{name}")

    assert found is not None
    assert found.name == name


def test_the_models_of_the_paper_have_their_published_size() -> None:
    """Seven billion parameters each, give or take the embeddings."""
    sizes = {one.name: one.parameters for one in ARCHITECTURES if "7b" in one.name}

    assert sizes == {"falcon-7b": 6_921_720_704, "llama-2-7b": 6_738_415_616, "mistral-7b": 7_241_732_096}


def test_other_models_are_paths_or_hub_ids() -> None:
    """Without the prefix a name is left to transformers."""
    assert architecture("mistralai/Mistral-7B-v0.1") is None


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    """The message lists what can be had."""
    with pytest.raises(UsageError, match=r"no architecture 'gpt-9'; .*llama-2-7b"):
        TransformersSettings("random:gpt-9")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": Path("prompts.txt")}, "no tokenizer"),
        ({"devices": 2}, "several devices need CUDA"),
        ({"devices": 0, "device": "cuda"}, "one is the least"),
        ({"configuration": "static-graph"}, "a CUDA graph, and the device is cpu"),
        ({"configuration": "static-graph", "device": "cuda", "devices": 2}, "one device"),
        ({"configuration": "static-graph", "device": "cuda", "kv_cache": False}, "needs the KV cache"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    """What cannot run is refused before anything is loaded, with what could."""
    with pytest.raises(UsageError, match=message):
        TransformersSettings("random:tiny-llama", **settings)  # type: ignore[arg-type]  # wrong values are the point


def test_processors_are_named_as_linux_names_them(tmp_path: Path) -> None:
    """The first model name of cpuinfo is the hardware."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Abacus 9000\nmodel name\t: Other\n", encoding="utf-8")

    assert hardware_name("cpu", cpuinfo) == "Abacus 9000"


def test_processors_have_a_name_everywhere(tmp_path: Path) -> None:
    """Where there is no cpuinfo the platform says what it is."""
    assert hardware_name("cpu", tmp_path / "cpuinfo")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("Unable to allocate 8 PiB"), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (RuntimeError("MPS backend out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "out_of_memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), "engine_gone"),
        (RuntimeError("shapes cannot be multiplied"), None),
    ],
)
def test_errors_of_devices_have_reasons(error: Exception, reason: str | None) -> None:
    """Too little memory and a lost device are results; anything else is a fault of ours and stays one."""
    assert failure(error) == reason
