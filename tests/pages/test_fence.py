"""The fence with cell=: what it shows, and what it says when it cannot."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from markdown import Markdown
from markdown.preprocessors import Preprocessor
from tests.pages.rendering import Element, cell, display, error, render, site, stream

from livecell import LivecellError, Runner, Settings, fence

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1"><svg><path d="M0 0"/></svg></svg>'
LEAVES = cell("leaves", stream("True\n"), source="# zh: 叶子\n# en: a leaf\nprint(True)")
BACKWARD = cell("backward", stream("w.grad = 2\n"), source="z.backward()")
PLOT = cell("plot", display(svg=SVG), source="plot()")


def fenced(reference: str, options: str = "", body: str = "") -> str:
    return f'```python exec="on" cell="{reference}" {options}\n{body}```\n'


def refused(markdown: str) -> LivecellError:
    """The one error that the page ends with."""
    with pytest.raises(fence.Stop) as stop:
        render(markdown)
    cause = stop.value.__cause__
    assert isinstance(cause, LivecellError)
    assert str(cause) == str(stop.value)
    return cause


def test_a_fence_shows_code_and_output() -> None:
    site(LEAVES)
    page = render(fenced("s:leaves"))
    block = page.one("div", "livecell")
    assert block.attributes["data-cell"] == "s:leaves"
    assert block.one("code").text == "# a leaf\nprint(True)\n"
    assert block.one(css="lc-stdout").one("samp").text == "True\n"


@pytest.mark.parametrize(
    ("language", "comment", "caption"), [("zh", "# 叶子", "输出"), ("en", "# a leaf", "Output")]
)
def test_the_page_shows_comments_and_captions_of_its_language(
    language: str, comment: str, caption: str
) -> None:
    site(LEAVES, language=language)
    page = render(fenced("s:leaves"))
    assert page.one("code").text == f"{comment}\nprint(True)\n"
    assert page.one(css="lc-caption").text == caption
    assert page.one(css="lc-output").attributes["aria-label"] == caption


def test_only_code_can_be_copied() -> None:
    """Material puts its button on `pre > code`, and copies the text of that element."""
    site(cell("a", stream("out"), stream("warn", "stderr"), error("Error")))
    page = render(fenced("s:a"))
    assert [code.text for code in page.all("code")] == ["pass\n"]
    assert len(page.all("samp")) == 3


@pytest.mark.parametrize(
    ("show", "code", "output"),
    [("both", 1, 1), ("code", 1, 0), ("output", 0, 1)],
)
def test_show_selects_what_is_shown(show: str, code: int, output: int) -> None:
    site(LEAVES)
    page = render(fenced("s:leaves", f'show="{show}"'))
    assert (len(page.all("code")), len(page.all("samp"))) == (code, output)


@pytest.mark.parametrize(
    "markdown",
    [
        '!!! note "title"\n\n    {}    ```\n',
        '??? note "title"\n\n    before\n\n    {}    ```\n\n    after\n',
        '=== "one"\n\n    {}    ```\n\n=== "two"\n\n    text\n',
        "- item\n\n    {}    ```\n",
        "1. item\n    {}    ```\n2. item\n",
        "> {}> ```\n",
        "text\n{}```\ntext\n",
    ],
    ids=["box", "fold", "tab", "list", "tight list", "quotation", "within a paragraph"],
)
def test_a_fence_may_stand_in(markdown: str) -> None:
    site(LEAVES)
    page = render(markdown.format('```python exec="on" cell="s:leaves"\n'))
    assert page.one(css="livecell").one("samp").text == "True\n"


@pytest.mark.parametrize(
    "markdown",
    [
        "```python cell='s:leaves' exec='on'\n```\n",
        '```python exec cell="s:leaves"\n```\n',
        '```python exec="on" cell="s:leaves"\n\n```\n',
        '~~~~python exec="on" cell="s:leaves"\n~~~~\n',
        '```{.python exec="on" cell="s:leaves"}\n```\n',
        '``` py exec="1" cell="s:leaves"\n```\n',
    ],
)
def test_a_fence_may_be_written(markdown: str) -> None:
    site(LEAVES)
    assert render(markdown).one(css="livecell").one("samp").text == "True\n"


def test_two_fences_of_one_cell() -> None:
    site(LEAVES)
    code, output = (fenced("s:leaves", f'show="{show}"') for show in ("code", "output"))
    page = render(f"{code}\ntext\n\n{output}")
    blocks = page.all(css="livecell")
    assert [block.text.strip() for block in blocks] == ["# a leaf\nprint(True)", "OutputTrue"]


def test_other_fences_are_left_to_markdown_exec() -> None:
    site(LEAVES)
    page = render("```python exec=\"on\"\nprint('**bold**')\n```\n\n```python\nshown = 1\n```\n")
    assert page.one("strong").text == "bold"
    assert page.one("code").text == "shown = 1\n"
    assert page.all(css="livecell") == []


def test_a_cell_inside_what_markdown_exec_prints() -> None:
    site(LEAVES)
    program = f"print({fenced('s:leaves')!r})"
    page = render(f'````python exec="on"\n{program}\n````\n')
    assert page.one(css="livecell").one("samp").text == "True\n"


@pytest.mark.parametrize(
    "alt", ["a line", "从 (0, 0) 到 (1, 1)", r"\partial z \1 \g<0> & <x>", "it's"]
)
def test_a_figure_says_what_it_shows(alt: str) -> None:
    site(PLOT)
    figure = render(fenced("s:plot", f'alt="{alt}"')).one(css="lc-figure")
    outer, inner = figure.all("svg")
    assert outer.attributes["aria-label"] == alt
    assert outer.attributes["role"] == "img"
    assert inner.attributes == {}
    assert len(inner.all("path")) == 1


def test_a_figure_without_alt_is_refused() -> None:
    site(PLOT)
    refusal = refused(fenced("s:plot"))
    assert "does not say what it shows" in refusal.problem
    assert refusal.expected is not None
    assert "alt=" in refusal.expected


def test_a_figure_that_is_not_shown_needs_no_alt() -> None:
    site(PLOT)
    assert render(fenced("s:plot", 'show="code"')).all("svg") == []


def test_rich_html_stands_as_it_is() -> None:
    site(cell("a", display(html="<table><tr><td>1 &lt; 2</td></tr></table>")))
    page = render(fenced("s:a"))
    assert page.one(css="lc-html").one("td").text == "1 < 2"


@pytest.mark.parametrize(("volatile", "notes"), [(True, 1), (False, 0)])
def test_output_that_cannot_repeat_is_marked(volatile: bool, notes: int) -> None:
    site(cell("a", stream("0.1 s"), volatile=volatile))
    assert len(render(fenced("s:a")).all(css="lc-volatile")) == notes


@pytest.mark.parametrize(
    ("options", "problem", "todo"),
    [
        ('cell="t:leaves"', "there is no snippet 't'", "known names: s"),
        ('cell="s:leafs"', "the snippet 's' has no cell 'leafs'", "did you mean leaves?"),
        ('cell="s:xyz"', "the snippet 's' has no cell 'xyz'", "known names: leaves, backward"),
        ('cell="leaves"', "'leaves' names no snippet", "known names: s"),
        ('cell=""', "'' names no snippet", "known names: s"),
        ('cell="s:leaves" alk="x"', "a fence with cell= has no option 'alk'", "did you mean alt?"),
        ('cell="s:leaves" source="above"', "has no option 'source'", "known names: show, alt"),
        ('cell="s:leaves" session="x"', "has no option 'session'", "known names: show, alt"),
        ('cell="s:leaves" show="all"', "show='all' is unknown", None),
    ],
)
def test_a_wrong_fence_says_what_is_wrong(options: str, problem: str, todo: str | None) -> None:
    site(LEAVES, BACKWARD)
    refusal = refused(f'```python exec="on" {options}\n```\n')
    assert problem in refusal.problem
    assert refusal.todo == todo


def test_a_fence_with_a_body_is_refused() -> None:
    site(LEAVES)
    refusal = refused(fenced("s:leaves", body="print(False)\n"))
    assert refusal.problem == "a fence with cell= must have no code of its own"
    assert refusal.found == "print(False)"


def test_an_error_names_page_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good, bad = fenced("s:leaves"), fenced("s:leafs")
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(f"# Title\n\n{good}\ntext\n\n{bad}", encoding="utf-8")
    site(LEAVES, page=page)
    refusal = refused(page.read_text(encoding="utf-8"))
    assert (refusal.file, refusal.line) == (page, 8)
    assert str(refusal).startswith("docs/page.md:8: the snippet 's' has no cell 'leafs'\n")


def failing(stem: str) -> object:
    raise LivecellError("the cell raised NameError", file=f"snippets/{stem}.py", line=7)


def test_the_error_of_a_failed_run_keeps_its_own_place(tmp_path: Path) -> None:
    site(LEAVES, page=tmp_path / "page.md").result = failing  # type: ignore[assignment]
    refusal = refused(fenced("s:leaves"))
    assert (refusal.file, refusal.line) == ("snippets/s.py", 7)


def problems(page: Element) -> list[str]:
    return [box.one("samp").text for box in page.all("div", "lc-problem")]


def test_errors_are_collected_and_shown_where_they_arise(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    bad = fenced("s:<b>")
    markdown = f"{bad}\n{fenced('s:leaves')}\n{fenced('t:x')}\n{bad}"
    file.write_text(markdown, encoding="utf-8")
    errors: list[LivecellError] = []
    site(LEAVES, page=file, errors=errors)
    page = render(markdown)
    assert [error.line for error in errors] == [1, 7]
    assert problems(page) == [str(errors[0]), str(errors[1]), str(errors[0])]
    assert page.one(css="livecell").one("samp").text == "True\n"


def test_a_page_tells_which_snippets_it_cites() -> None:
    where = site(LEAVES, errors=[])
    render(fenced("t:x") + "\n`#!live s:leaves`\n")
    assert where.cited == {"s", "t"}


def test_a_defect_of_ours_stops_the_page() -> None:
    """Any other exception superfences would swallow, and show the fence as text."""
    site(LEAVES).result = lambda stem: 1 / 0  # type: ignore[assignment, return-value]
    with pytest.raises(fence.Stop, match=r"livecell itself failed.*ZeroDivisionError"):
        render(fenced("s:leaves"))


def test_a_generator_that_sets_no_site_gets_a_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snippets").mkdir()
    (tmp_path / "snippets" / "s.py").write_text("# %% a\nprint('x =', 6 * 7)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with closing(Runner(Settings.load())) as runner:
        monkeypatch.setattr(fence, "Runner", lambda settings: runner)
        page = render(fenced("s:a") + "\n`#!live s:a x`\n")
    assert page.one("samp").text == "x = 42\n"
    assert page.all("code")[1].text == "42"


# ------------------------------------------------------------------ without a generator of ours
def test_without_a_site_each_converter_has_its_own_language_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zensical knows no plugin: the extension itself finds project, language and page."""

    class Context(Preprocessor):
        page = SimpleNamespace(path="part/page.md")

        def run(self, lines: list[str]) -> list[str]:
            return lines

    files = {
        "pyproject.toml": '[tool.livecell]\nlanguages = ["zh", "en"]\n',
        "snippets/s.py": "# %% a\n# zh: 一\n# en: one\nprint('x =', 1)\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    converters = {}
    for language in ("zh", "en"):
        md = Markdown(extensions=[fence.LivecellExtension(language=language)])
        md.preprocessors.register(Context(md), "rendering_context", 0)
        converters[language] = md
    for language, md in converters.items():
        assert "<code>1</code>" in md.convert("`#!live s:a x`")
        where = fence.site_of(md)
        assert where.language == language
        assert where.page == tmp_path / "docs" / language / "part" / "page.md"
    assert fence.site is None
    assert fence.site_of(Markdown()).page is None
