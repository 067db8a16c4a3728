"""LaTeX -> MathML, which browsers draw without scripts and without a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from xml.etree import ElementTree

import latex2mathml.converter
from markupsafe import Markup

MAX_LENGTH = 2_000  # characters of one formula


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ELEMENTS = _words(
    "math mrow mi mo mn mtext mspace msub msup msubsup mfrac msqrt mroot munder mover munderover"
    " mtable mtr mtd mstyle mpadded mphantom menclose"
)
ATTRIBUTES = _words(
    "accent accentunder columnalign columnlines columnspacing depth display displaystyle fence"
    " form height largeop linethickness lspace mathvariant maxsize minsize movablelimits notation"
    " rowlines rowspacing rspace scriptlevel separator stretchy symmetric width"
)
_MACROS = re.compile(r"\\(re)?newcommand|\\def\b|\\let\b")  # they could grow without end


def formula(tex: str, block: bool = False) -> Markup:
    """Return a LaTeX formula as MathML; as it was typed where that cannot be done."""
    return _formula(tex.strip(), block)


@lru_cache(maxsize=4096)
def _formula(tex: str, block: bool) -> Markup:
    typed = Markup('<code class="tex">{}</code>').format(tex)
    if not tex or len(tex) > MAX_LENGTH or _MACROS.search(tex):
        return typed
    convert: Callable[..., str] = latex2mathml.converter.convert
    try:
        tree = ElementTree.fromstring(convert(tex, display="block" if block else "inline"))
        _check(tree)
    except Exception:  # of a stranger's text and a lenient converter: then it is shown as typed
        return typed
    _sign(tree)
    tree.set("alttext", tex)
    return Markup(ElementTree.tostring(tree, encoding="unicode", short_empty_elements=False))


def _check(tree: ElementTree.Element) -> None:
    """Refuse a formula that holds anything but mathematics; the converter lets HTML through."""
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.tag not in ELEMENTS:
            raise ValueError(element.tag)
        for name, value in list(element.attrib.items()):
            if name not in ATTRIBUTES or not re.fullmatch(r"[\w.%# -]*", value):
                del element.attrib[name]


def _sign(tree: ElementTree.Element) -> None:
    """Mark signs as prefixes: in "(-1, 0)" the minus sign stands close to its number."""
    for row in tree.iter("mrow"):
        before = ""
        for element in row:
            text = element.text or ""
            if element.tag == "mo" and text in "\u2212-+" and before in "([{,;=<>":
                element.set("form", "prefix")
            before = text if element.tag == "mo" else "x"
