"""Terms on a page, as the Markdown extension `livecell.glossary`.

- The first mention of a term in a page's running text leads to the glossary, and has a card with
  the definition. Headings, code, formulas, links, tables, folds and the questions that a reader is
  to answer stay as they are.
- On the glossary, the line `[TERMS]`, or `[TERMS topic]`, becomes the list of terms (of a topic).
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from livecell import fence, pages
from livecell.elements import text_in
from livecell.termfile import Term
from livecell.terms import GLOSSARY, MARKER, Finder, Terms, no_topic
from livecell.words import word

PASSED_OVER = {"a", "abbr", "button", "code", "details", "dt", "figcaption", "h1", "h2", "h3", "h4"}
PASSED_OVER |= {"h5", "h6", "kbd", "math", "pre", "samp", "script", "style", "summary", "svg"}
PASSED_OVER |= {"table", "textarea"}
CLASSES_PASSED_OVER = {"admonition-title", "arithmatex", "lc-problem", "no-terms", "predict"}


class _Cards(Treeprocessor):
    def run(self, root: ET.Element) -> None:
        site = fence.site_of(self.md)
        terms, language = site.terms, site.language
        if terms is None or language not in terms.folders:
            return
        glossary = terms.folders[language] / GLOSSARY
        if site.page != glossary:
            start = site.page.parent if site.page else glossary.parent
            address = Path(os.path.relpath(glossary, start)).as_posix()
            _Linker(terms.mentions(language), language, address).element(root)


class _Linker:
    """Links what a page mentions first; one object per page."""

    def __init__(self, mentions: Finder[Term | None], language: str, address: str) -> None:
        self._mentions = mentions
        self._language = language
        self._address = address
        self._seen: set[str] = set()

    def element(self, element: ET.Element) -> None:
        """Link the terms in the text of `element` and of all that it holds."""
        classes = set(element.get("class", "").split())
        if element.tag in PASSED_OVER or classes & CLASSES_PASSED_OVER:
            return
        element.text, links = self._split(element.text)
        content = links
        for child in list(element):
            self.element(child)
            child.tail, links = self._split(child.tail)
            content += [child, *links]
        element[:] = content

    def _split(self, text: str | None) -> tuple[str | None, list[ET.Element]]:
        """What of `text` stands before its first link, and the links, with what follows them."""
        if not text or isinstance(text, AtomicString):
            return text, []
        parts: list[str] = []
        links: list[ET.Element] = []
        end = 0
        for place, term in self._mentions.find(text):
            if term is not None and term.id not in self._seen:
                self._seen.add(term.id)
                links.append(self._link(term, text[place]))
                parts.append(text[end : place.start])
                end = place.stop
        parts.append(text[end:])
        for link, tail in zip(links, parts[1:], strict=True):
            link.tail = tail
        return parts[0], links

    def _link(self, term: Term, text: str) -> ET.Element:
        name = f"lc-card-{term.id}"
        mention = ET.Element("span", {"class": "lc-term"})
        link = {"href": f"{self._address}#{term.id}", "aria-describedby": name}
        ET.SubElement(mention, "a", link).text = text
        # Hidden by itself: a reading mode, or a page without its style, must not show it.
        hidden = {"hidden": "", "data-search-exclude": "true"}
        card = ET.SubElement(
            mention, "span", {"class": "lc-card", "role": "tooltip", "id": name, **hidden}
        )
        # Elements of other kinds than the card's: Material's search takes the end of any <span>
        # for the end of the one that it is to pass over.
        head = ET.SubElement(card, "b")
        text_in(head, term.names[self._language])
        _others(head, term, self._language)
        text_in(card, term.definitions[self._language])
        return mention


class _List(BlockProcessor):
    def test(self, parent: ET.Element, block: str) -> bool:
        return MARKER.fullmatch(block.strip()) is not None

    def run(self, parent: ET.Element, blocks: list[str]) -> bool | None:
        site = fence.site_of(self.parser.md)
        marker = MARKER.fullmatch(blocks[0].strip())
        terms, language = site.terms, site.language
        if marker is None or terms is None or language not in terms.folders:
            return False
        block, topic = blocks.pop(0).strip(), marker["topic"]
        if topic is not None and topic not in terms.topics:
            problem = ET.SubElement(parent, "p", {"class": "lc-problem"})
            problem.text = AtomicString(site.failed(no_topic(topic, terms), block))
            return None
        listing = ET.SubElement(parent, "dl", {"class": "lc-terms"})
        for term in terms.listed:
            if topic in (None, term.topic):
                _entry(listing, term, terms, language)
        return None


def _entry(listing: ET.Element, term: Term, terms: Terms, language: str) -> None:
    name = ET.SubElement(listing, "dt", {"id": term.id})
    text_in(ET.SubElement(name, "span"), term.names[language])
    _others(name, term, language)
    body = ET.SubElement(listing, "dd")
    text_in(ET.SubElement(body, "p"), term.definitions[language])
    if also := term.words(language, "also"):
        spelt = word("also", language) + word("comma", language).join(also)
        text_in(ET.SubElement(body, "p", {"class": "lc-term-note"}), spelt)
    if term.page:
        stem, _, heading = term.page.partition("#")
        more = ET.SubElement(body, "p", {"class": "lc-term-note"})
        more.text = AtomicString(word("more", language))
        address = f"{stem}.md" + (f"#{heading}" if heading else "")
        title = pages.title(terms.folders[language] / f"{stem}.md") or stem
        text_in(ET.SubElement(more, "a", {"href": address}), title)


def _others(parent: ET.Element, term: Term, language: str) -> None:
    """What the term is called in the other languages."""
    for other, name in term.names.items():
        if other != language and name != term.names[language]:
            text_in(parent, " ")
            text_in(ET.SubElement(parent, "small", {"class": "lc-other", "lang": other}), name)


class GlossaryExtension(Extension):
    """Lists the terms of a site, and links their mentions."""

    def extendMarkdown(self, md: Any) -> None:  # noqa: N802
        """Link what the inline patterns (20) left as text; list before a paragraph (10) begins."""
        md.treeprocessors.register(_Cards(md), "livecell-cards", 15)
        md.parser.blockprocessors.register(_List(md.parser), "livecell-terms", 85)


def makeExtension(**kwargs: Any) -> GlossaryExtension:  # noqa: N802
    """What Python-Markdown calls to load this module as an extension."""
    return GlossaryExtension(**kwargs)
