"""The links of a built site: those that lead nowhere, and those that lead elsewhere.

Read from the HTML that readers get, not from Markdown: templates, lists made by the engine and
languages beside each other make links, too.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

HERE = "http://site.invalid/"
"""Stands for the site while addresses are joined."""

_STYLE_URL = re.compile(r"""url\(\s*(?!['"]?(?:data:|#))(['"]?)(.+?)\1\s*\)""")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SECONDS = 20


@dataclass
class Links:
    """What the pages of a site link to."""

    broken: list[str] = field(default_factory=list)
    """Each as `page: link: what is missing`."""
    external: dict[str, list[str]] = field(default_factory=dict)
    """Addresses on other hosts, and the pages that lead there."""
    checked: int = 0
    """How many links lead to a place of the site."""


def read(site: Path, address: str = "") -> Links:
    """Follow every link of the pages and style sheets in the folder `site`.

    Args:
        site: the built site, all languages.
        address: where it will be published; links that begin so are its own.
    """
    pages = {
        path.relative_to(site).as_posix(): _Page.read(path) for path in sorted(site.rglob("*.html"))
    }
    links = Links()
    for name, page in pages.items():
        for url in dict.fromkeys(page.urls):
            _follow(site, pages, links, name, url, address)
    for path in sorted(site.rglob("*.css")):
        text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
        for _, url in _STYLE_URL.findall(text):
            _follow(site, pages, links, path.relative_to(site).as_posix(), url, address)
    links.external = dict(sorted(links.external.items()))
    return links


def _follow(
    site: Path, pages: dict[str, _Page], links: Links, name: str, url: str, address: str
) -> None:
    top, own = address.rstrip("/"), url
    if top and url.startswith(top + "/"):
        own = HERE + url[len(top) + 1 :]
    elif top and url.startswith("/"):  # the 404 page's, below the host's own root
        own = url.removeprefix(urlsplit(top).path)
    whole = urljoin(HERE + name, own)
    parts = urlsplit(whole)
    if parts.scheme not in ("http", "https"):
        return
    if not whole.startswith(HERE):
        links.external.setdefault(whole, [])
        if name not in links.external[whole]:
            links.external[whole].append(name)
        return
    links.checked += 1
    target = unquote(parts.path).lstrip("/")
    target += "index.html" if not target or target.endswith("/") else ""
    if not (site / target).is_file():
        links.broken.append(f"{name}: {url}: there is no {target}")
    elif parts.fragment and target in pages:
        anchor = unquote(parts.fragment)
        if anchor not in pages[target].anchors:
            links.broken.append(f"{name}: {url}: {target} has no id {anchor!r}")


class _Page(HTMLParser):
    """The addresses that a page uses, and the places on it that a link may lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.anchors: set[str] = set()

    @classmethod
    def read(cls, path: Path) -> _Page:
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "name" in given:
            self.anchors.add(given["name"])
        self.urls += [given[name].strip() for name in ("href", "src", "poster") if name in given]
        if tag == "object" and "data" in given:
            self.urls.append(given["data"])
        for candidate in given.get("srcset", "").split(","):
            self.urls += candidate.split()[:1]


def report(links: Links, answers: dict[str, str] | None = None) -> str:
    """All external links, by address; with what their hosts answered, if they were asked."""
    lines = []
    for url, names in links.external.items():
        said = f"{answers[url]}  " if answers else ""
        lines.append(f"{said}{url}")
        lines += [f"    {name}" for name in names]
    return "\n".join([*lines, f"{len(links.external)} external links"])


def ask(links: Links, jobs: int = 8) -> dict[str, str]:
    """What the hosts answer: "ok", or what went wrong. Fragments of one page are one question."""
    pages = sorted({url.partition("#")[0] for url in links.external})
    with ThreadPoolExecutor(jobs) as pool:
        answered = dict(zip(pages, pool.map(_answer, pages), strict=True))
    return {url: answered[url.partition("#")[0]] for url in links.external}


def _answer(url: str) -> str:
    said = ""
    for method in ("HEAD", "GET"):  # some hosts refuse the first
        agent = {"User-Agent": "Mozilla/5.0 (livecell links)"}
        request = urllib.request.Request(url, headers=agent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):
                return "ok"
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                said = str(error.code)
            else:
                said = str(getattr(error, "reason", "") or error)
    return said
