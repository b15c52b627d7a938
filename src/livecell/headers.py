"""The HTTP headers that a built site is to be sent with: what a page may load, and what is kept.

The policy is read off the pages: each script that stands in a page is allowed by its hash, so a
page into which somebody smuggles another one does not run it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from livecell.errors import LivecellError

_HASHED = re.compile(r".+\.[0-9a-f]{8}\.min\.(?:js|css)")
_SCRIPTS = {"", "text/javascript", "application/javascript", "module"}
_YEAR = "public, max-age=31536000, immutable"
_ASK = "no-cache"  # kept, but never used without asking; without a word browsers guess for how long


@dataclass(frozen=True)
class Headers:
    """What to send.

    Attributes:
        every: the headers of every answer.
        kept: addresses of files whose name changes with their content.
    """

    every: dict[str, str]
    kept: tuple[str, ...]

    def of(self, address: str) -> dict[str, str]:
        """The headers of the answer to a request for this address."""
        return self.every | {"Cache-Control": _YEAR if address in self.kept else _ASK}


def read(site: Path) -> Headers:
    """The headers for the built site in this folder.

    Raises:
        LivecellError: a page has a script in an attribute, which no hash can allow.
    """
    hashes: set[str] = set()
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        if page.handlers:
            raise LivecellError(
                "the page has a script in an attribute, which a strict policy cannot allow",
                path,
                found=page.handlers[0],
                todo="add the listener in a script file",
            )
        hashes |= {_hash(script) for script in page.scripts}
    kept = [
        f"/{path.relative_to(site).as_posix()}"
        for path in sorted(site.rglob("assets/**/*"))
        if _HASHED.fullmatch(path.name)
    ]
    return Headers(
        {
            "Content-Security-Policy": _policy(sorted(hashes)),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
            "Cross-Origin-Opener-Policy": "same-origin",
        },
        tuple(kept),
    )


def _policy(hashes: list[str]) -> str:
    scripts = " ".join(["'self'", *(f"'sha256-{one}'" for one in hashes)])
    parts = {
        "default-src": "'none'",
        "script-src": scripts,
        # Figures, formulas and pictures of graphs bring style attributes, and Material sets some.
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


class _Page(HTMLParser):
    """The scripts that stand in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.handlers += [f"<{tag} {name}>" for name in given if name.startswith("on")]
        self._inside = (
            tag == "script" and "src" not in given and (given.get("type") or "") in _SCRIPTS
        )
        if self._inside:
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def netlify(headers: Headers) -> str:
    """As the file `_headers`, which Netlify and Cloudflare Pages read.

    Both tell browsers to ask again unless it says otherwise; said here, it would be joined with the
    year of a kept file.
    """
    lines = ["/*", *(f"  {name}: {value}" for name, value in headers.every.items())]
    for address in headers.kept:
        lines += [address, f"  Cache-Control: {_YEAR}"]
    return "\n".join(lines) + "\n"


def nginx(headers: Headers) -> str:
    """As lines to include in the `server` block of an nginx configuration."""
    lines = [f'add_header {name} "{value}" always;' for name, value in headers.every.items()]
    lines.append(f'add_header Cache-Control "{_ASK}" always;')
    lines.append(r"location ~ \.[0-9a-f]+\.min\.(js|css)$ {")
    # A location with headers of its own inherits none.
    lines += [f'    add_header {name} "{value}" always;' for name, value in headers.every.items()]
    lines += [f'    add_header Cache-Control "{_YEAR}";', "}"]
    return "\n".join(lines) + "\n"


FORMS = {"netlify": netlify, "nginx": nginx}
"""The forms in which headers can be written, by name."""
