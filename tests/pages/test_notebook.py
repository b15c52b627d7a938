"""A page as a notebook: what becomes of each thing that a page may hold."""

from __future__ import annotations

import ast
from typing import Any

import matplotlib.figure
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pages import rendering

from livecell import CellResult, Result, notebook
from livecell.prose import Look, parts

LOOK = Look(
    value=lambda reference, label: f"<{reference} {label}>",
    entry=lambda name: f"## entry {name}",
    address=lambda target: f"https://site/{target}" if target != "lost.md" else "",
)


def markdown(page: str) -> list[str]:
    """The Markdown cells of a page, and the references of its cells."""
    return [part.text or f"[{part.cell}]" for part in parts(page, LOOK)]


def fence(cell: str, indent: int = 0, **options: str) -> str:
    more = "".join(f' {name}="{value}"' for name, value in options.items())
    start = " " * indent
    return f'{start}```python exec="on" cell="{cell}"{more}\n{start}```\n'


def test_prose_stands_between_cells() -> None:
    page = f"---\ndescription: x\n---\n\n# T\n\nOne.\n\n{fence('s:a')}\nTwo.\n\n{fence('s:b')}"
    assert markdown(page) == ["# T\n\nOne.", "[s:a]", "Two.", "[s:b]"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("## Part {#part}", "## Part"),
        ("## The `x` {#x}\n\n[here](#x)", "## The `x`\n\n[here](#The-x)"),
        ("It is `#!live s:a x.grad`.", "It is `<s:a x.grad>`."),
        ("`` `#!live` `` stays", "`` `#!live` `` stays"),
        ("[a](b.md#c)", "[a](https://site/b.md#c)"),
        ("[a](lost.md) and [b](https://b.org/)", "a and [b](https://b.org/)"),
        ("`[a](b.md)`", "`[a](b.md)`"),
        ("$x_1$ and\n\n$$a < b$$", "$x_1$ and\n\n$$a < b$$"),
        ("| a | b |\n|---|---|\n| 1 | `2` |", "| a | b |\n|---|---|\n| 1 | `2` |"),
        ("```sh\nls  # [a](b.md)\n\n\nls {#x}\n```", "```sh\nls  # [a](b.md)\n\n\nls {#x}\n```"),
        ("[ENTRY no-grad]", "## entry no-grad"),
        ("[ATLAS paste]\n\n[TERMS graph]\n\n[API]", ""),
        ('!!! note "Title"\n\n    Text.\n\nOn.', "> **Title**\n>\n> Text.\n\nOn."),
        ("!!! note\n\n    Text.", "> **Note**\n>\n> Text."),
        (
            '??? note "A `b`"\n\n    Text.\n\nOn.',
            "<details>\n<summary>A <code>b</code></summary>\n\nText.\n\n</details>\n\n\nOn.",
        ),
        (
            '!!! note "T"\n\n    ```sh\n    ls\n    ```\n',
            "> **T**\n>\n> ```sh\n> ls\n> ```",
        ),
    ],
)
def test_what_a_notebook_shows_of_it(page: str, expected: str) -> None:
    assert "\n".join(markdown(page)) == expected


def test_a_box_goes_on_after_a_cell() -> None:
    page = f'!!! note "T"\n\n    One.\n\n{fence("s:a", 4)}\n    Two.\n\nThree.\n'
    assert markdown(page) == ["> **T**\n>\n> One.", "[s:a]", "> Two.\n\nThree."]


def test_a_question_becomes_folds() -> None:
    page = (
        f'{fence("s:a", show="code")}\n!!! predict "What is `x < 2`?"\n\n    `1 < 2`\n'
        f"    :   No, $x$.\n\n    `#!live s:a x`\n    :   Yes.\n\n        More.\n\n"
        f"{fence('s:a', 4, show='output')}\nAfter.\n"
    )
    cell, question, again, after = markdown(page)
    assert (cell, again, after) == ("[s:a]", "[s:a]", "After.")
    assert question.startswith("**What is `x < 2`?**")
    assert "<summary><code>1 &lt; 2</code></summary>" in question
    assert "<summary><code>&lt;s:a x&gt;</code></summary>" in question
    assert "No, $x$." in question
    assert question.count("<details>") == question.count("</details>") == 2
    assert question.index("Yes.") < question.index("More.")


def result(*cells: CellResult) -> Result:
    return Result("s", list(cells))


def build(page: str, *cells: CellResult, language: str = "en") -> dict[str, Any]:
    made = notebook.build(page, result(*cells), language, ("zh", "en"), LOOK)
    nbformat.validate(made)
    return made


def code(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in made["cells"] if cell["cell_type"] == "code"]


def test_each_cell_stands_once_in_the_order_of_the_file() -> None:
    cells = [rendering.cell(name, source=f"{name} = 1") for name in "abcd"]
    page = "\n".join(["# T", fence("s:c"), "Text.", fence("s:a"), fence("s:d"), fence("s:c")])
    made = build(page, *cells)
    kinds = [cell["metadata"].get("name", "text") for cell in made["cells"]]
    assert kinds == ["text", "a", "b", "c", "text", "d"]


def test_a_cell_of_another_snippet_is_not_in_it() -> None:
    assert code(build(fence("other:a"), rendering.cell("a"))) == []


def test_comments_are_those_of_one_language() -> None:
    cell = rendering.cell("a", source="# zh: 甲\n# en: one\nx = 1")
    assert code(build(fence("s:a"), cell))[0]["source"] == "# one\nx = 1"
    assert code(build(fence("s:a"), cell, language="zh"))[0]["source"] == "# 甲\nx = 1"
    program = notebook.program(result(cell), "zh", ("zh", "en"))
    assert program == "# %% a\n# 甲\nx = 1\n"


def test_a_cell_that_fails_or_varies_says_so() -> None:
    cells = [
        rendering.cell("a", rendering.error("E"), raises="E"),
        rendering.cell("b", volatile=True),
    ]
    made = code(build(fence("s:a") + fence("s:b"), *cells))
    assert [cell["metadata"]["tags"] for cell in made] == [["raises-exception"], ["volatile"]]


def test_an_answer_is_hidden_until_asked_for() -> None:
    page = f'{fence("s:a", show="code")}\n!!! predict "?"\n\n{fence("s:a", 4, show="output")}'
    page += f'\n??? success "Solution"\n\n{fence("s:b", 4)}'
    asked, solved = code(build(page, rendering.cell("a"), rendering.cell("b")))
    assert asked["metadata"]["jupyter"] == {"outputs_hidden": True}
    assert solved["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}


def test_outputs_are_the_runs_own() -> None:
    shown = rendering.display(html="<b>1</b>")
    shown["data"]["text/html;lang=en"] = "<i>1</i>"
    cell = rendering.cell("a", rendering.stream("1\n"), shown)
    made = code(build(fence("s:a"), cell))[0]
    assert made["outputs"][0]["text"] == "1\n"
    assert made["outputs"][1]["data"] == {"text/html": "<b>1</b>"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x", "x;"),
        ("x  # 甲", "x;  # 甲"),
        ("f(x)\n", "f(x);\n"),
        ("é = '甲'; é  # why", "é = '甲'; é;  # why"),
        ("print(x)", "print(x)"),
        ("y.backward()", "y.backward()"),
        ("x = 1", "x = 1"),
        ("for i in x:\n    i", "for i in x:\n    i"),
        ("def (", "def ("),
        ("", ""),
    ],
)
def test_what_shows_nothing_here_shows_nothing_there(source: str, expected: str) -> None:
    made = code(build(fence("s:a"), rendering.cell("a", source=source)))[0]
    assert made["source"] == expected


def test_a_rich_last_value_is_echoed_and_a_figure_is_not() -> None:
    rich = rendering.display(html="<b>1</b>")
    rich["data"]["text/plain"] = "1"
    figure = rendering.display(svg="<svg/>")
    figure["data"]["text/plain"] = repr(matplotlib.figure.Figure())
    for output, source in (rich, "x"), (figure, "x;"):
        cell = rendering.cell("a", output, source="x")
        assert code(build(fence("s:a"), cell))[0]["source"] == source


@given(st.text())
def test_any_page_becomes_a_valid_notebook(page: str) -> None:
    made = build(page, rendering.cell("a"))
    assert notebook.dumps(made) == notebook.dumps(build(page, rendering.cell("a")))


@given(st.lists(st.sampled_from(["x", "f(x)", "y = 2", "# c", "'''s\nt'''", ""])))
def test_a_semicolon_changes_nothing_else(lines: list[str]) -> None:
    source = "\n".join(lines)
    made = code(build(fence("s:a"), rendering.cell("a", source=source)))[0]
    assert ast.dump(ast.parse(made["source"])) == ast.dump(ast.parse(source))
