"""gateway.yaml becomes settings, or every defect of it with line, key and fix; secrets stay secret."""

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.cost import Objective
from wattshed.errors import InputError, MissingError
from wattshed.gateway.settings.assembly import Overrides
from wattshed.gateway.settings.document import Document, LedgerPart, ServingPart, SystemPart
from wattshed.gateway.settings.file import parse_settings, read_settings, settings_of, shown
from wattshed.gateway.settings.keys_file import add_key
from wattshed.gateway.settings.settings import LedgerSettings, Listen, Named, OtelSettings, Secret, Settings
from wattshed.gateway.settings.site import Site
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Policy
from wattshed.policies.threshold import Pair, ProductThreshold, Threshold, TwoThresholds

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "gateway.yaml"
SMALL = """\
models:
  - name: llama
systems:
  - name: mac
    url: http://127.0.0.1:9001
    context_tokens: 4096
    serves:
      - {model: llama, predictor: bundled:demo, measured_system: M1-Pro, measured_model: Llama-2}
  - name: a100
    url: https://a100.lab/llm/
    context_tokens: 2048
    max_output_tokens: 512
    serves:
      - {model: llama, predictor: bundled:demo, measured_system: swing, measured_model: Llama-2}
"""


def read(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in a file of this text."""
    path = folder / "gateway.yaml"
    path.write_text(text)
    return read_settings(path, environ or {})


def defects(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with it, each defect as people see it, without the folder."""
    path = folder / "gateway.yaml"
    path.write_text(text)
    return [str(one).replace(f"{folder}/", "") for one in parse_settings(path, environ or {})[1]]


def test_the_example_is_sound() -> None:
    """The file that the guide shows can be served as it is."""
    settings, found = parse_settings(EXAMPLE, {})

    assert found == []
    assert settings is not None
    assert [system.name for system in settings.systems] == ["mac", "a100"]
    assert settings.shadow == Threshold(Pair(0, 1, "mac", "a100"), 32)
    assert settings.ledger == LedgerSettings(f"sqlite:///{EXAMPLE.parent / 'ledger.sqlite'}")


def test_defaults_make_a_short_file(tmp_path: Path) -> None:
    """Models and systems are enough: loopback, least energy, turns as the baseline, two suffixes."""
    settings = read(tmp_path, SMALL)

    assert settings.listen == Listen("127.0.0.1", 8080)
    assert (settings.policy, settings.baseline, settings.shadow) == (Argmin(Objective()), RoundRobin(), None)
    assert settings.suffixes == {"eco": 1.0, "fast": 0.0}
    assert [system.url for system in settings.systems] == ["http://127.0.0.1:9001", "https://a100.lab/llm"]
    assert settings.systems[1].limits.max_output_tokens == 512


def test_predictors_come_with_the_systems(tmp_path: Path) -> None:
    """A predictor is found by names cut short, and kept with the names that its file gives."""
    measured = read(tmp_path, SMALL).systems[1].serves[0].measured

    assert (measured.system, measured.model, measured.channel) == ("Swing AMD+A100", "Llama-2 (7B)", "total")
    assert measured.predictor.kind == "prefix"


def test_names_lead_to_models(tmp_path: Path) -> None:
    """Models and aliases can be asked for by their names and with each suffix, which sets lambda."""
    settings = read(tmp_path, SMALL.replace("name: llama\n", "name: llama\n    aliases: [l2]\n"))

    assert settings.names() == {
        "llama": Named("llama"),
        "l2": Named("llama"),
        "llama:eco": Named("llama", 1.0),
        "llama:fast": Named("llama", 0.0),
        "l2:eco": Named("llama", 1.0),
        "l2:fast": Named("llama", 0.0),
    }
    assert settings.serving("llama") == (0, 1)
    assert settings.serving("gpt") == ()


PAIR = Pair(0, 1, "mac", "a100")
POLICIES: dict[str, Policy] = {
    "{kind: argmin}": Argmin(Objective(0.25)),
    "{kind: all_to, system: a100}": AllTo(1, "a100"),
    "{kind: random}": Random(),
    "{kind: round_robin}": RoundRobin(),
    "{kind: threshold, below: mac, above: a100, most_tokens: 32}": Threshold(PAIR, 32),
    "{kind: threshold, below: mac, above: a100, most_tokens: 9, output_weight: 0.5}": Threshold(PAIR, 9, 1, 0.5),
    "{kind: product_threshold, below: mac, above: a100, most_product: 99}": ProductThreshold(PAIR, 99),
    "{kind: two_thresholds, below: mac, above: a100, most_input_tokens: 8, most_output_tokens: 9, reading: or}": (
        TwoThresholds(PAIR, 8, 9, "or")
    ),
}


@pytest.mark.parametrize(("form", "policy"), POLICIES.items())
def test_every_policy_can_be_named(form: str, policy: Policy, tmp_path: Path) -> None:
    """Each policy of the planner can decide, be the baseline, or run in the shadow."""
    text = SMALL + f"objective: {{lam: 0.25}}\npolicy: {form}\nbaseline: {form}\nshadow: {form}\n"

    settings = read(tmp_path, text)

    assert (settings.policy, settings.baseline, settings.shadow) == (policy, policy, policy)


def test_watts_for_a_second_say_the_same_as_lambda(tmp_path: Path) -> None:
    """The objective may be given as an exchange rate, and routes may have a lambda of their own."""
    settings = read(tmp_path, SMALL + "objective: {exchange_w: 3, routes: {embeddings: 1}}\n")

    assert settings.objective == Objective(0.25)
    assert settings.routes == {"embeddings": 1.0}


def test_sections_are_read_strictly(tmp_path: Path) -> None:
    """Sections fill the values of their owners, and what those refuse is a defect with its place."""
    settings = read(tmp_path, SMALL + "wire: {most_connections: 5}\nupstream: {silence_s: 9}\nhealth: {open_s: 2}\n")

    assert (settings.wire.most_connections, settings.upstream.silence_s, settings.health.open_s) == (5, 9.0, 2.0)
    assert defects(tmp_path, SMALL + "listen: {port: 80000}\n") == [
        "gateway.yaml:15, field 'listen': a port lies in 0 to 65535, got 80000; correct the value"
    ]


SPOILT = {
    "missing": ("    url: http://127.0.0.1:9001\n", "", "gateway.yaml:4, field 'systems[0].url': is missing; add it"),
    "unknown key": (
        "    url: https",
        "    uri: https",
        ":10, field 'systems[1].uri': is an unknown key; did you mean 'url",
    ),
    "unknown key below": (
        "model: llama, p",
        "modle: llama, p",
        "field 'systems[0].serves[0].modle': is an unknown key",
    ),
    "unknown section key": (
        "models:",
        "listen: {prot: 1}\nmodels:",
        ":1, field 'listen.prot': is an unknown key; did you",
    ),
    "unknown policy": (
        "models:",
        "policy: {kind: price}\nmodels:",
        ":1, field 'policy.kind': there is no kind 'price'; did you",
    ),
    "policy without kind": ("models:", "policy: {}\nmodels:", "field 'policy.kind': is missing"),
    "policy with strange key": ("models:", "policy: {kind: all_to, systme: mac}\nmodels:", "did you mean 'system'?"),
    "policy of one system": (
        "models:",
        "policy: {kind: threshold, below: mac, above: mac, most_tokens: 1}\nmodels:",
        "field 'policy': a threshold tells two systems apart",
    ),
    "policy of a stranger": (
        "models:",
        "baseline: {kind: all_to, system: h100}\nmodels:",
        ":1, field 'baseline': there is no system 'h100'; choose from mac, a100",
    ),
    "word for a number": ("models:", "listen: {port: '80'}\nmodels:", "field 'listen.port': expected a valid integer"),
    "scheme": ("https://a100.lab/llm/", "ftp://a100.lab", ":10, field 'systems[1].url': expected http://HOST:PORT"),
    "version": ("https://a100.lab/llm/", "https://a100.lab/v1", "leave out /v1"),
    "stranger served": ("{model: llama, p", "{model: gpt, p", "serves[0].model': there is no model 'gpt'"),
    "served by nobody": ("models:\n", "models:\n  - name: gpt\n", ":2, field 'models[0]': no system serves 'gpt'"),
    "second name": ("name: a100", "name: mac", ":9, field 'systems[1].name': another system has this name"),
    "second alias": ("name: llama\n", "name: llama\n    aliases: [llama]\n", "'llama' is the name of two models"),
    "suffix": ("name: llama\n", "name: llama\n    aliases: ['llama:eco']\n", "'llama:eco' is a model too"),
    "predictor": (
        "bundled:demo, measured_system: swing",
        "none.json, measured_system: swing",
        "none.json: no such file",
    ),
    "pair": ("measured_system: swing", "measured_system: v100", ":14, field 'systems[1].serves[0].predictor': system"),
    "variants": ("{model: llama, p", "{model: llama, variant: q4, p", "variants that it does not list: (none), q4"),
    "tokenizer": ("name: llama\n", "name: llama\n    tokenizer: no.json\n", "no.json: no such file"),
    "two exchange rates": ("models:", "objective: {lam: 1, exchange_w: 5}\nmodels:", "field 'objective': exchange_w"),
    "key twice": (
        "    url: https",
        "    name: x\n    url: https",
        "gateway.yaml:10: is not YAML: key 'name' is there twice",
    ),
    "no YAML": ("models:", "models: [", "gateway.yaml:"),
    "keys": ("models:", "keys: keys.yaml\nmodels:", "gateway.yaml:1, field 'keys': keys.yaml: no such file"),
    "two ledgers": ("models:", "ledger: {file: a, url: b}\nmodels:", "field 'ledger': expected either file or url"),
    "password without user": (
        "models:",
        "ledger: {url: 'postgresql://db/w', password_env: SET}\nmodels:",
        "field 'ledger.url': has a password but no user",
    ),
}


@pytest.mark.parametrize(("old", "new", "said"), SPOILT.values(), ids=SPOILT)
def test_every_defect_has_its_place(old: str, new: str, said: str, tmp_path: Path) -> None:
    """Each way to spoil a file is one defect with the line, the key and what to do."""
    found = defects(tmp_path, SMALL.replace(old, new, 1), {"SET": "x"})

    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[1, 2]",
        "models: 3\nsystems: {}\n",
        "\x00",
        "? [a]\n: 1\n",
        "a: !!int x",
        "a: !!timestamp x",
        "a: !!int ''",
        "a: 2026-99-99",
        "models: !!set 3",
    ],
)
def test_what_is_no_config_is_refused(text: str, tmp_path: Path) -> None:
    """Whatever stands in the file, there are settings or defects, never a traceback."""
    assert defects(tmp_path, text)


KEYS = [*Document.model_fields, *SystemPart.model_fields, *ServingPart.model_fields, *LedgerPart.model_fields]
KEYS += ["lam", "kind", "below", "above", "most_tokens", "host", "port", "0"]
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(KEYS))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(KEYS), VALUES, st.sampled_from(["", "systems", "models", "policy"]))
def test_any_document_is_settings_or_defects(key: str, value: object, below: str) -> None:
    """Whatever stands at whatever key, reading comes to an end with settings or with flaws, not both, not neither."""
    document: Any = yaml.safe_load(SMALL)
    part = document.setdefault(below, {"kind": "argmin"}) if below else document
    (part[0] if isinstance(part, list) else part)[key] = value

    made, flaws = settings_of(document, Site(Path("nowhere"), {}))

    assert (made is None) == bool(flaws)
    assert all(flaw.problem and flaw.fix for flaw in flaws)


def test_all_defects_are_named_at_once(tmp_path: Path) -> None:
    """One run tells everything that a pass finds, and the reader that raises says how many there are."""
    text = SMALL.replace("name: a100", "nmae: a100").replace("http://", "gopher://") + "log: {level: loud}\n"

    found = defects(tmp_path, text)

    assert len(found) == 4
    with pytest.raises(InputError, match=r"and 3 more: wattshed serve --validate"):
        read(tmp_path, text)


def test_variants_count_as_one_if_the_file_says_so(tmp_path: Path) -> None:
    """Two precisions of a model stand in for one another where both are listed."""
    text = SMALL.replace("name: llama\n", "name: llama\n    variants: [q4, fp16]\n")
    text = text.replace("{model: llama, p", "{model: llama, variant: q4, p", 1)
    text = text.replace("{model: llama, p", "{model: llama, variant: fp16, p", 1)

    assert [system.serves[0].variant for system in read(tmp_path, text).systems] == ["q4", "fp16"]


SECRETIVE = SMALL + "admin_key_env: ADMIN\nledger: {url: 'postgresql://me@db/w', password_file: pass}\n"


def secretive(folder: Path) -> Settings:
    """Settings with a secret wherever there can be one."""
    (folder / "pass").write_text("p@ss:word\n")
    text = SECRETIVE.replace(
        "9001\n", "9001\n    api_key_env: KEY\n    agent: {url: 'http://mac:1', token_env: TOKEN}\n"
    )
    return read(folder, text, {"KEY": "sk-hidden", "ADMIN": "hidden-admin", "TOKEN": "hidden-token"})


def test_secrets_come_from_environment_and_files(tmp_path: Path) -> None:
    """A key is read where the file says; the end of its line is no part of it."""
    settings = secretive(tmp_path)

    assert settings.systems[0].api_key == Secret("sk-hidden", source="environment variable KEY")
    assert settings.ledger is not None
    assert settings.ledger.whole_url() == "postgresql://me:p%40ss%3Aword@db/w"


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    """Whatever prints, shows, encodes or copies settings leaves the secrets where they are."""
    settings = secretive(tmp_path)

    texts = [repr(settings), str(settings), json.dumps(shown(settings))]

    assert [text for text in texts if "hidden" in text or "p@ss" in text] == []
    assert '"api_key": "(secret, from environment variable KEY)"' in texts[2]
    assert settings.admin_key is not None
    for refused in (lambda: msgspec.json.encode(settings.admin_key), lambda: pickle.dumps(settings.admin_key)):
        with pytest.raises(TypeError):
            refused()
    with pytest.raises(TypeError):
        copy.deepcopy(settings.admin_key)
    with pytest.raises(TypeError):
        asdict(settings.systems[0])


UNSAFE = {
    "not set": ("api_key_env: NONE", "field 'systems[0].api_key_env': what it names is not set, or empty"),
    "pasted": ("api_key_env: sk-hidden", "field 'systems[0].api_key_env': what it names is not set, or empty"),
    "no file": ("api_key_file: none", "none: no such file"),
    "two lines": ("api_key_env: LINES", "what it names is not plain text of one line"),
    "both": ("api_key_env: A\n    api_key_file: b", "expected api_key_env or api_key_file, not both"),
    "in the file": ("api_key: sk-hidden", "field 'systems[0].api_key': is an unknown key"),
    "in the URL": ("agent: {url: 'http://me:hidden@host'}", "a URL must not hold a secret"),
}


@pytest.mark.parametrize(("line", "said"), UNSAFE.values(), ids=UNSAFE)
def test_unsafe_secrets_are_refused_and_never_quoted(line: str, said: str, tmp_path: Path) -> None:
    """A secret that is absent, spoilt or written into the file is a defect whose message does not repeat it."""
    found = defects(tmp_path, SMALL.replace("9001\n", f"9001\n    {line}\n"), {"LINES": "hidden\nX-Evil: 1"})

    assert any(said in one for one in found), found
    assert not any("hidden" in one for one in found)


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        ("file: nowhere/l.sqlite", "field 'ledger.file': there is no folder nowhere; make it, or"),
        ("file: folder", "field 'ledger.file': folder is no file; name a file"),
        ("file: gateway.yaml/l.sqlite", "field 'ledger.file': there is no folder gateway.yaml"),
        ("url: 'sqlite:////nowhere/l.sqlite'", "field 'ledger.url': there is no folder /nowhere"),
        ("url: 'mysql://db/w'", "field 'ledger.url': a ledger is kept in sqlite or postgresql, not in mysql"),
    ],
)
def test_a_ledger_has_a_place_where_it_can_be(ledger: str, said: str, tmp_path: Path) -> None:
    """Its folder is there, what stands in its place is a file, and we speak to such databases."""
    (tmp_path / "folder").mkdir()

    (found,) = defects(tmp_path, SMALL + f"ledger: {{{ledger}}}\n")

    assert said in found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_ledger_can_be_written_to(tmp_path: Path) -> None:
    """A folder without the right to write is a defect before anything starts."""
    (tmp_path / "locked").mkdir(0o555)

    (found,) = defects(tmp_path, SMALL + "ledger: {file: locked/l.sqlite}\n")

    assert "locked/l.sqlite cannot be written to by this user" in found


def test_to_check_a_ledger_makes_none(tmp_path: Path) -> None:
    """A sound file leaves the folder as it was, ledger or not."""
    settings = read(tmp_path, SMALL + "ledger: {file: l.sqlite}\n")

    assert settings.ledger == LedgerSettings(f"sqlite:///{tmp_path / 'l.sqlite'}")
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.yaml"]


@pytest.mark.parametrize("url", ["postgresql://me:hidden@db/w", "postgresql+psycopg://me:hidden@db/w"])
def test_a_ledger_url_holds_no_password(url: str, tmp_path: Path) -> None:
    """The password of a database comes from elsewhere."""
    (found,) = defects(tmp_path, SMALL + f"ledger: {{url: '{url}'}}\n")

    assert "password_env or password_file" in found
    assert "hidden" not in found


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.lab"])
def test_strangers_are_kept_out(host: str, tmp_path: Path) -> None:
    """Beyond loopback there are keys, or the file says that none are wanted; the flag is held to it as well."""
    (found,) = defects(tmp_path, SMALL + f"listen: {{host: '{host}'}}\n")
    assert "field 'listen.host'" in found
    assert "allow_unprotected: true" in found

    path = tmp_path / "gateway.yaml"
    path.write_text(SMALL)
    assert parse_settings(path, {}, Overrides(host=host))[0] is None

    read(tmp_path, SMALL + f"listen: {{host: '{host}', allow_unprotected: true}}\n")
    add_key(tmp_path / "keys.yaml", "alice")
    assert read(tmp_path, SMALL + f"listen: {{host: '{host}'}}\nkeys: keys.yaml\n").keys_file == tmp_path / "keys.yaml"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str, tmp_path: Path) -> None:
    """What only this machine can reach is safe without keys."""
    assert read(tmp_path, SMALL + f"listen: {{host: '{host}'}}\n").listen.loopback


def test_flags_beat_the_file(tmp_path: Path) -> None:
    """Host and port of flags stand in the settings instead of the file's."""
    path = tmp_path / "gateway.yaml"
    path.write_text(SMALL + "listen: {port: 1}\n")

    assert read_settings(path, {}, Overrides("::1", 0)).listen == Listen("::1", 0)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """No file is another error than a wrong one, and says what to give."""
    with pytest.raises(MissingError, match="wattshed serve --demo"):
        read_settings(tmp_path / "none.yaml", {})


def test_reading_loads_nothing_heavy(tmp_path: Path) -> None:
    """Settings, predictors included, need neither tables nor a solver."""
    heavy = {"polars", "scipy", "matplotlib", "numba", "torch", "pandas"}
    program = (
        "import sys; from pathlib import Path; from wattshed.gateway.settings.file import read_settings\n"
        f"read_settings(Path({str(EXAMPLE)!r}), {{}}); print(*{{name.partition('.')[0] for name in sys.modules}})"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert heavy & set(ran.stdout.split()) == set()


def test_two_systems_never_share_an_agent(tmp_path: Path) -> None:
    """Each would be given all of the node's joules: the second one is a defect, even with a slash behind."""
    agent = "    agent: {url: http://127.0.0.1:9/}\n"
    text = SMALL.replace("    context_tokens: 4096\n", "    context_tokens: 4096\n" + agent)

    found = defects(
        tmp_path, text.replace("    context_tokens: 2048\n", "    context_tokens: 2048\n" + agent.replace("/}", "}"))
    )

    assert len(found) == 1
    assert "another system has the agent http://127.0.0.1:9, and its joules would be counted twice" in found[0]
    assert read(tmp_path, text).systems[0].agent is not None


def test_a_collector_is_named_and_none_is_the_default(tmp_path: Path) -> None:
    """OpenTelemetry is off unless the file says where its collector is."""
    assert read(tmp_path, SMALL).otel is None
    assert read(tmp_path, SMALL + "otel: {endpoint: http://otel:4318/}\n").otel == OtelSettings("http://otel:4318")
