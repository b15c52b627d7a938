"""Boxes that ask before they show, as the Markdown extension `livecell.predict`.

    !!! predict "`w.grad` is 2. What does the second pass make of it?"

        `2`
        :   That would be replacing.

        `#!live lesson:again w.grad`
        :   The new gradient is added to the old one.

        `0`
        :   Nobody cleared it.

        ```python exec="on" cell="lesson:again" show="output"
        ```

Every choice becomes a fold that says why; what follows the choices becomes the last fold. The
right choice is the one that is taken from the run, so no author has to mark it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from livecell import fence, pages, questions, render
from livecell.errors import LivecellError
from livecell.questions import Choice
from livecell.words import word


class _Boxes(Treeprocessor):
    def run(self, root: ET.Element) -> None:
        boxes = [element for element in root.iter("div") if _is_predict(element)]
        for number, box in enumerate(boxes, start=1):
            site = fence.site_of(self.md)
            told = "".join(render.problem(error, site.language) for error in _errors(site, box))
            if told:
                box.clear()
                box.text = AtomicString(self.md.htmlStash.store(told))
            else:
                _build(box, number, site.language)


def _errors(site: fence.Site, box: ET.Element) -> list[LivecellError]:
    """What is wrong with the box, told to the site."""
    question = questions.read_box(box)
    source = pages.text_of(site.page) if site.page and site.page.is_file() else ""
    placed = [other for other in questions.find(source) if other == question]
    errors = questions.problems(
        placed[0] if placed else question,
        lambda reference, label: render.value(site.cell(reference), label),
    )
    return [
        site.failed(replace(error, file=site.page) if placed else error, question.text)
        for error in errors
    ]


def _is_predict(element: ET.Element) -> bool:
    return {"admonition", "predict"} <= set(element.get("class", "").split())


def _build(box: ET.Element, number: int, language: str) -> None:
    """Make folds of the choices, and a last one of all that follows them."""
    title, listing = box.find("p"), box.find("dl")
    assert title is not None
    assert listing is not None
    title.set("id", f"predict-{number}")
    box.set("class", f"{box.get('class')} lc-predict")
    box.set("role", "group")
    box.set("aria-labelledby", f"predict-{number}")
    place = list(box).index(listing)
    after = box[place + 1 :]
    box[place:] = []
    choices = ET.SubElement(box, "div", {"class": "lc-choices"})
    for name, reasons in questions.entries(listing):
        _choice(choices, name, reasons, language)
    if after:
        reveal = ET.SubElement(box, "details", {"class": "lc-reveal"})
        ET.SubElement(reveal, "summary").text = AtomicString(word("reveal", language))
        reveal.extend(after)


def _choice(parent: ET.Element, name: ET.Element, reasons: list[ET.Element], language: str) -> None:
    # Inline Markdown has not been rendered yet: the text says whether the choice is live.
    is_right = Choice(name.text or "", True).is_live
    kind, mark = ("right", "✓") if is_right else ("wrong", "✗")
    fold = ET.SubElement(parent, "details", {"class": f"lc-choice lc-{kind}"})
    ET.SubElement(fold, "summary").text = (name.text or "").strip()
    body = ET.SubElement(fold, "div", {"class": "lc-why"})
    for reason in reasons:
        if (reason.text or "").strip():
            ET.SubElement(body, "p").text = reason.text
        body.extend(reason)
    if body[0].tag != "p":
        body.insert(0, ET.Element("p"))
    verdict = ET.Element("strong", {"class": "lc-verdict"})
    sign = ET.SubElement(verdict, "span", {"class": "lc-mark", "aria-hidden": "true"})
    sign.text = AtomicString(mark)
    sign.tail = AtomicString(f" {word(kind, language)}")
    gap = " " if word(kind, language).isascii() else ""  # a full-width stop has its own
    verdict.tail = gap + (body[0].text or "").lstrip()
    body[0].text = None
    body[0].insert(0, verdict)


class PredictExtension(Extension):
    """Builds the boxes."""

    def extendMarkdown(self, md: Any) -> None:  # noqa: N802
        """Before inline patterns (20), which would leave no trace of what is live."""
        md.treeprocessors.register(_Boxes(md), "livecell-predict", 25)


def makeExtension(**kwargs: Any) -> PredictExtension:  # noqa: N802
    """What Python-Markdown calls to load this module as an extension."""
    return PredictExtension(**kwargs)
