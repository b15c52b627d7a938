"""Which names of a library a program uses, and what pages make of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.pages import rendering

from livecell import Settings, api, check, fence, uses

LIST = """\
first:
  - name: lib.run
    also: [lib.old.run]
    url: https://example.org/run
    zh: 跑。
    en: Runs `it`.
  - name: lib.Thing.stop
    as: .stop
    url: https://example.org/stop
    zh: 停。
    en: Stops.
second:
  - name: lib.Base.forward
    url: https://example.org/forward
    zh: 前进。
    en: Goes on.
"""
SNIPPET = """\
# %% one
import lib

thing = lib.run()

# %% two
thing.stop()
"""
PAGE = '# Title\n\n## Part {#part}\n\n```python exec="on" cell="s:one"\n```\n'


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("import lib\nlib.run()", "lib.run"),
        ("import lib.sub\nlib.sub.run()", "lib.sub.run"),
        ("import lib.sub as s\ns.run()", "lib.sub.run"),
        ("from lib.sub import run\nrun()", "lib.sub.run"),
        ("from lib import sub as s\ns.run", "lib.sub.run"),
        ("import lib\ns = lib.sub\ns.run()", "lib.sub.run"),
        ("import lib\n@lib.run()\ndef f(): pass", "lib.run"),
        ("import lib\nclass A(lib.Base):\n    def forward(self): pass", "lib.Base.forward"),
        ("def f(x):\n    x.stop()", "x .stop"),
        ("f().stop()", " .stop"),
        ("x.y.stop()", "y .stop"),
        ("x[0].stop", " .stop"),
    ],
)
def test_a_use_is_found(source: str, use: str) -> None:
    assert use in uses.cells(f"# %% cell\n{source}\n")["cell"]


@pytest.mark.parametrize(
    "source", ["run = 1\nrun", "from . import run\nrun()", "'lib.run'", "# lib.run()\npass"]
)
def test_what_is_no_use_is_not(source: str) -> None:
    assert [use for use in uses.cells(f"# %% cell\n{source}\n")["cell"] if "run" in use] == []


def test_each_cell_has_its_own() -> None:
    found = uses.cells(SNIPPET)
    assert "lib.run" in found["one"]
    assert "thing .stop" in found["two"]
    assert "lib.run" not in found["two"]


def project(root: Path, listed: str = LIST) -> Settings:
    files = {"snippets/s.py": SNIPPET, "docs/api.yml": listed}
    for language in "zh", "en":
        files[f"docs/{language}/page.md"] = PAGE
        files[f"docs/{language}/api.md"] = "# Names\n\n[API]\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Settings.from_table(root, {"languages": ["zh", "en"]})


def show(page: str, root: Path) -> Any:
    """The rendered English page."""
    settings = project(root)
    cells = [rendering.cell("one"), rendering.cell("two")]
    rendering.site(*cells, api=api.load(settings), errors=[])
    assert fence.site is not None
    fence.site.page = settings.docs / "en" / f"{page}.md"
    rendering.converter().registerExtensions(["livecell.apipage"], {})
    return rendering.render(fence.site.page.read_text())


def test_the_list_leads_to_documentation_and_pages(tmp_path: Path) -> None:
    page = show("api", tmp_path)
    assert [term.attributes["id"] for term in page.all("dt")] == [
        "lib.run",
        "lib.Thing.stop",
        "lib.Base.forward",
    ]
    links = [link.attributes["href"] for link in page.all("a")]
    assert "https://example.org/run" in links
    assert "page.md#part" in links
    notes = [note.text for note in page.all("p", "lc-term-note")]
    assert notes[0] == "Used in Title"
    assert notes[1:] == ["Not shown yet", "Not shown yet"]  # no page shows the second cell
    assert fence.site is not None
    assert fence.site.cited == {"s"}


def test_a_page_ends_with_the_names_it_uses(tmp_path: Path) -> None:
    foot = show("page", tmp_path).one("p", "lc-names")
    assert [link.attributes["href"] for link in foot.all("a")] == ["api.md#lib.run"]
    assert "data-search-exclude" in foot.attributes


def test_a_page_without_names_has_no_list(tmp_path: Path) -> None:
    show("page", tmp_path)
    assert fence.site is not None
    (tmp_path / "snippets/s.py").write_text("# %% one\nprint(1)\n")
    assert rendering.render(PAGE).all("p", "lc-names") == []


def test_an_unknown_topic_is_an_error(tmp_path: Path) -> None:
    show("api", tmp_path)
    assert fence.site is not None
    assert "no topic 'frist'" in rendering.render("[API frist]").text
    assert [error.problem for error in fence.site.errors or []] == [
        "the list of names has no topic 'frist'"
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    en: Stops.\n", "", "the name 'lib.Thing.stop' has no 'en'"),
        ("    url: https://example.org/stop\n", "", "the name 'lib.Thing.stop' has no 'url'"),
        ("name: lib.Thing.stop", "name: lib.run", "the name 'lib.run' is given twice"),
        ("name: lib.Thing.stop", "name: lib run", "a name has no proper name"),
        (LIST, "- x\n", "the list of names has no topics"),
        ("second:\n", "second: x\nthird:\n", "the topic 'second' is no list of names"),
        (LIST, "a: [\n", "is not valid YAML"),
    ],
)
def test_a_list_in_error_is_told(old: str, new: str, problem: str, tmp_path: Path) -> None:
    assert old in LIST
    settings = project(tmp_path, LIST.replace(old, new, 1))
    assert problem in [error.problem for error in check.static(settings)]
    assert all(e.file == settings.api for e in check.static(settings) if e.problem == problem)
