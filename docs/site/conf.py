"""How Sphinx makes the site; `grader site` writes its pages beside a copy of this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from docutils import nodes

from grader.formulas import formula

project = "Convolutional networks, step by step"
author = "the authors of the course"
project_copyright = "BSD 3-Clause"
extensions = ["myst_nb"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # a page that was opened as a file may not fetch the others
html_math_renderer = "mathml"
# Styles that stay readable on furo's light and dark ground (WCAG AA).
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "image/svg+xml", 5), ("html", "image/png", 10)]


# What Sphinx and furo do not tell a screen reader; axe finds it (tests/test_site.py).
NAMES = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Site">',
    # It may be wider than a phone, and not every browser scrolls what has no place in the order.
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
}


def setup(app: Any) -> None:
    """Write formulas as MathML: browsers draw it without scripts and without a network."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("build-finished", _name_parts)


def _name_parts(app: Any, error: Exception | None) -> None:
    for path in [] if error else sorted(Path(app.outdir).rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        for before, after in NAMES.items():
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


def _inline(translator: Any, node: nodes.math) -> NoReturn:
    translator.body.append(formula(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> NoReturn:
    translator.body.append(
        f'<div class="formula" tabindex="0">{formula(node.astext(), block=True)}</div>'
    )
    raise nodes.SkipNode
