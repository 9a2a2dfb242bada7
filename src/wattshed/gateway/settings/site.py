"""Where gateway.yaml is read: its folder, its environment, the files that it names, and the flaws that pile up."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wattshed.errors import InputError, MissingError
from wattshed.files import read_whole
from wattshed.gateway.settings.settings import Secret
from wattshed.predictors.file import load
from wattshed.predictors.fit import Fitted

BUNDLED: Final = "bundled:demo"
"""What a config calls the predictors that ship with the gateway."""

DEMO_PREDICTORS: Final = Path(__file__).with_name("demo-predictors.json")
"""Llama-2 (7B) on M1-Pro and Swing AMD+A100. Made by `python tools/demo_predictors.py`."""

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with a document, at the key that `at` leads to."""

    at: Steps
    problem: str
    fix: str


@dataclass(slots=True)
class Site:
    """Where a document is read: its folder, its environment, the predictor files opened, and the flaws so far."""

    folder: Path
    environ: Mapping[str, str]
    flaws: list[Flaw] = field(default_factory=list)
    opened: dict[Path, Fitted] = field(default_factory=dict)

    def flaw(self, at: Steps, problem: str, fix: str) -> None:
        """Note what is wrong."""
        self.flaws.append(Flaw(at, problem, fix))

    def secret(self, at: Steps, name: str, variable: str | None, file: str | None) -> Secret | None:
        """The secret `name` of the part at `at`, from the variable or the file that stands there, if any does."""
        if variable is not None:
            return self._sound((*at, f"{name}_env"), self.environ.get(variable), f"environment variable {variable}")
        if file is None:
            return None
        place = (*at, f"{name}_file")
        try:
            text = read_whole(self.folder / file, wanted="a file that holds nothing but the secret").decode()
        except (MissingError, UnicodeDecodeError) as error:
            self.flaw(place, str(error) if isinstance(error, MissingError) else "is not text", "write the secret there")
            return None
        return self._sound(place, text.strip(), f"file {file}")

    def fitted(self, at: Steps, name: str) -> Fitted | None:
        """The predictors in a file."""
        path = self.path(name)
        try:
            if path not in self.opened:
                self.opened[path] = load(path)
        except (InputError, MissingError) as error:
            self.flaw(at, str(error).partition("; give ")[0], "write one with: wattshed fit PROFILE --out FILE")
            return None
        return self.opened[path]

    def check_writable(self, at: Steps, path: Path) -> None:
        """Note where a file could not be written, nor made; neither is done."""
        if not path.parent.is_dir():
            self.flaw(at, f"there is no folder {path.parent}", "make it, or name a file in another")
        elif path.exists() and not path.is_file():
            self.flaw(at, f"{path} is no file", "name a file")
        elif not all(os.access(place, os.W_OK) for place in (path.parent, path) if place.exists()):
            # The folder too: SQLite keeps its journal beside the file.
            self.flaw(at, f"{path} cannot be written to by this user", "give it the right, or name another file")

    def path(self, name: str) -> Path:
        """A file that the document names, relative to its folder."""
        return DEMO_PREDICTORS if name == BUNDLED else self.folder / name

    def _sound(self, at: Steps, text: str | None, source: str) -> Secret | None:
        if not text or not (text.isascii() and text.isprintable()):
            # The name is not repeated: people paste the secret itself where its name belongs.
            problem = f"what it names is {'not plain text of one line' if text else 'not set, or empty'}"
            self.flaw(at, problem, "put the secret there before the gateway starts")
            return None
        return Secret(text, source=source)
