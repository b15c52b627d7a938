"""A small bilingual site to build, break and mend; its snippets need no torch."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

CONFIG = """\
site_name: Book
docs_dir: docs/zh
theme: {name: material, language: zh, font: false}
nav: [index.md, 部分: [one.md, two.md]]
plugins:
  search: {}
  markdown-exec: {}
  livecell: {twins: {en: mkdocs.en.yml}}
markdown_extensions: {admonition: {}, attr_list: {}, pymdownx.superfences: {}}
"""
ENGLISH = """\
INHERIT: mkdocs.yml
docs_dir: docs/en
theme: {language: en}
plugins: {livecell: {titles: {部分: Part}}}
"""
SNIPPET = """\
# %% greet
# zh: 问候
# en: a greeting
name = "{name}"
print("greeting =", "hello " + name)

# %% fails raises="ZeroDivisionError"
1 / 0
"""
PAGE = """\
# {title}

## Cells {{#cells}}

```python exec="on" cell="{stem}:greet"
```

The value: `#!live {stem}:greet greeting`.

```python exec="on" cell="{stem}:fails"
```
"""


class Book:
    """The site's folder, and what an author does with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pyproject.toml", '[tool.livecell]\nlanguages = ["zh", "en"]\n')
        self.write("mkdocs.yml", CONFIG)
        self.write("mkdocs.en.yml", ENGLISH)
        for stem in ("one", "two"):
            self.write(f"snippets/{stem}.py", SNIPPET.format(name=stem))
            for language in ("zh", "en"):
                title = f"{stem.title()} {language}"
                self.write(f"docs/{language}/{stem}.md", PAGE.format(title=title, stem=stem))
        for language in ("zh", "en"):
            self.write(f"docs/{language}/index.md", f"# Home {language}\n\n[one](one.md)\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mkdocs", *arguments],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "COLUMNS": "200"},
            start_new_session=True,
        )

    def build(self, *arguments: str) -> tuple[int, str]:
        """Exit code and log of `mkdocs build`."""
        process = self.start("build", *arguments)
        log, _ = process.communicate(timeout=120)
        return process.returncode, log

    def page(self, name: str) -> str:
        return (self.root / "site" / name / "index.html").read_text(encoding="utf-8")

    def files(self) -> dict[str, bytes]:
        """Every file of the built site."""
        site = self.root / "site"
        return {
            path.relative_to(site).as_posix(): path.read_bytes()
            for path in sorted(site.rglob("*"))
            if path.is_file()
        }

    def processes(self) -> list[str]:
        """Processes that still work for this book."""
        listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        return [line for line in listing.stdout.splitlines() if str(self.root) in line]


class Server:
    """`mkdocs serve` for a book."""

    def __init__(self, book: Book) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = book.root / "serve.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mkdocs", "serve", "-a", f"127.0.0.1:{self.port}"],
            cwd=book.root,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "COLUMNS": "200"},
            start_new_session=True,
        )
        self.wait_for("/", "<html")

    def get(self, url: str) -> str:
        address = f"http://127.0.0.1:{self.port}{url}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                text: str = answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return ""
        return text

    def wait_for(self, url: str, text: str, *, gone: bool = False) -> None:
        """Wait until the page holds the text (or, if `gone`, is there and does not)."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            page = self.get(url)
            if page and (text in page) != gone:
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"{text!r} on {url}: {self.log.read_text()}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=20)


def visible_text(page: str) -> str:
    """The page's text, roughly: without scripts and tags."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
