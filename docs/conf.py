"""Sphinx's settings: ``make docs`` builds the pages without a network, warnings being errors."""

from __future__ import annotations

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
html_show_sourcelink = False
html_copy_source = False
