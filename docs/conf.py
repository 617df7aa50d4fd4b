"""Sphinx's settings: ``make docs`` builds the pages without a network, warnings being errors."""

from __future__ import annotations

from typing import Any

import adqc

project = "adqc"
author = "the adqc authors"
copyright = f"2026, {author}"
release = version = adqc.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"exclude-members": "forward, extra_repr"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "adqc"
html_theme_options = {"light_css_variables": {"code-font-size": "80%"}}
html_show_sourcelink = False
html_copy_source = False


def escape_kets(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings write |0> as people do; in reStructuredText a bar would open a substitution."""
    for number, line in enumerate(lines):
        parts = line.split("``")
        lines[number] = "``".join(part if k % 2 else part.replace("|0", "\\|0") for k, part in enumerate(parts))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape_kets)
