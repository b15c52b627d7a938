"""The prose of a page as a script beside it, for the twin page to show next to its own.

Two processes build two languages, and neither has the other's pages: each writes what its own say,
and the reader's browser brings the two together (assets/beside.js), when asked to. A script, not
data: it must also load from a disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

SHOWN_ONCE = re.compile(r'<div class="(?:livecell|[^"]*\bhighlight|math)"[^>]*>')
"""Where code, outputs and displayed formulas begin: both languages have the same ones."""
DIV = re.compile(r"<(/?)div\b")


def write(page: Page, config: MkDocsConfig) -> None:
    """Write the script of a rendered page."""
    path = Path(config.site_dir, script_name(page.file.dest_uri))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script(page.content or ""), encoding="utf-8")


def script_name(page: str) -> str:
    """The script of the page that is published as `page`: `a/index.html`, `a/index.twin.js`."""
    return str(PurePosixPath(page).with_suffix(".twin.js"))


def script(content: str) -> str:
    """A script that hands the prose in the HTML `content` to assets/beside.js."""
    return f"livecellTwin({json.dumps(prose(content), ensure_ascii=False)})\n"


def prose(content: str) -> str:
    """`content` without what both languages share; of that, the empty elements are left."""
    return "".join(_kept(content))


def _kept(content: str) -> Iterator[str]:
    at = 0
    while found := SHOWN_ONCE.search(content, at):
        yield content[at : found.end()]
        at = _closing(content, found.end())
    yield content[at:]


def _closing(content: str, start: int) -> int:
    """Where the `div` ends whose content begins at `start`: at its closing tag."""
    depth = 1
    for tag in DIV.finditer(content, start):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.start()
    return len(content)
