"""The Markdown extension `mathml`: formulas become MathML while the page is built.

It takes over what `pymdownx.arithmatex` (with `generic: true`) finds, so a reader needs neither a
script nor another host to see a formula.
"""

from __future__ import annotations

import functools
import html
import re
from typing import Any

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor

from livecell.errors import LivecellError

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


@functools.cache
def to_mathml(tex: str, display: str) -> str:
    """The formula `tex` as MathML, `display` being "inline" or "block".

    Raises:
        LivecellError: the formula is not LaTeX that the converter knows.
    """
    try:
        math = convert(tex, display=display)
    except Exception as error:
        raise LivecellError(
            "a formula cannot be converted", found=tex, todo=f"the converter says: {error!r}"
        ) from error
    unknown = re.search(r"<m[io]>(\\[a-zA-Z]+)</m[io]>", math)
    if unknown:
        raise LivecellError(f"a formula uses an unknown command {unknown[1]}", found=tex)
    return math


class _Formulas(Postprocessor):
    def run(self, text: str) -> str:
        return FORMULA.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    tag, tex = match["tag"], html.unescape(match["tex"]).strip()
    math = to_mathml(tex, "block" if tag == "div" else "inline")
    focus = ' tabindex="0"' if tag == "div" else ""
    return f'<{tag} class="math"{focus}>{math}</{tag}>'


class MathMLExtension(Extension):
    """Turns arithmatex's formulas into MathML."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Run after the raw-HTML postprocessor, which puts the formulas back into the text."""
        md.postprocessors.register(_Formulas(md), "mathml", -10)


def makeExtension(**kwargs: Any) -> MathMLExtension:  # noqa: N802
    """What Markdown calls for the extension named `livecell.mathml`."""
    return MathMLExtension(**kwargs)
