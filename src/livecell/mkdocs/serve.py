"""Under `mkdocs serve`: what happens after a file was saved."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import watchdog.observers.polling
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.livereload import LiveReloadServer

from livecell.errors import LivecellError
from livecell.mkdocs import publish
from livecell.mkdocs.refresh import Refresher, shared_files
from livecell.results import Result

if TYPE_CHECKING:
    from livecell.mkdocs.plugin import LivecellPlugin

log = logging.getLogger("mkdocs.plugins.livecell")

LOOK_EVERY = 0.1  # seconds between two looks at the files; MkDocs' own 0.5 is most of the wait
SETTLE = 0.03  # seconds without another change before the build starts


def install(
    server: LiveReloadServer,
    config: MkDocsConfig,
    full: Callable[[], None],
    plugin: LivecellPlugin,
) -> None:
    """Make `server` watch everything the site is made from, and rebuild with a `Rebuild`."""
    watched = list(server._watched_paths)
    server._watched_paths.clear()
    server._watch_refs.clear()
    server.observer = watchdog.observers.polling.PollingObserver(timeout=LOOK_EVERY)
    server.build_delay = SETTLE
    server.builder = Rebuild(config, full, plugin)
    assert plugin.session is not None
    settings = plugin.session.settings
    shared = shared_files(config, settings)
    ours = [settings.snippets, settings.docs, settings.twins, *shared]
    for path in {*watched, *map(str, ours)}:
        if Path(path).exists():
            server.watch(path)


class Rebuild:
    """Brings the sites of all languages up to date, side by side; never raises.

    An exception would make MkDocs' server hold back every page until the next good build.
    """

    def __init__(
        self, config: MkDocsConfig, full: Callable[[], None], plugin: LivecellPlugin
    ) -> None:
        self._full = full
        self._site = Path(config.site_dir)
        self._plugin = plugin
        self._refresher = Refresher.of(config)
        assert plugin.session is not None
        self._session = plugin.session
        self._outcomes = self._session.outcomes()
        self._session.runner.warm_up()  # so that the first edit of a snippet need not wait

    def __call__(self) -> None:
        """Rebuild what changed since the last call."""
        session = self._session
        session.judged = False
        try:
            changed = self._changed_stems()
            for twin in session.twins:
                twin.build(changed)
            if self._refresher is None or not self._refresher.refresh(changed):
                self._refresher = None
                self._full()
                self._refresher = self._plugin.refresher()
        except (Exception, SystemExit) as error:
            log.error("the site could not be rebuilt: %s", error)
            self._refresher = None
        for twin in session.twins:
            if not session.judged:
                twin.errors()
                twin.proceed(False)
            if failure := twin.finish():
                log.error("the %s site could not be rebuilt: %s", twin.language, failure)
            publish.place(twin.site_dir, self._site / twin.language, link=True)

    def _changed_stems(self) -> set[str]:
        before: dict[str, Result | LivecellError] = self._outcomes
        self._session.start()
        self._outcomes = now = self._session.outcomes()
        return {stem for stem in {*before, *now} if before.get(stem) is not now.get(stem)}
