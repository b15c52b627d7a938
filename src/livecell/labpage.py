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

from livecell import fence, mathml, render
from livecell.results import CellResult
from livecell.store import digest
from livecell.words import word

TEMPLATES = Path(__file__).with_name("templates")
END = "<!-- end of the notebook -->"
"""Ends what our template writes; mkdocs-jupyter puts a style sheet of Pygments below it."""
PLAIN = re.compile(r'<span class="[npow]">([^<]*)</span>')
"""A name, sign or space in code: left in the colour of text, a page is a third lighter."""
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)
DECIMALS = re.compile(r"(?<=\d\.\d)\d+(?=[ \n\"])")
ID = re.compile(r"\s*\{[^}]*#(?P<id>[\w-]+)[^}]*\}\s*$")
VERBATIM = re.compile(
    r"(<pre\b.*?</pre>|<script\b.*?</script>|<style\b.*?</style>|<textarea\b.*?</textarea>)",
    re.DOTALL,
)
BLOCK = re.compile(r"\n(?=</?(?:article|div|footer|header|li|link|main|meta|nav|ul)\b)")
"""White space before an element that begins a line anyway."""
LETTER = re.compile(
    r'<path d="(?P<shape>[^"]*)" id="(?P<id>[^"]*)" transform="scale\(0\.015625\)"></path>'
)
"""A letter as Matplotlib defines it in each figure anew."""
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
    body = PLAIN.sub(r"\1", render.source(shown, site.language, ()))
    outputs = render.outputs(shown, site.language, code["metadata"].get("alt", ""))
    body += SVG.sub(lambda svg: _light(svg[0]), outputs)
    is_gap = "your-turn" in tags
    return (
        f'<div class="livecell{" lc-gap" if is_gap else ""}" '
        f'data-cell="{html.escape(f"{stem}:{name}")}">{body}</div>'
    )


def _light(svg: str) -> str:
    """The figure without comments and unused ids, and with lines exact to a tenth of a point."""
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda value: DECIMALS.sub("", value[0]), svg)
    used = sorted(set(re.findall(r'(?:href="|url\()#([^")]+)', svg)))
    start = digest(*used)[:4]  # other figures of the page have other names for what they use
    short = {name: f"{start}{number}" for number, name in enumerate(used)}

    def identify(match: re.Match[str]) -> str:
        return f' id="{short[match[1]]}"' if match[1] in short else ""

    svg = re.sub(r' id="([^"]*)"', identify, svg)
    return re.sub(r'(href="|url\()#([^")]+)', lambda ref: f"{ref[1]}#{short[ref[2]]}", svg)


def light(page: str) -> str:
    """A whole page without the indents of the theme's templates, which show nowhere."""
    parts = VERBATIM.split(_letters_once(page))
    parts[::2] = [BLOCK.sub("", re.sub(r"\s*\n\s*", "\n", part)) for part in parts[::2]]
    return "".join(parts)


def _letters_once(page: str) -> str:
    """A page on which each letter of its figures is drawn once; later ones refer to the first."""
    first: dict[str, str] = {}
    same: dict[str, str] = {}

    def keep(found: re.Match[str]) -> str:
        known = same[found["id"]] = first.setdefault(found["shape"], found["id"])
        return found[0] if known == found["id"] else ""

    page = LETTER.sub(keep, page)
    page = re.sub(r'(?<=href="#)[^"]+(?=")', lambda ref: same.get(ref[0], ref[0]), page)
    return re.sub(r"></(?:use|path)>", "/>", page.replace(' xlink:href="#', ' href="#'))


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
