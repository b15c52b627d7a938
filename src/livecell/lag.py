"""What a page tells its reader where its twin has changed and it has not."""

from __future__ import annotations

import html
from collections.abc import Mapping

from livecell import pages, render, sources
from livecell.accepted import Page
from livecell.errors import LivecellError
from livecell.settings import Settings
from livecell.words import word

FORMAT = "lag 1"
"""To be changed with what `sections` makes of the same files: its answers are kept."""


def sections(settings: Settings, name: str, language: str) -> tuple[str, ...]:
    """The ids of the sections of a page that have not kept up, in order; "" for what has no id.

    Args:
        settings: the settings of the site.
        name: the page's path below the folder of its language, without `.md`, or that of a lab.
        language: its language.
    """
    page = Page(settings, sources.find(settings, name))
    if language not in settings.languages or not page.record.is_file():
        return ()
    if not all(file.is_file() for file in page.files):
        return ()
    try:
        held = [pages.text_of(file) for file in page.files]
        record = page.record.read_text(encoding="utf-8")
    except (LivecellError, OSError, UnicodeDecodeError):
        return ()  # told elsewhere
    number = settings.languages.index(language)
    facts = (FORMAT, language, *settings.languages, *held, record)
    return tuple(render.memo.get(facts, lambda: _sections(page, number)))


def _sections(page: Page, number: int) -> list[str]:
    try:
        late = [pair.section for pair in page.pairs if number in pair.stale]
    except LivecellError:
        return []  # `livecell check` tells what is wrong with the record
    return list(dict.fromkeys(late))


def notice(late: tuple[str, ...], titles: Mapping[str, str], language: str) -> str:
    """The HTML that says so below the page; nothing if nothing is late.

    Args:
        late: the sections.
        titles: the titles of the page's headings, as HTML, by id.
        language: the page's language.
    """
    if not late:
        return ""
    links = [
        f'<a href="#{html.escape(section)}">{titles[section]}</a>'
        for section in late
        if section in titles
    ]
    where = word("colon", language) + word("comma", language).join(links) if links else ""
    said = word("lags", language) + where + word("stop", language)
    return f'\n<p class="lc-lag" role="note" data-search-exclude>{said}</p>'
