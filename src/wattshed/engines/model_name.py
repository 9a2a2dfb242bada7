"""What a profile calls a model: as the user does, but for a path, which would name his folders and so himself.

    ~/models/Llama-2-7b-hf   ->   Llama-2-7b-hf-3fa9c1d2       last folder, and a digest of what lies in it

Two models whose folders share a name stay apart, and one model has one name on every machine that holds it.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from wattshed.files import reading

READ_BYTES: Final = 1 << 20
"""Read of each file: a header and the first weights. A digest of all of it would take minutes."""

DIGITS: Final = 8
"""Hexadecimal digits of the digest: enough to tell the models of one machine apart."""

WEIGHTS: Final = frozenset({".safetensors", ".bin", ".gguf", ".pt"})
"""Endings of files of weights; with `config.json` they make the model what it is."""


def model_name(model: str) -> str:
    """The name under which a model is published; a hub id, `random:NAME` and a server's word are their own.

    A path to what is not here, as a server elsewhere may go by, gets a digest of the path instead.
    """
    path = Path(model).expanduser()
    with reading(path, wanted="a folder with a model that you may read"):
        here = path.exists()
        if not here and not is_path(model):
            return model
        name = path.resolve().name if here else PureWindowsPath(model).name  # which knows both kinds of slash
        digest = sha256()
        for content in _told_by(path) if here else (model.encode(),):
            digest.update(content)
    return f"{name or 'model'}-{digest.hexdigest()[:DIGITS]}"


def is_path(model: str) -> bool:
    """Whether a model is written as a path: from the root, from home or from here."""
    absolute = PurePosixPath(model).is_absolute() or PureWindowsPath(model).is_absolute()
    return absolute or model.startswith(("~", "./", "../", ".\\", "..\\"))


def _told_by(path: Path) -> Iterator[bytes]:
    """What tells a model from others: names, sizes and beginnings of its files."""
    files = sorted(one for one in path.iterdir() if _counts(one)) if path.is_dir() else [path]
    for file in files:
        yield f"{file.name} {file.stat().st_size}\n".encode()
        with file.open("rb") as opened:
            yield opened.read(READ_BYTES)


def _counts(file: Path) -> bool:
    return file.is_file() and (file.name == "config.json" or file.suffix in WEIGHTS)
