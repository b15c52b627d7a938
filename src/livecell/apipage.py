"""Names of a library on a page, as the Markdown extension `livecell.apipage`.

- `[API]`, or `[API topic]`, becomes the list of names, each with the cells that use it.
- A page that shows cells ends with the names that they use.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from livecell import fence, pages, render
from livecell.api import PAGE, Api
from livecell.apifile import Name
from livecell.elements import code_in, text_in
from livecell.errors import LivecellError, nearest
from livecell.words import word

MARKER = re.compile(r"\[API(?: (?P<topic>[\w.-]+))?\] *")
NOT_SEARCHED = {"data-search-exclude": "true"}
"""The names below a page would be found in place of the section that explains them."""


class _List(BlockProcessor):
    def test(self, parent: ET.Element, block: str) -> bool:
        return MARKER.fullmatch(block.strip()) is not None

    def run(self, parent: ET.Element, blocks: list[str]) -> bool | None:
        site = fence.site_of(self.parser.md)
        marker = MARKER.fullmatch(blocks[0].strip())
        if marker is None or site.api is None:
            return False
        block, topic = blocks.pop(0).strip(), marker["topic"]
        if topic not in (None, *site.api.topics):
            problem = ET.SubElement(parent, "p", {"class": "lc-problem"})
            error = LivecellError(
                f"the list of names has no topic {topic!r}", todo=nearest(topic, site.api.topics)
            )
            problem.text = AtomicString(site.failed(error, block))
            return None
        site.cited |= set(site.stems())  # a change of any snippet may change the list
        shown = _shown(site.api, site.language)
        listing = ET.SubElement(parent, "dl", {"class": "lc-api"})
        for name in site.api.listed:
            if topic in (None, name.topic):
                _entry(listing, name, shown.get(name.name, []), site)
        return None


class _Names(Treeprocessor):
    def run(self, root: ET.Element) -> None:
        site = fence.site_of(self.md)
        if site.api is None or site.page is None or not site.page.is_file():
            return
        cells = (block.key for block in pages.read(site.page) if block.kind == "cell")
        names = {name for cell in cells for name in site.api.used(cell, render.memo)}
        folder = _folder(site.api, site.language)
        if not names or site.page == folder / PAGE:
            return
        listing = Path(os.path.relpath(folder / PAGE, site.page.parent))
        foot = ET.SubElement(root, "p", {"class": "lc-names", **NOT_SEARCHED})
        text_in(foot, word("names", site.language))
        for number, name in enumerate(sorted(names, key=lambda name: name.name.lower())):
            if number:
                text_in(foot, word("comma", site.language))
            link = ET.SubElement(foot, "a", {"href": f"{listing.as_posix()}#{name.anchor}"})
            code_in(link, name.name.removeprefix("torch."))


def _folder(api: Api, language: str) -> Path:
    """The folder of pages in `language`."""
    return api.settings.docs / language if api.settings.languages else api.settings.docs


def _shown(api: Api, language: str) -> dict[str, list[tuple[Path, str]]]:
    """The pages, and the headings on them, below which a name is used."""
    folder = _folder(api, language)
    found: dict[str, list[tuple[Path, str]]] = {}
    for page in _pages(folder):
        heading = ""
        for block in pages.read(page):
            if block.kind == "heading":
                heading = block.key.partition(" #")[2] or heading
            elif block.kind == "cell":
                for name in api.used(block.key, render.memo):
                    found.setdefault(name.name, []).append((page, heading))
    return found


def _pages(folder: Path) -> Iterator[Path]:
    """All pages in `folder`; last the list itself, which shows what no other page does."""
    yield from sorted(page for page in folder.rglob("*.md") if page.name != PAGE)
    if (own := folder / PAGE).is_file():
        yield own


def _entry(
    listing: ET.Element, name: Name, shown: list[tuple[Path, str]], site: fence.Site
) -> None:
    term = ET.SubElement(listing, "dt", {"id": name.anchor})
    code_in(ET.SubElement(term, "a", {"href": name.url}), name.name)
    body = ET.SubElement(listing, "dd")
    text_in(ET.SubElement(body, "p"), name.said[site.language])
    note = ET.SubElement(body, "p", {"class": "lc-term-note"})
    text_in(note, word("shown" if shown else "unshown", site.language))
    assert site.api is not None
    folder = _folder(site.api, site.language)
    here = site.page.parent if site.page else folder
    first: dict[Path, str] = {}
    for page, heading in shown:
        first.setdefault(page, heading)
    for number, (page, heading) in enumerate(first.items()):
        if number:
            text_in(note, word("comma", site.language))
        address = Path(os.path.relpath(page, here)).as_posix() + (f"#{heading}" if heading else "")
        link = ET.SubElement(note, "a", {"href": address})
        text_in(link, pages.title(page) or page.stem)


class ApiExtension(Extension):
    """Lists the names of a library, and those that a page uses."""

    def extendMarkdown(self, md: Any) -> None:  # noqa: N802
        """List before a paragraph (10) begins; end the page when all else stands on it."""
        md.parser.blockprocessors.register(_List(md.parser), "livecell-api", 84)
        md.treeprocessors.register(_Names(md), "livecell-names", 14)


def makeExtension(**kwargs: Any) -> ApiExtension:  # noqa: N802
    """What Python-Markdown calls to load this module as an extension."""
    return ApiExtension(**kwargs)
