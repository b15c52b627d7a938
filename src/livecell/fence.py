"""Cells on a page: markdown-exec's fence with the option `cell=`, and the same look-up inline.

    ```python exec="on" cell="scalar_backward:leaves"
    ```

    After the backward pass `w.grad` is `#!live scalar_backward:backward w.grad`.

A fence never executes anything: it asks a runner for a result. This module is the only one that
knows markdown-exec, and the only one a site generator other than MkDocs needs: as the Markdown
extension `livecell` it makes a runner of its own when the page's generator gave it none.
"""

from __future__ import annotations

import html
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import markdown_exec
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.util import AtomicString
from markupsafe import Markup
from pymdownx.superfences import SuperFencesException

from livecell import pages, render
from livecell.errors import LivecellError, nearest
from livecell.results import CellResult, Result
from livecell.run import Runner
from livecell.settings import Settings

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
    """

    result: Callable[[str], Result]
    language: str
    languages: tuple[str, ...]
    stems: Callable[[], list[str]]
    page: Path | None = None
    errors: list[LivecellError] | None = None
    cited: set[str] = field(default_factory=set)

    def cell(self, reference: str) -> CellResult:
        """The cell that a page calls `stem:cell`.

        Raises:
            LivecellError: there is no such snippet or cell, or its run failed.
        """
        stem, name = pages.split_reference(reference)
        self.cited.add(stem)
        if stem not in self.stems():
            raise LivecellError(
                f"there is no snippet {stem!r}" if stem else "the fence names no snippet",
                found=f'cell="{reference}"',
                expected='cell="snippet:cell"',
                todo=nearest(stem, self.stems()),
            )
        result = self.result(stem)
        cell = result.cell(name)
        if cell is None:
            raise LivecellError(
                f"the snippet {stem!r} has no cell {name!r}",
                found=f'cell="{reference}"',
                todo=nearest(name, [cell.name for cell in result.cells]),
            )
        return cell

    def failed(self, error: LivecellError, reference: str) -> str:
        """What stands on the page instead of the cell; raises unless errors are collected."""
        if error.file is None and self.page is not None:
            error.file = self.page
            blocks = pages.read(self.page)
            error.line = next((block.line for block in blocks if block.key == reference), None)
        if self.errors is None:
            raise SuperFencesException(str(error)) from error
        if error not in self.errors:
            self.errors.append(error)
        return render.problem(error, self.language)


site: Site | None = None
"""The site being rendered; set by whoever renders pages, otherwise made on first use."""


def prepare(extensions: list[Any], configs: dict[str, Any]) -> None:
    """Tell markdown-exec the page's Markdown extensions; it forgets them after every build."""
    markdown_exec.markdown_config.save(extensions, configs)


def _site(language: str) -> Site:
    global site
    if site is None:
        settings = Settings.load()
        runner = Runner(settings)
        language = language or next(iter(settings.languages), "en")
        site = Site(runner.result, language, settings.languages, settings.stems)
    return site


def render_cell(reference: str, options: dict[str, str], language: str = "") -> str:
    """The HTML of a fence.

    Args:
        reference: `stem:cell`.
        options: the fence's further options: `show` and `alt`.
        language: the page's language where no site is set.
    """
    where = _site(language)
    try:
        cell = where.cell(reference)
        show = options.get("show", "both")
        for name in options:
            if name not in ("show", "alt"):
                raise LivecellError(
                    f"the fence option {name!r} is unknown",
                    found=f'cell="{reference}"',
                    todo=nearest(name, ["show", "alt"]),
                )
        if show not in SHOW:
            raise LivecellError(f"show={show!r} is unknown", expected=" or ".join(SHOW))
        parts = []
        if show != "output":
            parts.append(render.source(cell, where.language, where.languages))
        if show != "code":
            parts.append(render.outputs(cell, where.language, options.get("alt", "")))
    except LivecellError as error:
        return where.failed(error, reference)
    return f'<div class="livecell" data-cell="{html.escape(reference)}">{"".join(parts)}</div>'


def _format(code: str, extra: dict[str, str], md: Markdown, **options: Any) -> Markup:
    reference = extra.get("cell")
    if reference is None:
        return _original(code=code, extra=extra, md=md, **options)
    rest = {name: value for name, value in extra.items() if name != "cell"}
    language = getattr(md, "livecell_language", "")

    def look_up(code: str, **_: Any) -> str:
        if code.strip():
            error = LivecellError(
                "a fence with cell= must have no code of its own", found=code.strip().split("\n")[0]
            )
            return _site(language).failed(error, reference)
        return render_cell(reference, rest, language)

    try:
        return markdown_exec.base_format(
            language="python", run=look_up, code=code, md=md, html=True
        )
    except SuperFencesException:
        raise
    except Exception as error:  # superfences would swallow it and show the fence as text
        trouble = LivecellError(f"livecell itself failed: {error!r}", found=f'cell="{reference}"')
        return Markup(_site(language).failed(trouble, reference))


_original = markdown_exec.formatters["python"]
markdown_exec.formatters["python"] = _format  # type: ignore[assignment]


class _Value(InlineProcessor):
    def handleMatch(  # type: ignore[override]  # noqa: N802
        self, match: Any, data: str
    ) -> tuple[ET.Element, int, int]:
        where = _site(getattr(self.md, "livecell_language", ""))
        reference, label = match["ref"], (match["label"] or "").strip()
        element = ET.Element("code")
        try:
            text = render.value(where.cell(reference), label)
        except LivecellError as error:
            where.failed(error, reference)
            element = ET.Element("strong")
            text = str(error)
        element.text = AtomicString(html.escape(render.visible(text), quote=False))
        return element, match.start(0), match.end(0)


class LivecellExtension(Extension):
    """The Markdown extension `livecell`; its one option is the page's `language`."""

    def __init__(self, **kwargs: Any) -> None:
        self.config = {"language": ["", "language of the pages, where the generator sets no site"]}
        super().__init__(**kwargs)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register the inline look-up; the fence is registered with markdown-exec at import."""
        md.livecell_language = self.getConfig("language")  # type: ignore[attr-defined]
        md.inlinePatterns.register(_Value(pages.INLINE.pattern, md), "livecell", 200)
