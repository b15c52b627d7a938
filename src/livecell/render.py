"""A cell and its outputs as HTML. Pure: plain data in, text out."""

from __future__ import annotations

import html
import re

import pygments
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from livecell.comments import select
from livecell.errors import LivecellError
from livecell.memo import Memo
from livecell.results import CellResult, Output
from livecell.words import word

CONTROL = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
CONTROL |= {0x7F: 0x2421} | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}  # type: ignore[dict-item]
"""Control characters as their pictures (␛ for ESC): HTML has no way to hold the real ones."""


memo = Memo()
"""Remembers highlighted code; whoever renders a site may put one here that lasts."""


def visible(text: str) -> str:
    """`text` with every control character but tab and newline made visible."""
    return text.translate(CONTROL)


def escape(text: str) -> str:
    """`text` as HTML that a browser shows, and copies, character for character."""
    return html.escape(visible(text), quote=False)


def source(cell: CellResult, language: str, languages: tuple[str, ...]) -> str:
    """The cell's code, highlighted, with the comments of `language` only."""
    return _highlight(select(cell.source, language, languages))


def _highlight(code: str) -> str:
    return str(memo.get((code, pygments.__version__), lambda: _highlight_now(code)))


def _highlight_now(code: str) -> str:
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    formatter = HtmlFormatter(cssclass="language-python highlight", wrapcode=True)
    return str(highlight(code, lexer, formatter))


def outputs(cell: CellResult, language: str, alt: str = "") -> str:
    """What the cell produced.

    Args:
        cell: the cell.
        language: language of the captions.
        alt: what the figures show, for readers who do not see them.

    Raises:
        LivecellError: the cell drew a figure, and `alt` is empty.
    """
    parts = [_output(output, language, alt) for output in cell.outputs]
    if cell.volatile and parts:
        parts.append(f'<p class="lc-volatile">{word("volatile", language)}</p>')
    return "".join(parts)


def _output(output: Output, language: str, alt: str) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return _text(output["name"], output["text"], language)
    if kind == "error":
        return _text("error", "\n".join(output["traceback"]), language)
    data = output["data"]
    if "text/html" in data:
        return _frame("html", data["text/html"], language)
    if not alt:
        raise LivecellError(
            "the cell draws a figure, and the fence does not say what it shows",
            expected='alt="…" in the page\'s language',
            todo="describe the figure for readers who do not see it",
        )
    label = html.escape(alt)
    svg = re.sub(r"<svg\b", f'<svg role="img" aria-label="{label}"', data["image/svg+xml"], count=1)
    return f'<div class="lc-output lc-figure">{svg}</div>'


def _text(kind: str, text: str, language: str) -> str:
    # <samp>, not <code>: it is output, and Material puts its copy button on code only.
    return _frame(kind, f'<pre tabindex="0"><samp>{escape(text)}</samp></pre>', language)


def _frame(kind: str, body: str, language: str) -> str:
    caption = word(kind, language)
    return (
        f'<div class="lc-output lc-{kind}" role="group" aria-label="{caption}">'
        f'<span class="lc-caption" aria-hidden="true" data-search-exclude>{caption}</span>{body}</div>'
    )


def value(cell: CellResult, label: str) -> str:
    """What the cell printed behind `label =`, on one line; all it printed if `label` is empty.

    Raises:
        LivecellError: it printed no such label, or several lines.
    """
    text = cell.text()
    if not label:
        if text.count("\n") <= 1 and text.strip():
            return text.strip("\n")
        raise LivecellError(
            "the cell did not print exactly one line",
            found=text.strip()[:200] or "nothing",
            todo="name the label of the line: `#!live snippet:cell label`",
        )
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = re.match(rf"{re.escape(label)}(?: = |: | )", line)
        if match:
            more = []
            for following in lines[number + 1 :]:
                if not following[:1].isspace():
                    break
                more.append(following.strip())
            return " ".join([line[match.end() :].strip(), *more])
    labels = [found[1] for found in (re.match(r"(.+?) = ", line) for line in lines) if found]
    raise LivecellError(
        f"the cell prints nothing labelled {label!r}",
        found="labels: " + (", ".join(labels) or "none"),
        todo=f'print("{label} =", …) in the cell, or mend the label on the page',
    )


def problem(error: LivecellError, language: str) -> str:
    """An error as the author sees it on the page under `mkdocs serve`."""
    title = html.escape(word("problem", language))
    return (
        f'<div class="admonition failure lc-problem" role="alert"><p class="admonition-title">{title}'
        f"</p><pre><samp>{escape(str(error))}</samp></pre></div>"
    )
