"""The MkDocs plugin `livecell`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from mkdocs.config import config_options
from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import BuildError, PluginError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import BasePlugin, event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page
from mkdocs.utils import CountHandler

from livecell import (
    api,
    atlas,
    atlaspage,
    check,
    fence,
    lag,
    lighter,
    reading,
    render,
    terms,
)
from livecell.errors import LivecellError, relative
from livecell.memo import Memo
from livecell.mkdocs import (
    assets,
    beside,
    labs,
    publish,
    refresh,
    reuse,
    serve,
    takehome,
    twin,
)
from livecell.mkdocs.session import Session
from livecell.settings import Settings

log = logging.getLogger("mkdocs.plugins.livecell")


class LivecellConfig(Config):
    """What mkdocs.yml may set."""

    twins = config_options.DictOfItems(config_options.File(exists=True), default={})
    """Configuration files of the same site in other languages, by language tag."""
    titles = config_options.DictOfItems(config_options.Type(str), default={})
    """Translations of the navigation's section titles."""
    packages = config_options.ListOfItems(config_options.Type(str), default=[])
    """Python packages whose `assets` folder (styles, scripts) every page loads."""
    notebooks = config_options.Type(bool, default=False)
    """Whether every page that a snippet belongs to has a notebook and a program beside it."""
    notebooks_branch = config_options.Type(str, default="")
    """The branch of the repository that the notebooks are published on, for Colab."""


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
        self.late: dict[str, tuple[str, ...]] = {}
        """The sections of each page that have not kept up with another language."""

    def on_startup(self, *, command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:
        """Remember what MkDocs was started for."""
        self.serving = command == "serve"

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Start the runner and the twins; build into a folder that replaces the site when done."""
        self.before = refresh.snapshot([Path(config.docs_dir)])
        self.errors.clear()
        self.cited.clear()
        if "markdown-exec" not in config.plugins:
            raise PluginError(
                "livecell shows cells through markdown-exec's fences: write `- markdown-exec` "
                "above `- livecell` under `plugins:` in mkdocs.yml"
            )
        if "livecell" not in config.markdown_extensions:
            config.markdown_extensions.append("livecell")
        self.assets = assets.find(self.config.packages)
        assets.load(config, self.assets)
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
        _check_docs(config, settings)
        self.settings = settings
        self.shared = refresh.snapshot(refresh.shared_files(config, settings))
        self.twins = refresh.snapshot(refresh.twin_files(settings))
        listed = terms.load(settings)
        words = listed.chinese_words if listed else ()
        errors = atlas.load(settings)
        if listed:
            self._extend(config, "livecell.glossary", assets.TERMS)
        if errors:
            self._extend(config, "livecell.atlaspage", assets.ATLAS)
        names = api.load(settings)
        if names:
            self._extend(config, "livecell.apipage", {})
        if self.config.twins:
            assets.load(config, assets.TWINS)
            self.assets |= assets.TWINS
        fallback = twin.language or next(iter(settings.languages), "en")
        language = str(config.theme.get("language") or fallback)
        fence.site = fence.Site(
            result,
            language,
            settings.languages,
            lambda: stems,
            terms=listed,
            atlas=errors,
            api=names,
        )
        self.store = settings.store
        render.memo = Memo(settings.store / "memo" / f"{language}.json")
        reuse.search_entries(config, render.memo, words)
        if self.session is not None and self.session.runner.is_busy:
            reuse.load_chinese_words(config, words)
        return config

    def _extend(self, config: MkDocsConfig, extension: str, scripts: assets.Assets) -> None:
        """Have pages understand a Markdown extension of ours, and load what it needs."""
        assets.load(config, scripts)
        self.assets |= scripts
        if extension not in config.markdown_extensions:
            config.markdown_extensions.append(extension)

    @event_priority(100)
    def on_files(self, files: Files, *, config: MkDocsConfig) -> Files:
        """Publish styles and scripts, and add the labs; mkdocs-jupyter then finds them there."""
        assets.publish(config, files, self.assets)
        site = fence.site
        assert site is not None
        if site.atlas is not None and site.language in site.atlas.folders:
            content = atlaspage.script(site.atlas, site.language, lambda stem: _url(files, stem))
            files.append(File.generated(config, "assets/atlas.js", content=content))
        folder = Path(config.site_dir).parent if twin.link is not None else None
        folder = folder or (self.session.folder if self.session is not None else self.store)
        labs.add(config, files, site.stems(), folder / f"labs-{site.language}")
        return files

    def on_nav(self, nav: Navigation, *, config: MkDocsConfig, files: Files) -> Navigation:
        """Translate the titles of the sections, so that the order of pages lives in one file."""
        for item in nav.items:
            _translate(item, self.config.titles)
        self.nav = nav
        return nav

    def on_pre_page(self, page: Page, *, config: MkDocsConfig, files: Files) -> Page:
        """Tell the fence which page it is on; make the notebook that a lab's page shows."""
        site = fence.site
        assert site is not None
        lab = labs.stem_of(page)
        path = self.settings.snippet(lab) if lab else page.file.abs_src_path
        site.page = Path(path) if path else None
        site.errors = self.errors[page.file.src_uri] = []
        site.cited = self.cited[page.file.src_uri] = set()
        if lab:
            labs.prepare(lab, page, site, self.settings, files)
        return page

    def on_page_content(self, html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
        """Take from a lab's page what it does not need; say how long a lesson takes, and where a
        page lags behind its twin.
        """
        content = labs.finish(html, page) if labs.stem_of(page) else html
        site = fence.site
        if site is not None and takehome.is_lesson(page, site, self.settings):
            page.meta["minutes"] = reading.minutes(beside.prose(content))
        late = self.late[page.file.src_uri] = self.late_sections(page.file.src_uri)
        titles = {item.id: item.title for item in _headings(page.toc)} if late else {}
        return content + lag.notice(late, titles, _language())

    def late_sections(self, src_uri: str) -> tuple[str, ...]:
        """The sections of a page that have not kept up, as the files are now."""
        name = src_uri.removesuffix(".md").removesuffix(".ipynb")
        return lag.sections(self.settings, name, _language())

    def on_page_context(
        self, context: Any, *, page: Page, config: MkDocsConfig, nav: Navigation
    ) -> Any:
        """Tell the template what the page may offer, and what it was run with."""
        site, branch = fence.site, self.config.notebooks_branch
        if site is not None and self.config.notebooks:
            context["livecell"] = takehome.offer(page, config, site, self.settings, branch)
        return context

    def on_post_page(self, output: str, *, page: Page, config: MkDocsConfig) -> str:
        """Write the page's notebook, and its prose for the page's twin."""
        if self.config.twins:
            beside.write(page, config)
        if fence.site is not None and self.last is not None and self.config.notebooks:
            takehome.write(page, config, fence.site, self.settings, self.last.files)
        return lighter.page(output) if labs.stem_of(page) else output

    @event_priority(-100)
    def on_env(self, env: Any, *, config: MkDocsConfig, files: Files) -> Any:
        """All pages are rendered and none is written: stop here if one of them is in error."""
        self.judge()
        reuse.templates(env, self.store / "templates")
        self.last = refresh.FullBuild(
            config, files, self.nav, env, self.before, self.shared, self.twins
        )
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
            publish.place(other.site_dir, Path(config.site_dir) / other.language, link=self.serving)
        if self.serving:
            return
        if config.strict and _warnings():
            return  # MkDocs is about to give up; what is published stays
        publish.replace(Path(config.site_dir), self.session.site_dir, self.session.folder)
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


def _language() -> str:
    return fence.site.language if fence.site is not None else ""


def _headings(items: Any) -> list[Any]:
    return [one for item in items for one in (item, *_headings(item.children))]


def _url(files: Files, stem: str) -> str:
    """Where on the site the page with this stem is; the build tells if there is none."""
    file = files.get_file_from_path(f"{stem}.md")
    return file.url if file else stem


def _check_docs(config: MkDocsConfig, settings: Settings) -> None:
    """Refuse a folder of pages that `livecell check` would not look into."""
    known = check.folders(settings)
    if Path(config.docs_dir).resolve() not in [folder.resolve() for folder in known]:
        raise PluginError(
            f"docs_dir is {relative(config.docs_dir)}, but livecell looks for pages in "
            f"{' and '.join(map(relative, known))}: set `docs` (and `languages`) in "
            "[tool.livecell] of pyproject.toml, or change docs_dir"
        )


def _warnings() -> bool:
    handlers = logging.getLogger("mkdocs").handlers
    return any(isinstance(h, CountHandler) and h.get_counts() for h in handlers)


def _translate(item: Any, titles: dict[str, str]) -> None:
    if isinstance(item, Section):
        item.title = titles.get(item.title, item.title)
        for child in item.children:
            _translate(child, titles)
