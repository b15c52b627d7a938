"""Entries of the atlas on a page, as the Markdown extension `livecell.atlaspage`.

- `[ENTRY id]` becomes the heading of the entry, and what the list says of it.
- `[ATLAS paste]` becomes a box to paste an error into.
- `[ATLAS message]` becomes the list of all entries, page by page.
- `[ATLAS symptom]` lists those that can be put without a message, in words.
- `[ATLAS operation]` lists them by the names of operations.
"""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.util import AtomicString

from livecell import fence, pages
from livecell.atlas import Atlas, no_entry
from livecell.atlasfile import FOLDER, Entry
from livecell.elements import code_in, text_in
from livecell.errors import LivecellError, nearest
from livecell.words import word

LIST = re.compile(r"\[ATLAS (?P<kind>[\w-]+)\] *")
NOT_SEARCHED = {"data-search-exclude": "true"}
"""A list of all entries would be found in place of each of them."""


class _Marker(BlockProcessor):
    def test(self, parent: ET.Element, block: str) -> bool:
        line = block.strip()
        return bool(pages.ENTRY.fullmatch(line) or LIST.fullmatch(line))

    def run(self, parent: ET.Element, blocks: list[str]) -> bool | None:
        site = fence.site_of(self.parser.md)
        if site.atlas is None or site.language not in site.atlas.folders:
            return False
        line = blocks.pop(0).strip()
        writer = Writer(site.atlas, site.language, site.page)
        try:
            if marker := pages.ENTRY.fullmatch(line):
                writer.entry(parent, marker["id"])
            elif marker := LIST.fullmatch(line):
                writer.list(parent, marker["kind"])
        except LivecellError as error:
            problem = ET.SubElement(parent, "p", {"class": "lc-problem"})
            problem.text = AtomicString(site.failed(error, line))
        return None


class Writer:
    """Writes what the atlas says into a page.

    Args:
        atlas: the errors of the site.
        language: language of the page.
        page: the page's file, which links are relative to.
    """

    def __init__(self, atlas: Atlas, language: str, page: Path | None) -> None:
        self._atlas = atlas
        self._language = language
        self._root = atlas.folders[language]
        self._here = page.parent if page else self._root
        self._lists: dict[str, Callable[[ET.Element], None]] = {
            "paste": self._paste,
            "message": self._by_message,
            "symptom": self._by_symptom,
            "operation": self._by_operation,
        }

    def entry(self, parent: ET.Element, name: str) -> None:
        """The heading of an entry and what the list says of it.

        Raises:
            LivecellError: there is no such entry.
        """
        entry = self._atlas.get(name)
        if entry is None:
            raise no_entry(name, self._atlas)
        title = entry.titles[self._language]
        heading = ET.SubElement(parent, "h2", {"id": entry.id, "data-toc-label": title})
        if entry.message:
            code_in(heading, entry.heading)
        else:
            text_in(heading, title)
        box = ET.SubElement(parent, "div", {"class": "lc-entry"})
        if entry.message:
            text_in(ET.SubElement(box, "p", {"class": "lc-entry-title"}), title)
        self._said(box, entry)

    def list(self, parent: ET.Element, kind: str) -> None:
        """A list of all entries.

        Raises:
            LivecellError: there is no such list.
        """
        if kind not in self._lists:
            todo = nearest(kind, list(self._lists))
            raise LivecellError(
                f"the atlas has no list {kind!r}", found=f"[ATLAS {kind}]", todo=todo
            )
        self._lists[kind](parent)

    def _said(self, parent: ET.Element, entry: Entry) -> None:
        listing = ET.SubElement(parent, "dl")

        def row(name: str) -> ET.Element:
            text_in(ET.SubElement(listing, "dt"), word(name, self._language))
            return ET.SubElement(listing, "dd")

        text_in(row("means"), entry.means[self._language])
        text_in(row("cure"), entry.cures[self._language])
        if entry.older:
            cell = row("older")
            for text in entry.older:
                code_in(ET.SubElement(cell, "p"), text)
        if entry.lesson:
            stem, _, heading = entry.lesson.partition("#")
            title = pages.title(self._root / f"{stem}.md") or stem
            link = {"href": self._address(stem, heading)}
            text_in(ET.SubElement(row("lesson"), "a", link), title)

    def _paste(self, parent: ET.Element) -> None:
        # Without a script there is nothing to press, and the list below is all there is.
        form = ET.SubElement(parent, "form", {"class": "lc-paste", "hidden": "", **NOT_SEARCHED})
        label = ET.SubElement(form, "label")
        text_in(ET.SubElement(label, "span"), word("paste", self._language))
        ET.SubElement(label, "textarea", {"rows": "5", "spellcheck": "false"})
        names = ("known", "guess", "unknown", "means", "cure")
        said = {name: word(name, self._language) for name in names}
        found = {"class": "lc-found", "role": "status", "aria-live": "polite"}
        ET.SubElement(form, "div", found | {f"data-{name}": text for name, text in said.items()})

    def _by_message(self, parent: ET.Element) -> None:
        for family in dict.fromkeys(entry.family for entry in self._atlas.listed):
            name = f"{FOLDER}/{family}"
            head = ET.SubElement(parent, "p", {"class": "lc-family", **NOT_SEARCHED})
            link = ET.SubElement(head, "a", {"href": self._address(name)})
            text_in(link, pages.title(self._root / f"{name}.md") or family)
            listing = ET.SubElement(parent, "ul", {"class": "lc-atlas", **NOT_SEARCHED})
            for entry in self._atlas.listed:
                if entry.family == family:
                    self._item(ET.SubElement(listing, "li"), entry)

    def _item(self, item: ET.Element, entry: Entry) -> None:
        title = entry.titles[self._language]
        link = self._link(item, entry, "")
        if entry.message:
            code_in(link, entry.heading)
            text_in(ET.SubElement(item, "small"), title)
        else:
            text_in(link, title)

    def _by_symptom(self, parent: ET.Element) -> None:
        listing = ET.SubElement(parent, "ul", {"class": "lc-atlas", **NOT_SEARCHED})
        with_symptoms = [e for e in self._atlas.listed if e.symptoms[self._language]]
        # First those that can be found by nothing else.
        for entry in sorted(with_symptoms, key=lambda entry: bool(entry.message)):
            item = ET.SubElement(listing, "li")
            self._link(item, entry, entry.titles[self._language])
            comma = word("semicolon", self._language)
            text_in(ET.SubElement(item, "small"), comma.join(entry.symptoms[self._language]))

    def _by_operation(self, parent: ET.Element) -> None:
        named: dict[str, list[Entry]] = {}
        for entry in self._atlas.listed:
            for operation in entry.operations:
                named.setdefault(operation, []).append(entry)
        listing = ET.SubElement(parent, "dl", {"class": "lc-operations", **NOT_SEARCHED})
        for operation in sorted(named, key=lambda name: (name.lower(), name)):
            code_in(ET.SubElement(listing, "dt"), operation)
            cell = ET.SubElement(listing, "dd")
            for number, entry in enumerate(named[operation]):
                if number:
                    text_in(cell, word("comma", self._language))
                self._link(cell, entry, entry.titles[self._language])

    def _link(self, parent: ET.Element, entry: Entry, text: str) -> ET.Element:
        link = {"href": self._address(f"{FOLDER}/{entry.family}", entry.id)}
        element = ET.SubElement(parent, "a", link)
        text_in(element, text)
        return element

    def _address(self, stem: str, heading: str = "") -> str:
        page = Path(os.path.relpath(self._root / f"{stem}.md", self._here)).as_posix()
        return page + (f"#{heading}" if heading else "")


def script(atlas: Atlas, language: str, address: Callable[[str], str]) -> str:
    """What the box and the search know of the atlas, as a script that defines `livecellAtlas`.

    Args:
        atlas: the errors of the site.
        language: language of the pages.
        address: where on the site the page with this stem is.
    """
    entries = [
        {
            "key": entry.id,
            "href": f"{address(f'{FOLDER}/{entry.family}')}#{entry.id}",
            "title": entry.titles[language],
            "means": entry.means[language],
            "cure": entry.cures[language],
            "patterns": entry.patterns(),
        }
        for entry in atlas.listed
    ]
    return f"livecellAtlas = {json.dumps(entries, ensure_ascii=False)}\n"


class AtlasExtension(Extension):
    """Writes the entries of the atlas, and the lists of them."""

    def extendMarkdown(self, md: Any) -> None:  # noqa: N802
        """Before a paragraph (10) begins."""
        md.parser.blockprocessors.register(_Marker(md.parser), "livecell-atlas", 86)


def makeExtension(**kwargs: Any) -> AtlasExtension:  # noqa: N802
    """What Python-Markdown calls to load this module as an extension."""
    return AtlasExtension(**kwargs)
