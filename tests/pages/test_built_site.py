"""A foreign author's site, built by MkDocs and read by a browser: nothing of ours but livecell."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.pages.corpus import NASTY, shown
from tests.pages.rendering import parse
from tests.support.chromium import executable, launch

CONFIG = """\
site_name: Foreign
plugins: [markdown-exec, livecell]
markdown_extensions: [pymdownx.superfences]
"""
WITH_FORMULAS = """\
site_name: Foreign
plugins: [markdown-exec, livecell]
markdown_extensions: [pymdownx.superfences, mathml, pymdownx.arithmatex: {generic: true}]
"""
UNDECODABLE = r"""
import sys
print("lone surrogate \udc80")
sys.stdout.buffer.write(b"not UTF-8 \xff")
""".strip()
RAISES = r"""raise ValueError("<b>&amp;</b> `x` \x1b[31m \ud800 \n  </samp>")"""

SOURCES = [f"print({text!a}, end='')" for text in NASTY] + [UNDECODABLE, RAISES]
OUTPUTS = [shown(text) for text in NASTY] + ["lone surrogate \\udc80\nnot UTF-8 \\xff"]
ERROR = "ValueError: <b>&amp;</b> `x` ␛[31m \\ud800 \n  </samp>"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def build(root: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", *options],
        cwd=root,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a page that shows the whole corpus, printed by a real snippet."""
    root = tmp_path_factory.mktemp("foreign")
    snippet = page = ""
    for number, source in enumerate(SOURCES):
        raises = ' raises="ValueError"' if source is RAISES else ""
        snippet += f"# %% c{number}{raises}\n{source}\n\n"
        page += f'```python exec="on" cell="nasty:c{number}"\n```\n\n'
    page = f"# Title\n\n{page}A value: `#!live nasty:c0`.\n"
    write(root, {"mkdocs.yml": CONFIG, "snippets/nasty.py": snippet, "docs/index.md": page})
    code, log = build(root, "--strict")
    assert code == 0, log
    return root / "site" / "index.html"


def check(codes: list[str], samps: list[str]) -> None:
    """Hold the text of all code, and of all outputs, to what was written and printed."""
    assert [code.removesuffix("\n") for code in codes] == [*SOURCES, shown(NASTY[0])]
    assert samps[:-1] == OUTPUTS
    assert samps[-1].endswith(ERROR)


def test_the_built_page_holds_what_was_printed(built: Path) -> None:
    content = parse(built.read_text(encoding="utf-8")).one(css="col-md-9")
    check([e.text for e in content.all("code")], [e.text for e in content.all("samp")])


def test_a_browser_shows_what_was_printed(built: Path) -> None:
    path = executable()

    def texts() -> tuple[list[str], list[str]]:
        with sync_playwright() as playwright:
            browser = launch(playwright, path)
            tab = browser.new_page()
            tab.route("http*://**", lambda route: route.abort())
            tab.goto(built.as_uri())
            read = "elements => elements.map(element => element.textContent)"
            code, samp = (
                tab.locator(f".col-md-9 {tag}").evaluate_all(read) for tag in ("code", "samp")
            )
            browser.close()
            return code, samp

    with ThreadPoolExecutor(1) as thread:  # another test may hold a browser open in this one
        check(*thread.submit(texts).result())


PAGE = """\
# Title

```python exec="on" cell="s:one"
```

```python exec="on" cell="s:tow"
```

`#!live s:one y`

$\\nosuch$

```python cell="s:one"
```
"""


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_mistakes_on_a_page_stop_every_build(options: list[str], tmp_path: Path) -> None:
    snippet = "# %% one\nprint('x =', 2)\n"
    files = {"mkdocs.yml": WITH_FORMULAS, "docs/index.md": PAGE, "snippets/s.py": snippet}
    write(tmp_path, files)
    code, log = build(tmp_path, *options)
    assert code == 1
    for message in (
        "docs/index.md:6: the snippet 's' has no cell 'tow'",
        "docs/index.md:9: the cell prints nothing labelled 'y'",
        "docs/index.md:11: a formula cannot be converted",
        "docs/index.md:13: the page would show this line as it stands here, and no cell",
    ):
        assert log.count(message) == 1, message
    assert not (tmp_path / "site").exists()
    assert "Traceback" not in log


def test_a_bad_formula_stops_a_site_without_the_plugin(tmp_path: Path) -> None:
    config = WITH_FORMULAS.replace("markdown-exec, livecell", "")
    write(tmp_path, {"mkdocs.yml": config, "docs/index.md": "# Title\n\n$\\nosuch$\n"})
    code, log = build(tmp_path)
    assert code == 1
    assert "'index.md': a formula cannot be converted\n  found:    \\nosuch" in log
