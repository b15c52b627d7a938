"""The MkDocs plugin `livecell`."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from mkdocs.config import config_options
from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import BuildError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import BasePlugin, event_priority
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page
from mkdocs.utils import CountHandler

from livecell import check, fence, render
from livecell.errors import LivecellError
from livecell.memo import Memo
from livecell.mkdocs import refresh, reuse, serve, twin
from livecell.mkdocs.twin import Twin
from livecell.results import Result
from livecell.run import Runner
from livecell.settings import Settings

log = logging.getLogger("mkdocs.plugins.livecell")


class LivecellConfig(Config):
    """What mkdocs.yml may set."""

    twins = config_options.DictOfItems(config_options.File(exists=True), default={})
    """Configuration files of the same site in other languages, by language tag."""
    titles = config_options.DictOfItems(config_options.Type(str), default={})
    """Translations of the navigation's section titles."""


class Session:
    """What lasts from the start of `mkdocs build` or `mkdocs serve` to its end."""

    def __init__(self, config: MkDocsConfig, twins: dict[str, str], *, serving: bool) -> None:
        try:
            self.settings = Settings.load(Path(config.config_file_path or ".").parent)
        except LivecellError as error:
            raise BuildError(str(error)) from error
        self.serving = serving
        self.site_dir = Path(config.site_dir)
        self.folder = _staging(self.settings.store)
        self.judged = False
        self.twins = [self._twin(tag, file, config) for tag, file in twins.items()]
        self.runner = Runner(self.settings)  # has threads; the twins were forked before
        self.start()
        for other in self.twins:
            other.listen()

    def start(self) -> None:
        """Begin to run the snippets that changed, or failed, since the last call."""
        self.stems = self.settings.stems()
        self.runner.start(self.stems)

    def outcomes(self) -> dict[str, Result | LivecellError]:
        """The outcome of every snippet, once all have run."""
        return {stem: self.runner.outcome(stem) for stem in self.stems}

    def _twin(self, language: str, file: str, config: MkDocsConfig) -> Twin:
        url = f"{config.site_url.rstrip('/')}/{language}/" if config.site_url else ""
        options = {
            "config_file": file,
            "site_dir": str(self.folder / language),
            "site_url": url,
            "strict": config.strict,
        }
        return Twin(
            language, options, serving=self.serving, result=lambda stem: self.runner.result(stem)
        )

    def judge(self, own: list[LivecellError]) -> None:
        """Report the errors of all languages; outside `mkdocs serve` they end the build.

        Args:
            own: the errors of the default language's pages.
        """
        errors = own + check.site(self.settings, self.runner.result)
        for other in self.twins:
            errors += other.errors()
        unique = {str(error): error for error in errors}
        for text in unique:
            log.error("%s", text)
        go = self.serving or not unique
        self.judged = True
        for other in self.twins:
            other.proceed(go)
        if not go:
            raise BuildError(f"livecell found {len(unique)} error(s); no page was written")

    def close(self) -> None:
        """End every process and remove what was not published."""
        for other in self.twins:
            other.close()
        self.runner.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class LivecellPlugin(BasePlugin[LivecellConfig]):
    """Gives pages the results of snippets, and lets no broken page reach a reader."""

    session: Session | None = None
    serving = False
    last: refresh.FullBuild | None = None

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, list[LivecellError]] = {}
        """The errors of each page, by its path below docs_dir."""
        self.cited: dict[str, set[str]] = {}
        """The stems that each page cites."""

    def on_startup(self, *, command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:
        """Remember what MkDocs was started for."""
        self.serving = command == "serve"

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Start the runner and the twins; build into a folder that replaces the site when done."""
        self.before = refresh.snapshot([Path(config.docs_dir)])
        self.shared = refresh.snapshot(refresh.shared_files(config))
        self.errors.clear()
        self.cited.clear()
        if "livecell" not in config.markdown_extensions:
            config.markdown_extensions.append("livecell")
        if twin.link is not None:
            settings, result = Settings.load(Path(config.config_file_path or ".").parent), twin.ask
            stems = settings.stems()
        else:
            if self.session is None:
                self.session = Session(config, self.config.twins, serving=self.serving)
            settings, result = self.session.settings, self.session.runner.result
            stems = self.session.stems
            if not self.serving:
                config.site_dir = str(self.session.folder / "site")
        language = str(config.theme.get("language") or next(iter(settings.languages), "en"))
        fence.site = fence.Site(result, language, settings.languages, lambda: stems)
        self.store = settings.store
        render.memo = Memo(settings.store / "memo" / f"{language}.json")
        reuse.search_entries(config, render.memo)
        if self.session is not None and self.session.runner.is_busy:
            reuse.load_chinese_words(config)
        return config

    def on_nav(self, nav: Navigation, *, config: MkDocsConfig, files: Files) -> Navigation:
        """Translate the titles of the sections, so that the order of pages lives in one file."""
        for item in nav.items:
            _translate(item, self.config.titles)
        self.nav = nav
        return nav

    def on_page_markdown(
        self, markdown: str, *, page: Page, config: MkDocsConfig, files: Files
    ) -> str:
        """Tell the fence which page it is on."""
        assert fence.site is not None
        fence.site.page = Path(page.file.abs_src_path) if page.file.abs_src_path else None
        fence.site.errors = self.errors[page.file.src_uri] = []
        fence.site.cited = self.cited[page.file.src_uri] = set()
        return markdown

    @event_priority(-100)
    def on_env(self, env: Any, *, config: MkDocsConfig, files: Files) -> Any:
        """All pages are rendered and none is written: stop here if one of them is in error."""
        self.judge()
        reuse.templates(env, self.store / "templates")
        self.last = refresh.FullBuild(config, files, self.nav, env, self.before, self.shared)
        return env

    def judge(self) -> None:
        """Report the errors of every language; outside `mkdocs serve` they end the build."""
        own = [error for errors in self.errors.values() for error in errors]
        if twin.link is not None:
            twin.report(own)
        elif self.session is not None:
            self.session.judge(own)

    def refresher(self) -> refresh.Refresher | None:
        """What keeps the site that was just built up to date."""
        return refresh.Refresher(self, self.last) if self.last is not None else None

    @event_priority(-100)
    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Put the twins' sites beside this one and replace the published site by it."""
        render.memo.save()
        if self.session is None or twin.link is not None:
            return
        for other in self.session.twins:
            if failure := other.finish():
                if not self.serving:
                    raise BuildError(f"the {other.language} site could not be built: {failure}")
                log.error("the %s site could not be built: %s", other.language, failure)
            _place(other.site_dir, Path(config.site_dir) / other.language, link=self.serving)
        if self.serving:
            return
        if config.strict and _warnings():
            return  # MkDocs is about to give up; what is published stays
        _replace(Path(config.site_dir), self.session.site_dir, self.session.folder)
        config.site_dir = str(self.session.site_dir)
        self.on_shutdown()

    def on_serve(
        self, server: LiveReloadServer, *, config: MkDocsConfig, builder: Any
    ) -> LiveReloadServer:
        """Rebuild only what changed, in all languages at once."""
        if self.session is not None:
            serve.install(server, config, builder, self)
        return server

    def on_build_error(self, *, error: Exception) -> None:
        """Leave nothing behind."""
        if not self.serving:
            self.on_shutdown()

    def on_shutdown(self) -> None:
        """End every process."""
        if self.session is not None and twin.link is None:
            self.session.close()
            self.session = None
            fence.site = None


def _staging(store: Path) -> Path:
    """A new folder, on the disk of the site; what killed builds left there is removed."""
    folder = store / "staging"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if not _alive(old.name.partition("-")[0]):
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=folder, prefix=f"{os.getpid()}-"))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="livecell-site-"))


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True


def _place(source: Path, target: Path, *, link: bool) -> None:
    if target.is_symlink() or not source.is_dir():
        return
    if link and hasattr(os, "symlink"):
        target.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(source, target, target_is_directory=True)
    else:
        shutil.move(source, target)


def _replace(new: Path, published: Path, spare: Path) -> None:
    """Put `new` in the place of `published`, which readers see whole, old or new."""
    old = spare / "old"
    published.parent.mkdir(parents=True, exist_ok=True)
    if published.exists():
        shutil.move(published, old)
    shutil.move(new, published)


def _warnings() -> bool:
    handlers = logging.getLogger("mkdocs").handlers
    return any(isinstance(h, CountHandler) and h.get_counts() for h in handlers)


def _translate(item: Any, titles: dict[str, str]) -> None:
    if isinstance(item, Section):
        item.title = titles.get(item.title, item.title)
        for child in item.children:
            _translate(child, titles)
