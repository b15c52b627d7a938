"""What MkDocs and Material would compute anew in every build, taken from the last one."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
import threading
from pathlib import Path
from typing import Any

import jinja2
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

from livecell.memo import Memo
from livecell.mkdocs import searchwords


def templates(env: jinja2.Environment, folder: Path) -> None:
    """Keep compiled templates in `folder`; Jinja looks whether their source is still the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    env.bytecode_cache = jinja2.FileSystemBytecodeCache(str(folder))


def search_index(config: MkDocsConfig) -> Any:
    """The index object of Material's search plugin, if the site uses that one."""
    plugin = config.plugins.get("material/search") or config.plugins.get("search")
    index = getattr(plugin, "search_index", None)
    return index if hasattr(index, "entries") else None


def search_entries(config: MkDocsConfig, memo: Memo, words: tuple[str, ...] = ()) -> None:
    """Take from the memo what Material's search plugin makes of a page.

    Args:
        config: the site's configuration.
        memo: where to keep it.
        words: Chinese words that the plugin must not take to pieces.
    """
    index = search_index(config)
    if index is None:
        return
    original = index.add_entry_from_context
    versions = [_version(name) for name in ("mkdocs-material", "jieba")]
    settings = json.dumps([dict(index.config), words], sort_keys=True, default=str)

    def compute(page: Page) -> list[dict[str, Any]]:
        if _HAN.search(f"{page.title}{page.content}"):
            _teach(words)
        before = len(index.entries)
        original(page)
        new: list[dict[str, Any]] = index.entries[before:]
        searchwords.add(index, page, new)
        del index.entries[before:]
        return new

    def add_entry_from_context(page: Page) -> None:
        meta = json.dumps(page.meta, sort_keys=True, default=str)
        anchors = json.dumps([item.id for item in _flat(page.toc)])
        facts = (page.url, str(page.title), page.content or "", meta, anchors)
        index.entries.extend(memo.get((*facts, settings, *versions), lambda: compute(page)))

    index.add_entry_from_context = add_entry_from_context


def load_chinese_words(config: MkDocsConfig, words: tuple[str, ...] = ()) -> None:
    """Read the dictionary of the search plugin's word cutter while the snippets run."""
    language = str(config.theme.get("language") or "")
    if search_index(config) is not None and language.startswith("zh"):
        threading.Thread(target=_teach, args=(words,), daemon=True).start()


_HAN = re.compile("[\u3400-\u9fff]")
_teaching = threading.Lock()
_taught: dict[str, int] = {}
"""How often jieba had met a word before we taught it that word."""


def _teach(words: tuple[str, ...]) -> None:
    """Make the word cutter know these words, and no others that it was taught before."""
    try:
        import jieba
    except ImportError:
        return
    with _teaching:
        jieba.setLogLevel(logging.WARNING)  # it reports every step to stderr
        jieba.initialize()
        if tuple(_taught) == words:
            return
        dictionary = jieba.dt
        for word, count in _taught.items():
            dictionary.total += count - dictionary.FREQ[word]
            dictionary.FREQ[word] = count
        _taught.clear()
        for word in words:
            count = dictionary.FREQ.get(word) or 0
            dictionary.add_word(word)
            dictionary.total -= count
            _taught[word] = count


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _flat(items: Any) -> list[Any]:
    return [one for item in items for one in (item, *_flat(item.children))]
