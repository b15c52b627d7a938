"""A lab's notebook as HTML: what nbconvert, inside mkdocs-jupyter, calls for each cell.

Cells look as they do on every page of the site, formulas are MathML, and a page carries no style or
script of its own. mkdocs-jupyter's own template would put 600 KB of JupyterLab's style on it, and
MathJax from another host.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from nbconvert.exporters.templateexporter import default_filters
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from livecell import fence, lighter, mathml, render
from livecell.results import CellResult
from livecell.words import word

TEMPLATES = Path(__file__).with_name("templates")
END = "<!-- end of the notebook -->"
"""Ends what our template writes; mkdocs-jupyter puts a style sheet of Pygments below it."""
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)
ID = re.compile(r"\s*\{[^}]*#(?P<id>[\w-]+)[^}]*\}\s*$")
HEADING = re.compile(
    r'<h(?P<level>[1-6]) id="(?P<id>[^"]+)">(?P<text>.*?)'
    r'(?:<a class="headerlink".*?</a>)?</h(?P=level)>',
    re.DOTALL,
)


def install() -> None:
    """Have mkdocs-jupyter use our templates.

    It has no option for it; `templates_dir` is where it looks them up, and nbconvert offers every
    template the filters in `default_filters`.
    """
    from mkdocs_jupyter.config import settings

    settings.templates_dir = str(TEMPLATES)
    default_filters["livecell_prose"] = prose
    default_filters["livecell_cell"] = cell


def prose(source: str) -> str:
    """The HTML of a Markdown cell, by the Markdown of Jupyter."""
    text = str(MarkdownWithMath(renderer=_Renderer(escape=False)).render(source))
    return mathml.replace_formulas(text)


def cell(code: Any, stem: str) -> str:
    """The HTML of a code cell.

    Args:
        code: the cell of the notebook.
        stem: the name of the snippet.
    """
    site = fence.site_of()
    tags = code["metadata"].get("tags", [])
    name = code["metadata"].get("name", "")
    shown = CellResult(
        name, code["source"], 1, volatile="volatile" in tags, outputs=list(code["outputs"])
    )
    body = lighter.code(render.source(shown, site.language, ()))
    outputs = render.outputs(shown, site.language, code["metadata"].get("alt", ""))
    body += SVG.sub(lambda svg: lighter.figure(svg[0]), outputs)
    is_gap = "your-turn" in tags
    return (
        f'<div class="livecell{" lc-gap" if is_gap else ""}" '
        f'data-cell="{html.escape(f"{stem}:{name}")}">{body}</div>'
    )


def headings(content: str) -> list[dict[str, Any]]:
    """Level, id and text of the headings in HTML that `prose` made."""
    return [
        {
            "level": int(match["level"]),
            "id": match["id"],
            "name": re.sub("<[^>]+>", "", match["text"]),
        }
        for match in HEADING.finditer(content)
    ]


class _Renderer(IPythonRenderer):
    """Jupyter's Markdown with the ids, formulas and code blocks of the site's pages."""

    def heading(self, text: str, level: int, **_: Any) -> str:
        match = ID.search(text)
        if match is None:
            return f"<h{level}>{text}</h{level}>\n"
        title = word("permalink", fence.site_of().language)
        link = f'<a class="headerlink" href="#{match["id"]}" title="{title}">¶</a>'
        text = text[: match.start()]
        return f'<h{level} id="{match["id"]}">{text}{"" if level == 1 else link}</h{level}>\n'

    def block_html(self, html: str) -> str:
        return html.replace("<details>", '<details class="note">')

    def inline_math(self, body: str) -> str:
        return f'<span class="arithmatex">\\({html.escape(body, quote=False)}\\)</span>'

    def block_math(self, body: str) -> str:
        return f'<div class="arithmatex">\\[{html.escape(body, quote=False)}\\]</div>'

    def block_code(self, code: str, info: str | None = None) -> str:
        if (info or "").split()[:1] in (["python"], ["py"]):
            return render.highlighted(code.rstrip("\n"))
        escaped = html.escape(code.rstrip("\n"), quote=False)
        return f'<div class="highlight"><pre><code>{escaped}</code></pre></div>\n'
