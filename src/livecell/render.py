"""A cell and its outputs as HTML. Pure: plain data in, text out."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pygments
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from livecell.comments import select
from livecell.errors import LivecellError
from livecell.memo import Memo
from livecell.results import CellResult, Output
from livecell.store import digest
from livecell.words import word

CONTROL = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
CONTROL |= {0x7F: "␡"} | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
"""Control characters as their pictures (␛ for ESC): HTML has no way to hold the real ones."""


memo = Memo()
"""Remembers highlighted code; whoever renders a site may put one here that lasts."""


_OWN = digest(Path(__file__).read_bytes())  # how we highlight is part of what is remembered


def visible(text: str) -> str:
    """`text` with control characters (but tab and newline) and lone surrogates made visible."""
    return text.translate(CONTROL).encode(errors="backslashreplace").decode()


def escape(text: str) -> str:
    """`text` as HTML that a browser shows, and copies, character for character."""
    return html.escape(visible(text), quote=False)


def source(cell: CellResult, language: str, languages: tuple[str, ...]) -> str:
    """The cell's code, highlighted, with the comments of `language` only."""
    return highlighted(visible(select(cell.source, language, languages)))


def highlighted(code: str) -> str:
    """Python code as HTML."""
    return str(memo.get((code, pygments.__version__, _OWN), lambda: _highlight_now(code)))


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
        body = data.get(f"text/html;lang={language}", data["text/html"])
        return _frame("html", f'<div class="lc-scroll" tabindex="0">{body}</div>', language)
    if not alt:
        raise LivecellError(
            "the cell draws a figure, and the fence does not say what it shows",
            expected='alt="…" in the page\'s language',
            todo="describe the figure for readers who do not see it",
        )
    named = f'<svg role="img" aria-label="{html.escape(alt)}"'
    svg = data["image/svg+xml"].replace("<svg", named, 1)
    return f'<div class="lc-output lc-figure">{svg}</div>'


def _text(kind: str, text: str, language: str) -> str:
    # <samp>, not <code>: it is output, and Material puts its copy button on code only.
    return _frame(kind, f'<pre tabindex="0"><samp>{escape(text)}</samp></pre>', language)


def _frame(kind: str, body: str, language: str) -> str:
    caption = word(kind, language)
    return (
        f'<div class="lc-output lc-{kind}" role="group" aria-label="{caption}">'
        f'<span class="lc-caption" aria-hidden="true" data-search-exclude>{caption}</span>'
        f"{body}</div>"
    )


def value(cell: CellResult, label: str) -> str:
    """What the cell printed behind `label =`, on one line; all it printed if `label` is empty.

    Raises:
        LivecellError: it printed no such label, or several with different values, or, without a
            label, several lines.
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
    for separator in (" = ", ": ", " "):
        # A tensor goes on in indented lines, with empty ones between its matrices.
        start = re.escape(label + separator)
        found = dict.fromkeys(re.findall(rf"^{start}(.*(?:\n+[ \t].*)*)", text, re.MULTILINE))
        if len(found) > 1:
            raise LivecellError(
                f"the cell prints different values labelled {label!r}",
                found=" and ".join(found)[:200],
                todo="give each of them a label of its own",
            )
        for printed in found:
            return " ".join(line.strip(" \t") for line in printed.split("\n") if line)
    labels = re.findall(r"^(\S.*?) = ", text, re.MULTILINE)
    raise LivecellError(
        f"the cell prints nothing labelled {label!r}",
        found="labels: " + (", ".join(labels) or "none"),
        todo=f'print("{label} =", …) in the cell, or mend the label on the page',
    )


def problem(error: LivecellError, language: str) -> str:
    """An error as the author sees it on the page under `mkdocs serve`."""
    title = html.escape(word("problem", language))
    return (
        '<div class="admonition failure lc-problem" role="alert">'
        f'<p class="admonition-title">{title}</p>'
        f"<pre><samp>{escape(str(error))}</samp></pre></div>"
    )
