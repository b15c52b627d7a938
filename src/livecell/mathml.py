"""The Markdown extension `mathml`: formulas become MathML while the page is built.

It takes over what `pymdownx.arithmatex` (with `generic: true`) finds, so a reader needs neither a
script nor another host to see a formula.
"""

from __future__ import annotations

import functools
import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor

from livecell import fence, render
from livecell.errors import LivecellError

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
MATHML = "{http://www.w3.org/1998/Math/MathML}"
ET.register_namespace("", MATHML[1:-1])
CHILDREN = dict.fromkeys(("mfrac", "mroot", "msub", "msup", "munder", "mover"), 2)
CHILDREN |= {"msubsup": 3, "munderover": 3}
"""How many children an element must have."""


@functools.cache
def to_mathml(tex: str, display: str) -> str:
    """The formula `tex` as MathML, `display` being "inline" or "block".

    Raises:
        LivecellError: the formula is not LaTeX that the converter knows.
    """
    try:
        math = ET.fromstring(convert(tex, display=display))
        troubles = list(_troubles(math))
    except ET.ParseError:
        troubles = ["an & stands outside a matrix, or in an environment it does not know"]
    except Exception as error:
        troubles = [repr(error)]
    if re.sub(r"\\.", "", tex).count("{") != re.sub(r"\\.", "", tex).count("}"):
        troubles.insert(0, "the braces { and } do not balance")
    if troubles:
        raise LivecellError(
            "a formula cannot be converted",
            found=tex,
            todo=f"mend the formula; the converter says: {troubles[0]}",
        )
    for element in math.iter(MATHML + "mo"):
        if element.text == "∂":
            element.tag = MATHML + "mi"  # ∂ belongs to its variable; as an operator it stands apart
    _space_functions(math)
    _group_matrices(math)
    return ET.tostring(math, encoding="unicode")


def _troubles(math: ET.Element) -> Iterator[str]:
    """What the converter passed over in silence."""
    for element in math.iter():
        text = element.text or ""
        if element.tag != MATHML + "mtext" and text.startswith("\\") and len(text) > 1:
            yield f"unknown command {text}"
        name = element.tag.removeprefix(MATHML)
        if len(element) != CHILDREN.get(name, len(element)):
            yield f"a part is missing in <{name}>"


def _space_functions(math: ET.Element) -> None:
    """Set `cos t` apart, as TeX does; a browser would show `cost`."""
    for row in math.iter():
        if row.tag.removeprefix(MATHML) not in ("mrow", "mtd", "mstyle", "math"):
            continue
        for place in range(len(row) - 1, 0, -1):
            pair = row[place - 1], row[place]
            if any(map(_is_function, pair)) and all(e.tag != MATHML + "mo" for e in pair):
                row.insert(place, ET.Element(MATHML + "mspace", width="0.167em"))


def _is_function(element: ET.Element) -> bool:
    if element.tag.removeprefix(MATHML) in ("msub", "msup", "msubsup"):
        element = element[0]
    name = element.text or ""
    return element.tag == MATHML + "mi" and re.fullmatch("[a-zA-Z]{2,}", name) is not None


def _group_matrices(math: ET.Element) -> None:
    """Put each matrix and its brackets into a row: brackets grow as tall as their row."""
    for row in list(math.iter()):
        for table in row.findall(MATHML + "mtable"):
            place = list(row).index(table)
            three = row[max(place - 1, 0) : place + 2]
            if "".join(part.text or "" for part in three) in ("[]", "()", "{}", "||", "‖‖"):
                group = ET.Element(MATHML + "mrow")
                group.extend(three)
                row[place - 1 : place + 2] = [group]


class _Formulas(Postprocessor):
    def run(self, text: str) -> str:
        return replace_formulas(text, self.md)


def replace_formulas(text: str, md: Markdown | None = None) -> str:
    """HTML with MathML in place of arithmatex's formulas; `md` is what made it, if it did."""
    return FORMULA.sub(lambda match: _replace(match, md), text)


def _replace(match: re.Match[str], md: Markdown | None) -> str:
    tag, tex = match["tag"], html.unescape(match["tex"]).strip()
    try:
        math = to_mathml(tex, "block" if tag == "div" else "inline")
    except LivecellError as error:
        site = fence.site_of(md)
        error = site.failed(error, tex)
        if tag == "div":
            return render.problem(error, site.language)
        return f'<strong class="lc-problem">{render.escape(str(error))}</strong>'
    focus = ' tabindex="0"' if tag == "div" else ""
    return f'<{tag} class="math"{focus}>{math}</{tag}>'


class MathMLExtension(Extension):
    """Turns arithmatex's formulas into MathML."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Run after the raw-HTML postprocessor, which puts the formulas back into the text."""
        md.postprocessors.register(_Formulas(md), "mathml", -10)
