"""Holds the list of terms to the pages, and the pages to its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from livecell import pages
from livecell.errors import LivecellError, nearest, relative
from livecell.pages import Block
from livecell.settings import Settings
from livecell.termfile import Term
from livecell.terms import GLOSSARY, MARKER, Finder, Terms, load, no_topic


def check(settings: Settings, read: Mapping[Path, list[Block]]) -> list[LivecellError]:
    """What is wrong with the list of terms, and with the pages' words.

    Args:
        settings: the settings of the site.
        read: the blocks of every page.
    """
    terms = load(settings)
    if terms is None:
        return []
    errors = [*terms.errors]
    for term in terms.listed:
        errors += _place(terms, term, read)
    for language, folder in terms.folders.items():
        errors += _glossary(terms, folder / GLOSSARY, read)
        for page in read:
            if page.is_relative_to(folder):
                errors += _variants(page, pages.text_of(page), terms.avoided(language))
    return list({str(error): error for error in errors}.values())


def words(settings: Settings, language: str, page: Path, text: str) -> list[LivecellError]:
    """The words to avoid in a page with this Markdown, which stands in the file `page`."""
    terms = load(settings)
    if terms is None or language not in terms.folders:
        return []
    return list(_variants(page, text, terms.avoided(language)))


def _place(terms: Terms, term: Term, read: Mapping[Path, list[Block]]) -> Iterator[LivecellError]:
    """Whether the page and the heading that explain a term exist, in every language."""
    name, _, heading = term.page.partition("#")
    for folder in terms.folders.values() if name else ():
        page = folder / f"{name}.md"
        if page not in read:
            known = [
                path.relative_to(folder).with_suffix("").as_posix()
                for path in read
                if path.is_relative_to(folder)
            ]
            yield LivecellError(
                f"the term {term.id!r} names a page that does not exist",
                terms.file,
                term.line,
                found=term.page,
                todo=nearest(name, known),
            )
            continue
        headings = (block.key for block in read[page] if block.kind == "heading")
        ids = [key.partition(" #")[2] for key in headings if " #" in key]
        if heading and heading not in ids:
            yield LivecellError(
                f"the term {term.id!r} names a heading that is not on {relative(page)}",
                terms.file,
                term.line,
                found=term.page,
                todo=nearest(heading, ids),
            )


def _glossary(
    terms: Terms, page: Path, read: Mapping[Path, list[Block]]
) -> Iterator[LivecellError]:
    """Whether the glossary shows every topic, and no other."""
    if page not in read:
        yield LivecellError(
            "there is no glossary for the terms",
            terms.file,
            expected=f"a page {relative(page)}",
            todo="write it, with the line [TERMS] where the terms are to stand",
        )
        return
    shown: set[str] = set()
    for number, line in enumerate(pages.prose(pages.text_of(page)).split("\n"), start=1):
        if marker := MARKER.fullmatch(line):
            topic = marker["topic"]
            shown |= {topic} if topic else set(terms.topics)
            if topic and topic not in terms.topics:
                yield replace(no_topic(topic, terms), file=page, line=number)
    for topic in terms.topics:
        if topic not in shown:
            yield LivecellError(
                f"the glossary does not show the terms of the topic {topic!r}",
                page,
                todo=f"write [TERMS {topic}] where they are to stand",
            )


def _variants(page: Path, text: str, avoided: Finder[str]) -> Iterator[LivecellError]:
    text = pages.prose(text)
    for place, right in avoided.find(text):
        if right:
            yield LivecellError(
                "the page uses another word than the list of terms",
                page,
                text.count("\n", 0, place.start) + 1,
                found=" ".join(text[place].split()),
                expected=right,
            )
