"""A lab taken apart, and the notebooks that it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.pages import rendering

from livecell import LivecellError, Result, Settings, cells, check, lab, labfile, labpage
from livecell.prose import Look

LANGUAGES = ("zh", "en")
LAB = """\
# %% [markdown] lang="zh"
# # 题目
#
# 见[一](../one.md)，$x$ 是 `#!live labs/l:one x`。

# %% [markdown] lang="en"
# # Title
#
# See [one](../one.md); $x$ is `#!live labs/l:one x`.

# %% one
# zh: 一
# en: one
x = 1
print("x =", x)

# %% [markdown] lang="zh"
# ## 画图
# %% [markdown] lang="en"
# ## Draw it


# %% two volatile=true
def f():
    # solution:
    y = 2
    return y
    # end


# %% [markdown] lang="zh"
# <!-- alt: 一条线 -->
# 线。
# %% [markdown] lang="en"
# <!-- alt: A line, -->
# A line.

# %% check_f
check(f)
"""


def pages(text: str = LAB, languages: tuple[str, ...] = LANGUAGES) -> dict[str, str]:
    path = Path("l.py")
    parsed = cells.parse(text, path, languages)
    return labfile.pages(text, path, "labs/l", parsed, languages)


def notebook(
    language: str = "en", *, solved: bool = False, keeps_ids: bool = False
) -> dict[str, Any]:
    outputs = {
        "one": [rendering.stream("x = 1\n")],
        "two": [rendering.display(svg="<svg/>", html="<b>")],
    }
    outputs["two"][0]["data"]["text/html;lang=en"] = "<i>"
    del outputs["two"][0]["data"]["text/html"]
    ran = [
        rendering.cell(c.name, *outputs.get(c.name, []), source=c.source, volatile=c.volatile)
        for c in cells.parse(LAB, Path("l.py"), LANGUAGES)
    ]
    look = Look(
        value=lambda reference, label: f"{label} of {reference}",
        entry=lambda name: "",
        address=lambda target: f"https://site/{target}",
        keeps_ids=keeps_ids,
    )
    result = Result("labs/l", ran)
    made = lab.build(pages()[language], result, language, LANGUAGES, look, solved=solved)
    nbformat.validate(made)
    return made


def sources(made: dict[str, Any]) -> list[str]:
    return [cell["source"] for cell in made["cells"]]


def test_every_line_of_a_page_is_where_the_file_has_it() -> None:
    for language, other in ("zh", "en"), ("en", "zh"):
        page = pages()[language].split("\n")
        assert len(page) == len(LAB.split("\n"))
        for number, line in enumerate(LAB.split("\n")):
            if line == "# # 题目":
                assert (page[number] == "# 题目") == (language == "zh")
            if line == "# A line.":
                assert (page[number] == "A line.") == (language == "en")
            if line.startswith("# %% one"):
                assert page[number] == '```python exec="on" cell="labs/l:one"'
                assert page[number + 1] == "```"
        assert f'lang="{other}"' not in "\n".join(page)


def test_twin_headings_get_the_same_id() -> None:
    assert "## 画图 {#draw-it}" in pages()["zh"].split("\n")
    assert "## Draw it {#draw-it}" in pages()["en"].split("\n")
    own = LAB.replace("## 画图", "## 画图 {#draw}").replace("## Draw it", "## Draw it {#draw}")
    assert "## 画图 {#draw}" in pages(own)["zh"].split("\n")


def test_headings_of_the_same_name_get_ids_of_their_own() -> None:
    more = LAB + '\n# %% [markdown] lang="zh"\n# ## 画图\n# %% [markdown] lang="en"\n# ## Draw it\n'
    assert "## 画图 {#draw-it-2}" in pages(more)["zh"]


def test_a_lab_in_one_language_needs_no_twins() -> None:
    text = "# %% [markdown]\n# # Title\n#\n# Text.\n\n# %% one\nx = 1\n"
    assert pages(text, ())["en"].startswith("\n# Title\n\nText.\n\n```python")


@pytest.mark.parametrize(
    ("old", "new", "line", "cell", "problem"),
    [
        ('# %% [markdown] lang="en"\n# ## Draw it\n', "", 17, None, "has no twin"),
        ('lang="en"\n# ## Draw', 'lang="de"\n# ## Draw', 19, None, "does not say its language"),
        (' lang="zh"\n# ## 画图', "\n# ## 画图", 17, None, "does not say its language"),
        ("# ## Draw it\n", "", 19, None, "is empty"),
        ("# ## Draw it\n", '"""Text."""\n', 20, None, "code in a cell of prose"),
        ("# # Title", "# Title", None, None, None),
        ("# # 题目", "# 题目", 1, None, "has no title"),
        ("    # end\n", "", 25, "two", "the gap does not end"),
        ("    # solution:\n", "", 27, "two", "no gap that this line could end"),
        ("    y = 2\n", "    # solution:\n", 25, "two", "the gap does not end"),
        (
            "def f():\n    # solution:\n    y = 2\n    return y\n    # end\n",
            "x = 1\n# solution:\n\n# end\n",
            25,
            "two",
            "holds no solution",
        ),
        ("    # end\n", "  # end\n", 28, "two", "ends at another indent"),
        ("    return y\n", "    return y\n\nf()\n", 29, "two", "indented less than the gap"),
        (
            "    # solution:\n    y = 2\n    return y\n    # end\n",
            "    # solution:\n    try:\n        y = 2\n    # end\n    finally:\n        pass\n",
            24,
            "two",
            "with its gap open, the cell is not Python",
        ),
    ],
)
def test_what_is_wrong_with_a_lab_is_told(
    old: str, new: str, line: int | None, cell: str | None, problem: str | None
) -> None:
    assert old in LAB
    text = LAB.replace(old, new, 1)
    if problem is None:
        pages(text)
        return
    with pytest.raises(LivecellError, match=problem) as caught:
        pages(text)
    assert (caught.value.file, caught.value.line, caught.value.cell) == (Path("l.py"), line, cell)


def test_the_reader_gets_a_gap_and_the_solution_has_none() -> None:
    assert "def f():\n    ...  # your turn" in sources(notebook())
    assert "def f():\n    ...  # 由你来写" in sources(notebook("zh"))
    for language in LANGUAGES:
        solved = notebook(language, solved=True)
        assert "def f():\n    y = 2\n    return y" in sources(solved)
        assert not any("your-turn" in cell["metadata"].get("tags", []) for cell in solved["cells"])
    (gap,) = [c for c in notebook()["cells"] if "your-turn" in c["metadata"].get("tags", [])]
    assert gap["metadata"]["tags"] == ["volatile", "your-turn"]


def test_a_notebook_is_in_one_language() -> None:
    zh, en = notebook("zh"), notebook("en")
    assert sources(en)[0] == (
        "# Title\n\nSee [one](https://site/../one.md); $x$ is `x of labs/l:one`."
    )
    assert sources(en)[1:] == [
        '# one\nx = 1\nprint("x =", x)',
        "## Draw it",
        "def f():\n    ...  # your turn",
        "A line.",
        "check(f)",
    ]
    assert sources(zh)[1] == '# 一\nx = 1\nprint("x =", x)'
    assert len(zh["cells"]) == len(en["cells"])


def test_outputs_and_alt_texts_are_in_the_language_of_the_page() -> None:
    made = notebook("en", keeps_ids=True)
    two = next(cell for cell in made["cells"] if cell["metadata"].get("name") == "two")
    assert two["outputs"][0]["data"] == {"image/svg+xml": "<svg/>", "text/html": "<i>"}
    assert two["metadata"]["alt"] == "A line,"
    assert "## Draw it {#draw-it}" in sources(made)


def test_a_figure_without_alt_text_is_told() -> None:
    page = pages()["en"].replace("<!-- alt: A line, -->", "")
    cell = rendering.cell("two", rendering.display(svg="<svg/>"))
    look = Look(lambda r, label: "", lambda name: "", lambda target: "")
    with pytest.raises(LivecellError, match="does not say what it shows") as caught:
        lab.build(page, Result("labs/l", [cell]), "en", LANGUAGES, look, path=Path("l.py"))
    assert (caught.value.file, caught.value.cell) == (Path("l.py"), "two")
    assert 'lang="en"' in str(caught.value.expected)


def test_labs_are_held_to_the_rules_of_pages(tmp_path: Path) -> None:
    settings = Settings.from_table(tmp_path, {"languages": list(LANGUAGES)})
    for language in LANGUAGES:
        (settings.docs / language).mkdir(parents=True)
    file = settings.snippet("labs/l")
    file.parent.mkdir(parents=True)
    file.write_text(LAB, encoding="utf-8")
    assert check.static(settings) == []  # its cells count as shown
    for old, new, line, problem in (
        ("# ## Draw it", "# ### Draw it", 20, "differs in structure"),
        ("labs/l:one x`.", "labs/l:on x`.", 9, "has no cell 'on'"),
        ('# %% [markdown] lang="en"\n# ## Draw it\n', "", 17, "has no twin"),
    ):
        file.write_text(LAB.replace(old, new), encoding="utf-8")
        (error,) = check.static(settings)
        assert problem in error.problem
        assert (error.file, error.line) == (file, line)


# ------------------------------------------------------------------ as HTML
def test_prose_has_ids_formulas_and_folds() -> None:
    rendering.site()
    shown = labpage.prose(
        "# T\n\n## Part `x` {#part}\n\n$x < 1$ and\n\n$$y$$\n\n[a](../b/)\n\n"
        "<details><summary>Hint</summary>\n\n**Bold**\n\n</details>\n"
    )
    assert shown.startswith("<h1>T</h1>")
    assert '<h2 id="part">Part <code>x</code><a class="headerlink" href="#part"' in shown
    assert shown.count("<math") == 2
    assert "$" not in shown
    assert '<details class="note"><summary>Hint</summary>' in shown
    assert "<strong>Bold</strong>" in shown
    assert labpage.headings(shown) == [{"level": 2, "id": "part", "name": "Part x"}]


def test_a_bad_formula_is_an_error() -> None:
    errors: list[LivecellError] = []
    rendering.site(errors=errors)
    assert "lc-problem" in labpage.prose("$\\nosuch$")
    assert errors[0].found == "\\nosuch"


def test_a_cell_looks_as_on_every_page() -> None:
    rendering.site()
    made = notebook(keeps_ids=True)
    one, two, check_f = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    shown = rendering.parse(labpage.cell(one, "labs/l"))
    assert shown.one("div", css="livecell").attributes["data-cell"] == "labs/l:one"
    assert shown.one("code").text.rstrip() == '# one\nx = 1\nprint("x =", x)'
    assert shown.one("samp").text == "x = 1\n"
    del two["outputs"][0]["data"]["text/html"]
    html = labpage.cell(two, "labs/l")
    assert 'class="livecell lc-gap"' in html
    assert '<svg role="img" aria-label="A line,"' in html
    assert "differs from run to run" in html
    assert "check(f)" in rendering.parse(labpage.cell(check_f, "labs/l")).text
