"""Under `mkdocs serve`: render again the pages that changed, and nothing else.

A page's HTML depends on its source, on the results it cites, and on what all pages share: the
navigation (titles), the configuration, the theme. When something shared changes, MkDocs builds
everything; otherwise the pages concerned go through MkDocs' own functions for a single page, in
the context of the last full build.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.commands import build as mkdocs_build
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from livecell import fence
from livecell.mkdocs import reuse
from livecell.settings import Settings

if TYPE_CHECKING:
    from livecell.mkdocs.plugin import LivecellPlugin

Snapshot = dict[str, tuple[int, int]]
"""Modification time (in ns) and size of files, by path."""


def snapshot(paths: Iterable[Path]) -> Snapshot:
    """The present state of the files at and below `paths`."""
    return dict(_stats(paths))


def _stats(paths: Iterable[Path]) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in paths:
        try:
            if path.is_dir():
                yield from _stats(Path(entry) for entry in os.scandir(path))
            else:
                stat = path.stat()
                yield str(path), (stat.st_mtime_ns, stat.st_size)
        except OSError:
            continue  # deleted under our eyes; its absence is the change


def shared_files(config: MkDocsConfig, settings: Settings) -> list[Path]:
    """What every page depends on: configuration, terms, errors, names, the theme's templates."""
    folder = Path(config.config_file_path or ".").parent
    files = [*folder.glob("*.yml"), *folder.glob("*.yaml"), folder / "pyproject.toml"]
    files += [settings.terms, settings.atlas, settings.api]
    if config.theme.custom_dir:
        files.append(Path(config.theme.custom_dir))
    return files


def twin_files(settings: Settings) -> list[Path]:
    """What tells whether a page has kept up with its twins: all pages, and the records."""
    if not settings.twins.is_dir():
        return [settings.twins]
    return [settings.twins, *(settings.docs / language for language in settings.languages)]


@dataclass
class FullBuild:
    """The last full build: what it was made from, and what single pages need of it."""

    config: MkDocsConfig
    files: Files
    nav: Navigation
    env: Any
    pages: Snapshot
    shared: Snapshot
    twins: Snapshot


class Refresher:
    """Keeps the site of one language up to date after a full build."""

    def __init__(self, plugin: LivecellPlugin, last: FullBuild) -> None:
        self._plugin = plugin
        self._last = last

    @property
    def _other_search(self) -> bool:
        """Whether the site has a search whose index we cannot keep up to date."""
        plugins = self._last.config.plugins
        return "search" in plugins and reuse.search_index(self._last.config) is None

    @classmethod
    def of(cls, config: MkDocsConfig) -> Refresher | None:
        """The refresher for the full build that has just been made with `config`."""
        plugin: Any = config.plugins["livecell"]
        return cls(plugin, plugin.last) if plugin.last is not None else None

    def refresh(self, changed_stems: set[str]) -> bool:
        """Bring the site up to date; False if only a full build can.

        Args:
            changed_stems: snippets that have another outcome than at the last call.
        """
        last = self._last
        pages_now = snapshot([Path(last.config.docs_dir)])
        shared_now = snapshot(shared_files(last.config, self._plugin.settings))
        if shared_now != last.shared or set(pages_now) != set(last.pages):
            return False
        changed = {path for path, stat in pages_now.items() if stat != last.pages[path]}
        by_path = {page.file.abs_src_path: page for page in self._all_pages()}
        if not changed <= set(by_path) or self._other_search:
            return False
        last.pages = pages_now
        late = self._late()
        todo = [
            page
            for path, page in by_path.items()
            if path in changed
            or page.file.src_uri in late
            or self._plugin.cited.get(page.file.src_uri, set()) & changed_stems
        ]
        return self._render(todo)

    def _late(self) -> set[str]:
        """The pages that say otherwise now whether they have kept up with other languages."""
        plugin, before = self._plugin, self._last.twins
        self._last.twins = now = snapshot(twin_files(plugin.settings))
        if now == before:
            return set()
        return {uri for uri, late in plugin.late.items() if plugin.late_sections(uri) != late}

    def _all_pages(self) -> list[Page]:
        return [file.page for file in self._last.files.documentation_pages() if file.page]

    def _render(self, todo: list[Page]) -> bool:
        last = self._last
        fence.prepare(last.config.markdown_extensions, last.config.mdx_configs)
        for page in todo:
            before = (page.title, page.meta)
            mkdocs_build._populate_page(page, last.config, last.files)
            if (page.title, page.meta) != before:
                return False  # other pages show the title; front matter can do anything
        self._plugin.judge()
        index = reuse.search_index(last.config)
        for page in todo:
            if index is not None:
                index.entries[:] = [
                    entry
                    for entry in index.entries
                    if entry["location"].partition("#")[0] != page.url
                ]
            documents = last.files.documentation_pages()
            mkdocs_build._build_page(page, last.config, documents, last.nav, last.env)
            page.validate_anchor_links(
                files=last.files, log_level=last.config.validation.links.anchors
            )
        if todo and index is not None:
            path = Path(last.config.site_dir) / "search" / "search_index.json"
            path.write_text(index.generate_search_index(None), encoding="utf-8")
        return True
