"""Cells on a page: markdown-exec's fence with the option `cell=`, and the same look-up inline.

    ```python exec="on" cell="scalar_backward:leaves"
    ```

    After the backward pass `w.grad` is `#!live scalar_backward:backward w.grad`.

A fence never executes anything: it asks a runner for a result. This module is the only one that
knows markdown-exec, and the only one a site generator other than MkDocs needs: as the Markdown
extension `livecell` it makes a runner of its own when the page's generator gave it none.
"""

from __future__ import annotations

import functools
import html
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import markdown_exec
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.util import AtomicString
from markupsafe import Markup
from pymdownx.superfences import SuperFencesException

from livecell import api, atlas, pages, render, terms
from livecell.api import Api
from livecell.atlas import Atlas
from livecell.errors import LivecellError, nearest
from livecell.results import CellResult, Result
from livecell.run import Runner
from livecell.settings import Settings
from livecell.superfences import LANGUAGES
from livecell.terms import Terms

OPTIONS = ("show", "alt")
SHOW = ("both", "code", "output")


@dataclass
class Site:
    """What the cells of the page being rendered are looked up in.

    Attributes:
        result: gives the result of a snippet, or raises LivecellError.
        language: language of the page.
        languages: every language of the comments.
        stems: names of all snippets, for hints.
        page: the page's file, for error messages.
        errors: where errors are collected; None to raise the first one.
        cited: the stems that the page has asked for.
        terms: the terms that pages explain, if the site lists any.
        atlas: the errors that pages explain, if the site lists any.
        api: the names whose use pages show, if the site lists any.
    """

    result: Callable[[str], Result]
    language: str
    languages: tuple[str, ...]
    stems: Callable[[], list[str]]
    page: Path | None = None
    errors: list[LivecellError] | None = None
    cited: set[str] = field(default_factory=set)
    terms: Terms | None = None
    atlas: Atlas | None = None
    api: Api | None = None

    def cell(self, reference: str) -> CellResult:
        """The cell that a page calls `stem:cell`.

        Raises:
            LivecellError: there is no such snippet or cell, or its run failed.
        """
        stem, name = pages.split_reference(reference)
        self.cited.add(stem)
        if stem not in self.stems():
            raise pages.no_snippet(reference, self.stems())
        result = self.result(stem)
        cell = result.cell(name)
        if cell is None:
            raise pages.no_cell(reference, [cell.name for cell in result.cells])
        return cell

    def failed(self, error: LivecellError, culprit: str) -> LivecellError:
        """Collect `error`, completed with page and line, or raise it if errors are not collected.

        Args:
            error: what is wrong.
            culprit: what is wrong on the page: a fence's reference, a value or a formula.
        """
        if error.file is None and self.page is not None:
            error = replace(error, file=self.page, line=pages.line_of(culprit, self.page))
        if self.errors is None:
            raise Stop(str(error)) from error
        if error not in self.errors:
            self.errors.append(error)
        return error


class Stop(SuperFencesException):  # type: ignore[misc]
    """A page is in error; superfences lets only exceptions of this kind pass."""


site: Site | None = None
"""The site being rendered, set by whoever renders its pages; see `site_of` where nobody has."""


def prepare(extensions: list[Any], configs: dict[str, Any]) -> None:
    """Tell markdown-exec the page's Markdown extensions; it forgets them after every build."""
    markdown_exec.markdown_config.save(extensions, configs)


def site_of(md: Markdown | None = None) -> Site:
    """The site that `md` renders a page of.

    Where no generator has set one, it is made on first use, for `md` alone: a generator may render
    pages side by side.
    """
    if site is not None:
        return site
    known: Site | None = getattr(md, "livecell_site", None)
    if known is not None:
        return known
    settings = Settings.load()
    language = getattr(md, "livecell_language", "") or next(iter(settings.languages), "en")
    own = Site(_runner(settings).result, language, settings.languages, settings.stems)
    own.terms, own.atlas, own.api = _lists(settings)
    if md is not None:
        own.page = _page(md, settings.docs / language if settings.languages else settings.docs)
        md.livecell_site = own  # type: ignore[attr-defined]
    return own


@functools.lru_cache(maxsize=1)
def _runner(settings: Settings) -> Runner:
    return Runner(settings)


@functools.lru_cache(maxsize=1)
def _lists(settings: Settings) -> tuple[Terms | None, Atlas | None, Api | None]:
    return terms.load(settings), atlas.load(settings), api.load(settings)


def _page(md: Markdown, folder: Path) -> Path | None:
    """The file being rendered, where the generator tells: Zensical does."""
    if "rendering_context" not in md.preprocessors:
        return None
    context: Any = md.preprocessors["rendering_context"]
    return folder / str(context.page.path)


def render_cell(reference: str, options: dict[str, str], where: Site) -> str:
    """The HTML of a fence.

    Args:
        reference: `stem:cell`.
        options: the fence's further options: `show` and `alt`.
        where: what the cell is looked up in.
    """
    try:
        show = options.get("show", "both")
        for name in options:
            if name not in OPTIONS:
                raise LivecellError(
                    f"a fence with cell= has no option {name!r}",
                    found=f'cell="{reference}" {name}=',
                    expected=" or ".join(OPTIONS),
                    todo=nearest(name, list(OPTIONS)),
                )
        if show not in SHOW:
            raise LivecellError(
                f"show={show!r} is unknown", found=f'cell="{reference}"', expected=" or ".join(SHOW)
            )
        cell = where.cell(reference)
        parts = []
        if show != "output":
            parts.append(render.source(cell, where.language, where.languages))
        if show != "code":
            parts.append(render.outputs(cell, where.language, options.get("alt", "")))
    except LivecellError as error:
        return render.problem(where.failed(error, reference), where.language)
    return f'<div class="livecell" data-cell="{html.escape(reference)}">{"".join(parts)}</div>'


def _format(code: str, extra: dict[str, str], md: Markdown, **options: Any) -> Markup:
    reference = extra.get("cell")
    if reference is None:
        return _original(code=code, extra=extra, md=md, **options)
    given = {name: value for name, value in extra.items() if name != "cell"}
    given |= {name: value for name, value in options.items() if value != _DEFAULTS.get(name)}
    where = site_of(md)

    def look_up(code: str, **_: Any) -> str:
        if code.strip():
            error = LivecellError(
                "a fence with cell= must have no code of its own",
                found=code.strip().split("\n")[0],
                todo="move the code into the snippet",
            )
            return render.problem(where.failed(error, reference), where.language)
        return render_cell(reference, given, where)

    try:
        return markdown_exec.base_format(
            language="python", run=look_up, code=code, md=md, html=True
        )
    except Stop:
        raise
    except Exception as error:  # superfences would swallow it and show the fence as text
        raise Stop(f'livecell itself failed at cell="{reference}": {error!r}') from error


_DEFAULTS: dict[str, Any] = {}
"""What markdown-exec passes on for a fence without options; none of them means anything here."""
markdown_exec.validator("python", {"exec": "on"}, _DEFAULTS, {}, Markdown())

_formatters: dict[str, Any] = markdown_exec.formatters
_original: Callable[..., Markup] = _formatters["python"]
_formatters.update(dict.fromkeys(LANGUAGES, _format))


class _Value(InlineProcessor):
    def handleMatch(  # type: ignore[override]  # noqa: N802
        self, match: Any, data: str
    ) -> tuple[ET.Element | None, int | None, int | None]:
        found = pages.live(match["code"])
        if found is None:
            return None, None, None
        reference, label = found
        where = site_of(self.md)
        element = ET.Element("code")
        try:
            text = render.value(where.cell(reference), label)
        except LivecellError as error:
            element = ET.Element("strong", {"class": "lc-problem"})
            text = str(where.failed(error, match["code"]))
        element.text = AtomicString(render.escape(text))
        return element, match.start(0), match.end(0)


class LivecellExtension(Extension):
    """The Markdown extension `livecell`; its one option is the page's `language`."""

    def __init__(self, **kwargs: Any) -> None:
        self.config = {"language": ["", "language of the pages, where the generator sets no site"]}
        super().__init__(**kwargs)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register the inline look-up; the fence is registered with markdown-exec at import."""
        md.livecell_language = self.getConfig("language")  # type: ignore[attr-defined]
        # Before ordinary code spans (190); it sees them all, so that it finds none inside another.
        md.inlinePatterns.register(_Value(pages.CODE_SPAN.pattern, md), "livecell", 200)
        md.registerExtensions(["livecell.predict"], {})
