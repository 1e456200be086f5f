"""How Sphinx builds the site from docs/ and analysis/: `make docs`. It runs nothing and reads no network.

Formulas become MathML, which browsers draw themselves: neither a script nor a font comes from elsewhere.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

from phasediag.version import VERSION

HERE = Path(__file__).parent
NOTEBOOKS = HERE / "notebooks"
"""Copies of analysis/, as Sphinx reads nothing outside its folder."""

project = "phasediag"
author = copyright = "The phasediag developers"
version = release = VERSION
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["build", "notebooks/**/.ipynb_checkpoints"]
suppress_warnings = ["myst.xref_missing"]  # of folders and sources of the repository, which are no pages

smartquotes = False  # --option is no dash
html_theme = "furo"
html_title = "phasediag"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["llms.txt"]
html_show_copyright = False
html_math_renderer = "mathml"
pygments_style, pygments_dark_style = "tango", "monokai"

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "attrs_inline"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
default_role = "code"

_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def as_rst(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A docstring as it stands in the code, in the markup that Sphinx reads: words stay words."""
    lines[:] = [_line(line) for line in lines]
    for at, line in enumerate(lines[:-2]):
        if line == "Returns" and lines[at + 1] == "-------":
            _as_paragraph(lines, at + 2)


def _line(line: str) -> str:
    parts = _CODE.split(line)
    escaped = [re.sub(r"([*|]|_\b)", r"\\\1", part) if at % 2 == 0 else f"``{part}``"
               for at, part in enumerate(parts)]  # fmt: skip
    return "".join(escaped)


def _as_paragraph(lines: list[str], at: int) -> None:
    """What is returned is told in a sentence: no line of it is a type."""
    if at < len(lines) and not (at + 1 < len(lines) and lines[at + 1].startswith("    ")):
        lines.insert(at, ":")
        while at + 1 < len(lines) and lines[at + 1].strip():
            lines[at + 1] = f"    {lines[at + 1]}"
            at += 1


def inline_formula(translator: Any, node: nodes.math) -> None:
    """A formula in a sentence."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block_formula(translator: Any, node: nodes.math_block) -> None:
    """A formula by itself."""
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def copy_notebooks(app: Sphinx) -> None:
    """The notebooks with their outputs."""
    shutil.rmtree(NOTEBOOKS, ignore_errors=True)
    shutil.copytree(HERE.parent / "analysis", NOTEBOOKS, ignore=shutil.ignore_patterns(".*"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (block_formula, None))
    app.connect("config-inited", lambda app, config: copy_notebooks(app))
    app.connect("autodoc-process-docstring", as_rst, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
