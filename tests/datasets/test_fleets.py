"""Fleets are read from YAML, and each way to spoil one is refused with its place and its fix."""

from pathlib import Path

import pytest

from wattshed.datasets.fleets import parse_fleet, read_fleet, resolve
from wattshed.datasets.profiles import read_profile
from wattshed.domain.operation import Failures, Operation, Sleep
from wattshed.domain.system import Fleet, Limits, Pool
from wattshed.errors import InputError, MissingError

SMALL = "model: Llama-2 (7B)\nsystems:\n  - system: M1-Pro\n"
FULL = """\
name: lab
profile: profiles/mine
model: Mistral (7B)
predictor: table
channel: gpu
systems:
  - system: Swing AMD+A100
    name: a100
    count: 2
    host_power_w: 40
  - {system: M1-Pro, max_input_tokens: 1024, max_output_tokens: 256, max_total_tokens: 1100}
"""


def write(path: Path, text: str) -> Path:
    """A fleet file with this text."""
    path.write_text(text)
    return path


def test_defaults_make_a_short_file(tmp_path: Path) -> None:
    """Model and systems are enough; the rest is the bundled profile, one of each, and the file's name."""
    fleet = read_fleet(write(tmp_path / "mac.yaml", SMALL))

    assert fleet == Fleet("mac", "bundled:wilkins2024", "Llama-2 (7B)", (Pool("M1-Pro", "M1-Pro"),))


def test_every_key_is_read(tmp_path: Path) -> None:
    """Each documented key reaches the domain; a profile's path is relative to the fleet file."""
    fleet = read_fleet(write(tmp_path / "fleet.yaml", FULL))

    limits = Limits(1024, 256, 1100, "set in the fleet file")
    pools = (Pool("a100", "Swing AMD+A100", 2, 40.0), Pool("M1-Pro", "M1-Pro", limits=limits))
    assert fleet == Fleet("lab", str(tmp_path / "profiles" / "mine"), "Mistral (7B)", pools, "table", "gpu")


def test_how_replicas_are_run_is_read(tmp_path: Path) -> None:
    """Slots, queue, memory, idle power, sleep and failures reach the pool; what is left out keeps its default."""
    text = (
        SMALL
        + "    predictor: batch\n"
        + "    slots: 8\n    most_queued: 64\n    idle_power_w: 110\n    kv_tokens: 90000\n    chunk_tokens: 2048\n"
        + "    sleep: {after_s: 60, power_w: 20, wake_s: 15}\n    failures: {mean_up_s: 1000000, mean_down_s: 600}\n"
    )

    (pool,) = read_fleet(write(tmp_path / "fleet.yaml", text)).pools
    (plain,) = read_fleet(write(tmp_path / "plain.yaml", SMALL)).pools

    assert pool.operation == Operation(8, 64, 110.0, 90_000, 2048, Sleep(60, 20, 15, 0.0), Failures(1e6, 600))
    assert plain.operation == Operation()


def test_names_are_spelt_as_in_the_profile(tmp_path: Path) -> None:
    """Case does not matter in systems and models; names that the user gave stay."""
    text = "model: llama-2 (7b)\nsystems:\n  - system: m1-pro\n  - {system: SWING amd+a100, name: Big}\n"

    fleet = resolve(read_fleet(write(tmp_path / "fleet.yaml", text)), read_profile("bundled:wilkins2024"))

    assert fleet.model == "Llama-2 (7B)"
    assert fleet.names == ("M1-Pro", "Big")
    assert [pool.system for pool in fleet.pools] == ["M1-Pro", "Swing AMD+A100"]


UNRESOLVED = {
    "system": (("M1-Pro", "M1 Pro"), "field 'systems[0].system': 'M1 Pro' is not in profile", "did you mean 'M1-Pro'"),
    "part of a name": (("M1-Pro", "V100"), "field 'systems[0].system': 'V100'", "'Palmetto Intel+V100'"),
    "model": (("Llama-2 (7B)", "Llama-2-7B"), "field 'model': 'Llama-2-7B' is not in", "did you mean 'Llama-2 (7B)'"),
    "pair": (
        ("Llama-2 (7B)", "Llama-2 (70B)"),
        "field 'systems[0].system': 'M1-Pro' was not measured with 'Llama-2 (70B)'",
        "choose from Swing AMD+A100",
    ),
}


@pytest.mark.parametrize(("change", "place", "fix"), UNRESOLVED.values(), ids=UNRESOLVED)
def test_what_was_not_measured_is_refused(change: tuple[str, str], place: str, fix: str, tmp_path: Path) -> None:
    """A system, a model, or a pair of them that the profile lacks is an error with the closest that it has."""
    path = write(tmp_path / "fleet.yaml", "name: lab\n" + SMALL.replace(*change))

    with pytest.raises(InputError) as caught:
        resolve(read_fleet(path), read_profile("bundled:wilkins2024"))

    assert str(caught.value).startswith(f"{path}, ")
    assert place in str(caught.value)
    assert fix in str(caught.value)


DEFECTS = {
    "unknown key": ("name: lab", "nmae: lab", "field 'nmae': is an unknown key; did you mean 'name'?"),
    "unknown key within": (
        "    count: 2",
        "    cuont: 2",
        "field 'systems[0].cuont': is an unknown key; did you mean 'count'?",
    ),
    "key of another level": (
        "name: lab",
        "count: 2",
        "field 'count': is an unknown key; known: name, profile, model, predictor, channel, systems",
    ),
    "no model": ("model: Mistral (7B)\n", "", "field 'model': is missing; add it"),
    "no system": ("system: M1-Pro, ", "", "field 'systems[1].system': is missing; add it"),
    "zero count": ("count: 2", "count: 0", "field 'systems[0].count': expected greater than or equal to 1, got 0"),
    "half a machine": ("count: 2", "count: 1.5", "field 'systems[0].count': expected a valid integer, got 1.5"),
    "count in words": ("count: 2", "count: two", "field 'systems[0].count': expected a valid integer, got 'two'"),
    "truth as count": ("count: 2", "count: yes", "field 'systems[0].count': expected a valid integer, got True"),
    "power with unit": ("w: 40", "w: 40 W", "field 'systems[0].host_power_w': expected a valid number, got '40 W'"),
    "negative power": (
        "w: 40",
        "w: -1",
        "field 'systems[0].host_power_w': expected greater than or equal to 0, got -1",
    ),
    "power of a town": (
        "w: 40",
        "w: 1.0e+308",
        "field 'systems[0].host_power_w': expected less than or equal to 100000, got 1e+308",
    ),
    "infinite power": ("w: 40", "w: .inf", "field 'systems[0].host_power_w': expected a finite number, got inf"),
    "undefined power": ("w: 40", "w: .nan", "field 'systems[0].host_power_w': expected a finite number, got nan"),
    "a million machines": ("count: 2", "count: 0x" + "f" * 5000, "field 'systems[0].count': expected less than or"),
    "two forms of one system": (
        "  - {system: M1-Pro,",
        "  - {system: Swing AMD+A100, predictor: batch}\n  - {system: M1-Pro,",
        "field 'systems[1].predictor': another entry of 'Swing AMD+A100' has another predictor; give both the same one",
    ),
    "memory without a batch": (
        "count: 2",
        "kv_tokens: 700",
        "field 'systems[0].kv_tokens': means nothing to a table predictor, which serves each query alone; add",
    ),
    "no slots": ("count: 2", "slots: 0", "field 'systems[0].slots': expected greater than or equal to 1, got 0"),
    "power of sleep": (
        "count: 2",
        "sleep: {after_s: 60}",
        "field 'systems[0].sleep.power_w': is missing; add it",
    ),
    "key of sleep": (
        "count: 2",
        "sleep: {after_s: 60, power_w: 5, wake: 9}",
        "field 'systems[0].sleep.wake': is an unknown key; did you mean 'wake_s'?",
    ),
    "never up": (
        "count: 2",
        "failures: {mean_up_s: 0, mean_down_s: 9}",
        "field 'systems[0].failures.mean_up_s': expected greater than 0, got 0",
    ),
    "sleep as a number": (
        "count: 2",
        "sleep: 60",
        "field 'systems[0].sleep': expected a valid dictionary, got 60; correct the value",
    ),
    "zero limit": (
        "max_output_tokens: 256",
        "max_output_tokens: 0",
        "field 'systems[1].max_output_tokens': expected greater than or equal to 1, got 0",
    ),
    "predictor": (
        "predictor: table",
        "predictor: oracle",
        "field 'predictor': expected 'prefix', 'table', 'regression' or 'batch', got 'oracle'",
    ),
    "channel": (
        "channel: gpu",
        "channel: wall",
        "field 'channel': expected 'gpu', 'cpu', 'total' or 'platform', got 'wall'",
    ),
    "long path": (
        "profile: profiles/mine",
        "profile: " + "a" * 5000,
        "field 'profile': String should have at most 1000 characters, got 'aaa",
    ),
    "path with a null": ("profile: profiles/mine", 'profile: "a\\0b"', "field 'profile': String should match pattern"),
    "no date": ("name: lab", "name: 2020-13-45", "row 1: is not YAML: '2020-13-45' is no timestamp; write it in"),
    "no int": ("name: lab", "name: !!int foo", "row 1: is not YAML: 'foo' is no int; write it in quotes if it is text"),
    "no binary": ("name: lab", "name: 0b_", "row 1: is not YAML: '0b_' is no int; write it in quotes if it is text"),
    "no truth": ("name: lab", "name: !!bool foo", "row 1: is not YAML: 'foo' is no bool; write it in quotes if it is"),
    "no map": ("name: lab", "name: !!map [1]", "row 1: is not YAML: expected a mapping node, but found sequence; mend"),
    "thousands of digits": ("count: 2", "count: " + "9" * 5000, "row 9: is not YAML: '99999"),
    "list in lists": (
        "name: lab",
        "name: [&a [1, 1], &b [*a, *a], [*b, *b, *b]]",
        "field 'name': expected a valid string, got [[...], [...], [...]]; correct the value",
    ),
    "empty name": ("name: lab", "name: ''", "field 'name': String should have at least 1 character, got ''"),
    "number as model": ("model: Mistral (7B)", "model: 7", "field 'model': expected a valid string, got 7"),
    "twice the same": (
        "    name: a100\n",
        "    name: M1-Pro\n",
        "field 'systems[1].name': a second entry is called 'M1-Pro'; give each a name of its own, or one",
    ),
    "key twice": (
        "count: 2",
        "count: 2\n    count: 3",
        "row 10: is not YAML: key 'count' is there twice; mend that line",
    ),
    "tab": ("    count: 2", "\tcount: 2", "row 9: is not YAML: "),
    "unclosed": ("1100}", "1100", "row 12: is not YAML: expected ',' or '}', but got '<stream end>'; mend that line"),
}


@pytest.mark.parametrize(("old", "new", "message"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_found(old: str, new: str, message: str, tmp_path: Path) -> None:
    """One bad line is one defect, with file, line or field, and the fix."""
    assert old in FULL
    path = write(tmp_path / "fleet.yaml", FULL.replace(old, new, 1))

    fleet, found = parse_fleet(path)

    assert fleet is None
    assert [str(defect).removeprefix(f"{path}, ")[: len(message)] for defect in found] == [message]
    assert all(len(defect.problem + defect.fix) < 200 for defect in found)
    with pytest.raises(InputError, match=r"fleet\.yaml, "):
        read_fleet(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no mapping of keys; write at least 'model: NAME' and 'systems:' with a list"),
        (b"- M1-Pro\n", "holds no mapping of keys; "),
        (b"model: \xe9\n", "is not UTF-8 text; save it as UTF-8"),
        (b"model: " + b"[" * 3000 + b"]" * 3000, "is nested too deeply; write at least"),
        (b"model: \x00\n", "is not YAML text; take out what is not printable"),
        (b"model: a\nsystems: []\n", ""),
        (b"model: !!python/object:os.system a\n", "is not YAML: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_fleet_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """Anything but a mapping with model and systems is one defect; nothing in it is executed."""
    path = tmp_path / "fleet.yaml"
    path.write_bytes(content)

    _, found = parse_fleet(path)

    assert len(found) == 1
    assert message in str(found[0])


def test_every_defect_is_listed(tmp_path: Path) -> None:
    """Several defects come together, in order."""
    text = FULL.replace("count: 2", "count: 0").replace("channel: gpu", "chanel: gpu")

    _, found = parse_fleet(write(tmp_path / "fleet.yaml", text))

    assert {defect.field for defect in found} == {"chanel", "systems[0].count"}


def test_a_fleet_that_is_not_there_is_missing(tmp_path: Path) -> None:
    """No file is a `MissingError`, and so is a directory."""
    with pytest.raises(MissingError, match="no such file"):
        read_fleet(tmp_path / "fleet.yaml")
    with pytest.raises(MissingError, match="is a directory; give the YAML file of a fleet"):
        read_fleet(tmp_path)
