"""A stranger's text -> HTML that is safe to put into a page.

Markdown and HTML pass the sanitiser after they have been rendered, not before: what Markdown makes
of a harmless text need not be harmless (``[x](javascript:...)``), and what a sanitiser makes of
Markdown is no longer what was written (``a < b`` in a code block). Formulas become MathML, which
browsers draw without scripts and without a network.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import pygments  # type: ignore[import-untyped]
from bleach.html5lib_shim import Filter  # type: ignore[import-untyped]
from bleach.sanitizer import Cleaner  # type: ignore[import-untyped]
from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup, escape
from nbconvert.filters.ansi import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

from grader import formulas

MAX_TEXT = 200_000  # characters of one text that is rendered
MAX_HTML = 50_000  # of one piece of HTML that is cleaned; a longer one is shown as it was typed
MAX_CODE = 10_000  # of one cell that is shown in colours
# Parsers of Markdown and HTML take quadratic time and worse on texts that are made for it.
MAX_SPECIAL = 1_000  # of any one character that means something in Markdown
MAX_DEPTH = 100  # elements within elements
HEAD, TAIL, WIDTH = 60, 40, 2_000  # lines that are shown of a long output, characters of a line

TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
}
_DATA = re.compile(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=\s]+")
_LINK = re.compile(r"(https?://|mailto:|#)", re.IGNORECASE)
_PYGMENTS = re.compile(r"highlight|[a-z]{1,3}[0-9]?")
_ALIGN = re.compile(r"text-align: ?(left|center|right);?")
# A script's or style's text is nothing to read; it would be harmless, but it would be shown.
_UNSEEN = re.compile(r"<(script|style)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(/?)([a-zA-Z]+)")
_VOID = ("br", "hr", "img", "input", "col", "wbr", "meta", "link")
_ASIDE = re.compile("\ue000([0-9]+)\ue001")  # where a formula was
_EMPTY = re.compile(r"\s{1000}")  # pygments reads each blank line up to the last one
# Neither HTML nor XML has these.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAGS = _words(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption"
    " figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub"
    " summary sup table tbody td tfoot th thead tr tt u ul var"
)


def picture(name: str, content: bytes) -> str:
    """Return the picture file as a ``data:`` address; empty for what is no PNG, JPEG or GIF."""
    kind = TYPES.get(PurePosixPath(name).suffix.lower())
    if kind is None or not content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
        return ""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def markdown(text: str, pictures: Mapping[str, str] | None = None) -> Markup:
    """Render Markdown with formulas.

    Args:
        pictures: {address in the text: ``data:`` address}; other pictures are replaced by their
            description, so that nothing is fetched when the page is read.
    """
    known = {name: data for name, data in (pictures or {}).items() if name in text}
    return _markdown(text, tuple(known.items()))


def html(text: str) -> Markup:
    """Return the harmless part of a piece of HTML: text, tables, pictures that it carries."""
    text = readable(text[:MAX_TEXT])
    if len(text) > MAX_HTML:  # the time that bleach takes grows faster than its text
        return _as_typed(text)
    try:
        return _sanitised(text)
    except Exception:  # see _markdown
        return _as_typed(text)


def terminal(text: str) -> Markup:
    """Return a program's output with its colours; the middle of a long one is left out."""
    lines = text.split("\n")
    if len(lines) > HEAD + TAIL + 1:
        left_out = f"[... {len(lines) - HEAD - TAIL:,} lines are not shown ...]"
        lines = [*lines[:HEAD], left_out, *lines[-TAIL:]]
    lines = [line if len(line) <= WIDTH else f"{line[:WIDTH]} [...]" for line in lines]
    text = re.sub(r"\x1b(?!\[)", "", "\n".join(lines))  # colours start with ESC [
    return Markup(ansi2html(readable(text, keep="\x1b")))


@lru_cache(maxsize=2048)
def code(text: str, language: str = "python") -> Markup:
    """Return a program's text with colours for its syntax."""
    # Some texts keep a lexer busy for the square of their length.
    if len(text) > MAX_CODE or _EMPTY.search(text):
        return Markup(escape(readable(text)))
    try:
        lexer = get_lexer_by_name(language)
    except ValueError:  # ClassNotFound is one
        lexer = get_lexer_by_name("text")
    return Markup(pygments.highlight(readable(text), lexer, HtmlFormatter(nowrap=True)))


def plain(text: str, limit: int = 600) -> str:
    """Return a message without terminal colours and control characters, and not too long.

    What leaves this function is text, not HTML.
    """
    text = readable(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text[: 4 * limit])).strip()
    return text if len(text) <= limit else f"{text[:limit]} [...]"


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grader"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: f"{round(value, 2):g}"
    environment.filters["markdown"] = markdown
    environment.filters["plain"] = plain
    environment.globals["styles"] = styles()
    return environment


def template(name: str) -> Template:
    """Return one of the templates in ``grader/templates/``; what is put into it is escaped."""
    return _environment().get_template(name)


def styles() -> Markup:
    """Return CSS for the classes that `code` and `terminal` use, for light and dark screens."""
    light = HtmlFormatter(style="default").get_style_defs("pre")
    dark = HtmlFormatter(style="github-dark").get_style_defs("pre")
    # The page sets its own backgrounds.
    ours = re.compile(r"(pre \{|pre \.hll|td|span).*\n?", re.MULTILINE)
    rules = [ours.sub("", str(text)) for text in (light, dark)]
    return Markup(f"{rules[0]}\n@media screen and (prefers-color-scheme: dark) {{\n{rules[1]}\n}}")


# ---- Markdown -------------------------------------------------------------------------------


class _Renderer(IPythonRenderer):  # type: ignore[misc]  # nbconvert ships no types
    """nbconvert's Markdown, without its anchors, its files, and with formulas set aside."""

    def __init__(self) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.asides: list[tuple[str, bool]] = []

    def _set_aside(self, tex: str, block: bool) -> str:
        self.asides.append((tex, block))
        return f"\ue000{len(self.asides) - 1}\ue001"

    def inline_math(self, body: str) -> str:
        return self._set_aside(body, False)

    def block_math(self, body: str) -> str:
        return self._set_aside(body, True)

    def latex_environment(self, name: str, body: str) -> str:
        return self._set_aside(f"\\begin{{{name}}}{body}\\end{{{name}}}", True)

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre>{escape(code)}</pre>"

    def _embed_image_or_attachment(self, src: str) -> str:
        return src  # `_Pictures` has the last word


@lru_cache(maxsize=1024)
def _markdown(text: str, pictures: tuple[tuple[str, str], ...]) -> Markup:
    text = re.sub("[\ue000\ue001]", "", readable(text[:MAX_TEXT]))
    if any(text.count(special) > MAX_SPECIAL for special in "<>[]()`\\*_$&|~!:-"):
        return _as_typed(text)
    renderer = _Renderer()
    try:
        rendered = MarkdownWithMath(renderer=renderer).render(text)
        safe = _sanitised(rendered, pictures, renderer.asides)
    except Exception:  # of parsers on a stranger's text; no page may be lost over a paragraph
        return _as_typed(text)
    return Markup(
        _put_back(str(safe), [str(formulas.formula(*aside)) for aside in renderer.asides])
    )


def _put_back(text: str, formulas: Sequence[str]) -> str:
    return _ASIDE.sub(lambda match: "".join(formulas[int(match.group(1)) :][:1]), text)


def _as_typed(text: str) -> Markup:
    return Markup("<pre>{}</pre>").format(text)


# ---- HTML -----------------------------------------------------------------------------------


class _LastWord(Filter):  # type: ignore[misc]  # bleach ships no types
    """Every picture is one that the page carries itself, or its description.

    A formula within an attribute is text: its MathML would end the attribute.
    """

    pictures: Mapping[str, str]
    asides: Sequence[tuple[str, bool]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for token in super().__iter__():
            if isinstance(token.get("data"), dict):
                token = {**token, "data": {k: self._text(v) for k, v in token["data"].items()}}
            yield self._picture(token) if token.get("name") == "img" else token

    def _text(self, value: str) -> str:
        return _put_back(value, [tex for tex, _ in self.asides])

    def _picture(self, token: dict[str, Any]) -> dict[str, Any]:
        attributes = token.get("data") or {}
        source = attributes.get((None, "src"), "")
        source = self.pictures.get(source, source)
        about = attributes.get((None, "alt"), "")
        if not _DATA.fullmatch(source):
            return {"type": "Characters", "data": f"[picture: {about or 'not shown here'}]"}
        return {**token, "data": {**attributes, (None, "src"): source, (None, "alt"): about}}


def _attribute(tag: str, name: str, value: str) -> bool:
    """Whether the sanitiser keeps this attribute."""
    if name == "href":
        return tag == "a" and bool(_LINK.match(value))
    if name == "class":  # the page's own classes are not for strangers
        return tag in ("span", "div", "pre", "code") and bool(_PYGMENTS.fullmatch(value))
    if name == "style":
        return tag in ("th", "td") and bool(_ALIGN.fullmatch(value))
    if name in ("colspan", "rowspan", "width", "height", "start"):
        return tag in ("td", "th", "img", "ol") and value.isdecimal() and len(value) <= 4
    allowed = {"img": ("src", "alt", "title"), "details": ("open",), "abbr": ("title",)}
    return name in allowed.get(tag, ())


def _sanitised(
    text: str,
    pictures: Iterable[tuple[str, str]] = (),
    asides: Sequence[tuple[str, bool]] = (),
) -> Markup:
    if _depth(text) > MAX_DEPTH:
        return _as_typed(_put_back(text, [tex for tex, _ in asides]))
    known = {"pictures": dict(pictures), "asides": asides}
    cleaner = Cleaner(
        tags=TAGS,
        attributes=_attribute,
        protocols={"http", "https", "mailto", "data", "attachment"},
        strip=True,
        filters=[type("_Known", (_LastWord,), known)],
        css_sanitizer=_AsItIs(),
    )
    return Markup(cleaner.clean(_UNSEEN.sub("", text)))


def _depth(text: str) -> int:
    """Return how deep elements may be nested: those that were opened and not closed yet."""
    depth = deepest = 0
    for close, name in _TAG.findall(text):
        if name.lower() not in _VOID:
            depth = max(0, depth - 1) if close else depth + 1
            deepest = max(deepest, depth)
    return deepest


class _AsItIs:
    """bleach asks for a CSS sanitiser; `_attribute` has let only alignments through."""

    def sanitize_css(self, style: str) -> str:
        return style


def readable(text: str, keep: str = "") -> str:
    """Return `text` without what no page can hold."""
    return _CONTROL.sub(lambda match: match.group() if match.group() in keep else "", text)
