"""How Sphinx builds this site: `make docs`."""

import sys
from pathlib import Path

from wattshed import __version__

sys.path.append(str(Path(__file__).parent / "_ext"))

project = "Wattshed"
author = "the Wattshed authors"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "reference_pages", "profile_pages"]
exclude_patterns = ["_build", "reference/generated", "explanation/generated"]
html_theme = "furo"
html_title = "Wattshed"

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
