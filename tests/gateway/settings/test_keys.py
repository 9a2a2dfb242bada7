"""Keys: made once, kept as hashes, compared without telling."""

from pathlib import Path

import pytest

from wattshed.errors import InputError, UsageError
from wattshed.gateway.settings.keys import Key, KeyRing, hashed, new_key
from wattshed.gateway.settings.keys_file import add_key, read_keys
from wattshed.gateway.wire.refusals import Refusal


def test_a_key_opens_what_its_hash_stands_for(tmp_path: Path) -> None:
    """The file never holds the key, and whoever has it is known by name."""
    path = tmp_path / "keys.yaml"

    key, other = add_key(path, "alice"), add_key(path, "bob")

    ring = read_keys(path)
    assert key not in path.read_text()
    assert (ring.owner(f"Bearer {key}") or Key("", "0" * 64)).name == "alice"
    assert (ring.owner(f"bearer {other}") or Key("", "0" * 64)).name == "bob"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer ws-wrong"])
def test_without_the_right_key_nobody_comes_in(header: str | None) -> None:
    """No key, no scheme, or a wrong one: 401, and the key that was sent is not repeated."""
    ring = KeyRing([Key("alice", hashed(new_key()))])

    with pytest.raises(Refusal) as refused:
        ring.owner(header)

    assert refused.value.status == 401
    assert "ws-wrong" not in str(refused.value)


def test_a_gateway_without_keys_lets_anybody_in() -> None:
    """And asks nobody who they are."""
    assert KeyRing().owner(None) is None


def test_a_name_has_one_key(tmp_path: Path) -> None:
    """A second is refused, and the first stays."""
    path = tmp_path / "keys.yaml"
    key = add_key(path, "alice")

    with pytest.raises(UsageError, match="alice"):
        add_key(path, "alice")

    assert read_keys(path).owner(f"Bearer {key}") is not None


@pytest.mark.parametrize(
    "text",
    ["keys: 3", "keys:\n  - {name: a, sha256: abc}", "[", "keys:\n  - {name: a, sha256: " + "0" * 64 + ", lam: 2}"],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    """The message names the file and the field."""
    path = tmp_path / "keys.yaml"
    path.write_text(text)

    with pytest.raises(InputError, match=r"keys\.yaml"):
        read_keys(path)
