"""Labs in `mkdocs build` and `mkdocs serve`: pages, notebooks, and what a broken lab gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from tests.support.book import Book, Server

from livecell import Settings, labfile

JUPYTER = '  mkdocs-jupyter: {include: ["*.ipynb"], ignore: ["*.md"], execute: false, cache: false}'
LAB = """\
# %% [markdown] lang="zh"
# # 实验
#
# 见[一](../one.md)。$x^2$ 是 `#!live labs/try:square x`。
# %% [markdown] lang="en"
# # A lab
#
# See [one](../one.md). $x^2$ is `#!live labs/try:square x`.

# %% square
# zh: 平方
# en: the square
x = 3**2
print("x =", x)

# %% [markdown] lang="zh"
# ## 由你来写
# %% [markdown] lang="en"
# ## Your turn


# %% double
def double(x):
    # solution:
    return 2 * x
    # end


# %% check_double
assert double(2) == 4, "double(2) is not 4"
print("double: right")
"""


def with_lab(book: Book) -> Book:
    book.write("snippets/labs/try.py", LAB)
    book.edit("mkdocs.yml", "one.md, two.md]]", "one.md, two.md, labs/try.ipynb]]")
    book.edit(
        "mkdocs.yml",
        "  livecell: {twins: {en: mkdocs.en.yml}}",
        f"{JUPYTER}\n  livecell: {{twins: {{en: mkdocs.en.yml}}, notebooks: true}}",
    )
    book.edit(
        "mkdocs.yml", "{admonition: {},", "{pymdownx.arithmatex: {generic: true}, mathml: {},"
    )
    return book


@pytest.fixture
def lab_book(tmp_path: Path) -> Book:
    return with_lab(Book(tmp_path))


@pytest.fixture
def lab_server(lab_book: Book) -> Iterator[Server]:
    server = Server(lab_book)
    yield server
    server.stop()


def notebook(book: Book, name: str) -> Any:
    return nbformat.read(book.root / "site" / f"{name}.ipynb", as_version=4)


def test_a_lab_is_a_page_and_two_notebooks(lab_book: Book) -> None:
    code, log = lab_book.build("--strict")
    assert code == 0, log
    for prefix, title, comment, other, turn in (
        ("", "实验", "平方", "the square", "由你来写"),
        ("en/", "A lab", "the square", "平方", "your turn"),
    ):
        page = lab_book.page(f"{prefix}labs/try")
        article = page[page.index("<article") : page.index("</article")]
        assert f"<h1>{title}</h1>" in article
        assert "<samp>x = 9\n</samp>" in article
        assert "<code>9</code>" in article
        assert comment in article
        assert other not in article
        assert f"# {turn}" in article
        assert "double: right" in article
        assert "return <" not in article
        assert '<h2 id="your-turn">' in article
        assert '<a href="#your-turn" class="md-nav__link">' in page
        assert 'href="../../one/"' in article
        assert "<math" in article
        assert "<style" not in article
        assert "<script" not in article
        assert "https://cdn" not in page
        reader, solution = (
            notebook(lab_book, f"{prefix}labs/try/try{end}") for end in ("", "_solution")
        )
        assert f"...  # {turn}" in reader.cells[3].source
        assert "return 2 * x" in solution.cells[3].source
        for made in reader, solution:
            nbformat.validate(made)
            assert [cell.cell_type for cell in made.cells] == [
                *("markdown", "code", "markdown", "code", "code")
            ]
    index = json.loads((lab_book.root / "site/en/search/search_index.json").read_text())
    assert "labs/try/#your-turn" in [entry["location"] for entry in index["docs"]]


def test_the_example_for_authors_is_a_lab(lab_book: Book) -> None:
    root = Path(__file__).parents[2]
    examples = []
    for language in "zh", "en":
        text = (root / "docs" / language / "how_it_works.md").read_text(encoding="utf-8")
        section = text.partition("{#labs}")[2].partition("\n## ")[0]
        examples.append(re.findall(r'```\w+ title="(.+?)"\n(.*?)```', section, re.DOTALL))
    assert examples[0] == examples[1]
    (name, source), (_, config) = examples[0]
    for line in config.splitlines()[1:2]:
        assert line in (lab_book.root / "mkdocs.yml").read_text(encoding="utf-8")
    lab_book.write(name, source)
    lab_book.edit("mkdocs.yml", "labs/try.ipynb]", "labs/try.ipynb, labs/doubling.ipynb]")
    code, log = lab_book.build("--strict")
    assert code == 0, log
    assert "double: right" in lab_book.page("labs/doubling")
    assert (
        "return 2 * x" in notebook(lab_book, "en/labs/doubling/doubling_solution").cells[1].source
    )


def test_two_builds_of_a_lab_give_the_same_bytes(lab_book: Book) -> None:
    lab_book.build()
    first = lab_book.files()
    lab_book.build()
    second = lab_book.files()
    assert [n for n in first if "sitemap" not in n and first[n] != second[n]] == []
    assert not [*lab_book.root.glob(".cache/mkdocs-jupyter/*")]


def test_a_site_without_mkdocs_jupyter_is_told(lab_book: Book) -> None:
    lab_book.edit("mkdocs.yml", f"{JUPYTER}\n", "")
    code, log = lab_book.build()
    assert code != 0
    assert "write mkdocs-jupyter above livecell" in log


BROKEN = {
    "raises": ("x = 3**2", "x = 3 / 0", r"labs/try\.py:13 \(cell square\): .*ZeroDivisionError"),
    "check": ("return 2 * x", "return 3 * x", r"\(cell check_double\): .*double\(2\) is not 4"),
    "twin": ("# ## Your turn\n", "", r"labs/try\.py:18: the cell of prose is empty"),
    "no twin": ('# %% [markdown] lang="en"\n# ## Your turn\n', "", r"labs/try\.py:16: .* no twin"),
    "gap": ("    # end\n", "", r"labs/try\.py:24 \(cell double\): the gap does not end"),
    "heading": ("# ## Your", "# ### Your", r"labs/try\.py:19: the page differs in structure"),
    "value": ("square x`.", "square y`.", r"labs/try\.py:8: the cell prints nothing labelled 'y'"),
    "cell": ("try:square x`.", "try:sqare x`.", r"labs/try\.py:8: .*did you mean square"),
    "link": ("# See [one](../one.md)", "# See [one](../on.md)", r"labs/try\.py:8: a link leads"),
    "formula": ("$x^2$ is", "$\\\\nosuch$ is", r"labs/try\.py:8: a formula cannot be converted"),
    "figure": (
        "x = 3**2\n",
        "x = 3**2\nimport matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\n",
        r"labs/try\.py:\d+ \(cell square\): the cell draws a figure, and does not say what",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_lab_stops_the_build(case: str, lab_book: Book) -> None:
    old, new, message = BROKEN[case]
    lab_book.edit("snippets/labs/try.py", old, new.replace("\\\\", "\\"))
    code, log = lab_book.build()
    assert code != 0
    assert re.search(message, re.sub(r"\n\s+", " ", log)), log
    assert "Traceback" not in log.replace("Traceback (most recent call last)", "", 1)
    assert not (lab_book.root / "site").exists()


def test_edits_of_a_lab_reach_its_pages(lab_book: Book, lab_server: Server) -> None:
    assert "x = 9" in lab_server.get("/labs/try/")
    lab_book.edit("snippets/labs/try.py", "# See ", "# Look at ")
    lab_server.wait_for("/en/labs/try/", "Look at ")
    lab_book.edit("snippets/labs/try.py", "3**2", "4**2")
    lab_server.wait_for("/labs/try/", "x = 16")
    lab_server.wait_for("/en/labs/try/", "x = 16")
    assert "16" in lab_server.get("/labs/try/try.ipynb")
    lab_book.edit("snippets/labs/try.py", "    # end\n", "")
    lab_server.wait_for("/en/labs/try/", "the gap does not end")
    lab_book.edit("snippets/labs/try.py", "    return 2 * x\n", "    return 2 * x\n    # end\n")
    lab_server.wait_for("/en/labs/try/", "double: right")
    lab_book.edit("snippets/labs/try.py", "# # A lab", "# # Another lab")
    lab_server.wait_for("/en/one/", "Another lab")


# ------------------------------------------------------------------ the labs of this site
LABS = [stem for stem in Settings.load().stems() if labfile.is_lab(stem)]


@pytest.mark.parametrize("stem", LABS)
def test_a_page_of_a_lab_is_light_and_asks_no_other_host(stem: str, site: Path) -> None:
    for prefix in "", "en":
        page = site / prefix / stem / "index.html"
        assert page.stat().st_size <= 150_000
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?:src|href)=\"https?://[^\"]*\.(?:js|css)", text)
        assert "arithmatex" not in text


@pytest.mark.parametrize("stem", LABS)
def test_the_readers_notebook_stops_at_the_first_check_below_a_gap(stem: str, site: Path) -> None:
    made = nbformat.read(site / "en" / stem / f"{Path(stem).name}.ipynb", as_version=4)
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
        nbclient.NotebookClient(made, timeout=120, kernel_name="python3").execute()
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    failed = next(c for c in code if any(o.output_type == "error" for o in c.outputs))
    assert failed.metadata.name.startswith("check_")
