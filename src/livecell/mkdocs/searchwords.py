"""Words that a page is to be found by although it hardly says them, from its front matter:

    search: {words: [freeze layers, requires_grad_(False)]}

They become the tags of the page's first entry in Material's search index, which is what its ranking
knows besides titles and text. Readers see neither (site.css hides them among the results).
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page


def add(index: Any, page: Page, entries: list[dict[str, Any]]) -> None:
    """Give the entry of the page itself the words of its front matter.

    Chinese is cut into words just as titles and text are: the query is, too, and a phrase kept
    whole would be found by nobody who types part of it.

    Args:
        index: the index object of Material's search plugin.
        page: the page.
        entries: what the plugin made of it; the first is the page, the others are its sections.

    Raises:
        PluginError: the front matter has something else there than a list of words.
    """
    search = page.meta.get("search") or {}
    words = search.get("words", []) if isinstance(search, dict) else []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise PluginError(f"{page.file.src_uri}: `words` of `search` is not a list of words")
    if entries and words:
        separator = index.config["separator"]
        cut = [re.split(separator, index._segment_chinese(word).lower()) for word in words]
        # Once each: what several phrases share is no better a reason to come here.
        entries[0]["tags"] = list(dict.fromkeys(filter(None, chain.from_iterable(cut))))
