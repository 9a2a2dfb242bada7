"""One self-contained HTML page: no script, no font, no address; reads on a laptop and on a phone, and prints.

A page is a title and sections; a section is prose, tables and pictures in order. Pictures are SVG inside the page, with
words for those who cannot see them. The form of the page is `page.html.jinja`.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from wattshed import __version__
from wattshed.files import write_whole
from wattshed.report.canvas import save, svg


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph of plain text; `quote` sets it off as one to be quoted."""

    text: str
    quote: bool = False
    kind: Literal["prose"] = field(default="prose", init=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under `header`, each row as long as it; `folded` hides them until the reader asks."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    kind: Literal["table"] = field(default="table", init=False)

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers only, and so are set to the right."""
        return [all(_is_number(row[column]) for row in self.rows) for column in range(len(self.header))]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A figure, the words under it, and the words for those who cannot see it."""

    figure: Figure
    caption: str
    alt: str
    kind: Literal["picture"] = field(default="picture", init=False)

    @property
    def address(self) -> str:
        """The figure itself, as a data address."""
        return "data:image/svg+xml;base64," + base64.b64encode(svg(self.figure).encode()).decode()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Prose | Table | Picture] = ()

    def under(self, prefix: str) -> "Section":
        """The same section with `prefix` before its title, for pages that join several reports."""
        return Section(prefix + self.title, self.blocks)


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole document as text."""
    environment = Environment(
        loader=PackageLoader("wattshed", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.jinja")
    return template.render(title=title, lead=lead, sections=sections, version=__version__)


def write_page(path: Path, text: str) -> Path:
    """Write the document and return its path."""
    return write_whole(path, text.encode())


def write_pictures(folder: Path, pictures: Mapping[str, Picture]) -> list[Path]:
    """Write every picture as PNG under its own name and return the paths."""
    return [save(picture.figure, folder / f"{name.replace(' ', '-')}.png") for name, picture in pictures.items()]


def _is_number(cell: str) -> bool:
    return cell in {"", "–"} or cell.lstrip("+-−±<")[:1].isdigit()
