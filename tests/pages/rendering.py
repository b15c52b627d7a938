"""Renders Markdown as the site does, with results made by hand, and reads the HTML back."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import markdown_exec
from markdown import Markdown
from mkdocs.utils.yaml import yaml_load

from livecell import CellResult, Result, fence
from livecell.results import Output

ROOT = Path(__file__).parents[2]
VOID = {"br", "hr", "img", "input", "link", "meta", "wbr"}


@functools.cache
def converter() -> Markdown:
    """Python-Markdown with the site's extensions, its fences registered by markdown-exec's way."""
    with (ROOT / "mkdocs.yml").open(encoding="utf-8") as file:
        extensions: dict[str, dict[str, Any]] = yaml_load(file)["markdown_extensions"]
    configs = {name: dict(config or {}) for name, config in extensions.items()}
    configs["pymdownx.superfences"]["custom_fences"] = [
        {
            "name": language,
            "class": language,
            "validator": markdown_exec.validator,
            "format": markdown_exec.formatter,
        }
        for language in ("python", "py")
    ]
    names = ["toc", "tables", "fenced_code", *extensions, "pymdownx.tabbed", "livecell"]
    configs["pymdownx.tabbed"] = {"alternate_style": True}
    return Markdown(extensions=list(dict.fromkeys(names)), extension_configs=configs)


def render(markdown: str) -> Element:
    """The page with this Markdown."""
    return parse(converter().reset().convert(markdown))


def site(*cells: CellResult, stem: str = "s", **fields: Any) -> fence.Site:
    """Make these cells the ones that pages cite; errors are raised unless told otherwise."""
    results = {stem: Result(stem, list(cells))}
    settings = {"language": "en", "languages": ("zh", "en")} | fields
    fence.site = fence.Site(result=results.__getitem__, stems=lambda: sorted(results), **settings)
    return fence.site


def cell(name: str, *outputs: Output, source: str = "pass", **fields: Any) -> CellResult:
    """A cell as a run leaves it."""
    return CellResult(name, source, line=1, outputs=list(outputs), **fields)


def stream(text: str, name: str = "stdout") -> Output:
    """What a cell prints."""
    return {"output_type": "stream", "name": name, "text": text}


def error(*traceback: str) -> Output:
    """How a cell fails."""
    return {"output_type": "error", "ename": "E", "evalue": "", "traceback": list(traceback)}


def display(**data: str) -> Output:
    """What a cell shows: `html=` or `svg=`."""
    types = {"html": "text/html", "svg": "image/svg+xml"}
    data = {types[name]: text for name, text in data.items()}
    return {"output_type": "display_data", "data": data, "metadata": {}}


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    content: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its text content, as a browser's `textContent` gives it."""
        return "".join(part if isinstance(part, str) else part.text for part in self.content)

    @property
    def classes(self) -> list[str]:
        """Its CSS classes."""
        return self.attributes.get("class", "").split()

    def all(self, tag: str = "", css: str = "") -> list[Element]:
        """Its descendants of this tag and CSS class, in the order of the page."""
        found = []
        for part in self.content:
            if isinstance(part, Element):
                if tag in ("", part.tag) and (not css or css in part.classes):
                    found.append(part)
                found += part.all(tag, css)
        return found

    def one(self, tag: str = "", css: str = "") -> Element:
        """The only such descendant."""
        (found,) = self.all(tag, css)
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].content.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.tag == tag, f"</{tag}> closes <{closed.tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)


def parse(html: str) -> Element:
    """The elements of this HTML, which must be balanced."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, f"never closed: {reader.open[1:]}"
    return reader.open[0]
