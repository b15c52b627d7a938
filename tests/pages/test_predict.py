"""Boxes that ask before they show: Markdown in, HTML out; and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from markdown import Markdown
from tests.pages.rendering import Element, cell, parse, render, site, stream

from livecell import LivecellError, Settings, check, fence, questions

ADD = cell("add", stream("x + 1 = 2\ny = tensor([1., 2.])\n"), source="print('x + 1 =', x + 1)")
BOX = """\
!!! predict "What is `x + 1` if $x$ is 1?"

    `1`
    :   That is `x`.

    `#!live s:add x + 1`
    :   $1 + 1 = 2$

        And it is printed.

    Nothing
    : The cell *does* print.

    ```python exec="on" cell="s:add" show="output"
    ```

    More.
"""


def box(markdown: str = BOX, **fields: Any) -> Element:
    site(ADD, **fields)
    return render(markdown).one(css="lc-predict")


def refused(markdown: str) -> LivecellError:
    """The first error of the box, alone on its page."""
    site(ADD)
    with pytest.raises(fence.Stop) as stop:
        render(markdown)
    assert isinstance(stop.value.__cause__, LivecellError)
    return stop.value.__cause__


# ------------------------------------------------------------------ what it becomes
def test_every_choice_is_a_fold_with_its_reason() -> None:
    choices = box().all("details", "lc-choice")
    assert [choice.one("summary").text for choice in choices] == ["1", "2", "Nothing"]
    assert [choice.one(css="lc-why").text.strip() for choice in choices] == [
        "✗ Not this one. That is x.",
        "✓ Right. 1+1=2\nAnd it is printed.",
        "✗ Not this one. The cell does print.",
    ]
    assert [code.text for code in choices[1].one("summary").all("code")] == ["2"]
    assert choices[2].one("em").text == "does"


def test_the_mark_is_not_the_only_sign() -> None:
    for choice in box().all("details", "lc-choice"):
        mark = choice.one(css="lc-mark")
        assert mark.attributes["aria-hidden"] == "true"
        assert choice.one(css="lc-verdict").text.removeprefix(mark.text).strip()


def test_what_follows_the_choices_is_the_last_fold() -> None:
    last = box().all("details")[-1]
    assert last.classes == ["lc-reveal"]
    assert last.one("summary").text == "Show the output"
    assert last.one("samp").text.startswith("x + 1 = 2")
    assert last.all("p")[-1].text == "More."


def test_what_stands_before_the_choices_stays_in_sight() -> None:
    question = '!!! predict "Now?"\n\n    Think of *x*.\n\n'
    page = box(question + BOX.partition("\n\n")[2].partition("\n    ```")[0])
    assert [part.tag for part in page.content if isinstance(part, Element)] == ["p", "p", "div"]
    assert page.all("p")[1].text == "Think of x."
    assert page.all(css="lc-reveal") == []


def test_nothing_is_open_at_first() -> None:
    assert [fold for fold in box().all("details") if "open" in fold.attributes] == []


def test_before_it_is_opened_a_choice_does_not_tell_whether_it_is_right() -> None:
    """The class that colours it once it is open is all that differs outside of its body."""
    for choice in box().all("details", "lc-choice"):
        assert set(choice.attributes) == {"class"}
        summary = choice.one("summary")
        assert [part.attributes for part in (summary, *summary.all())] == [{}] * (
            1 + len(summary.all())
        )


def test_the_box_is_a_group_with_the_question_as_its_name() -> None:
    group = box()
    title = group.one("p", "admonition-title")
    assert group.attributes["role"] == "group"
    assert group.attributes["aria-labelledby"] == title.attributes["id"] == "predict-1"
    assert title.text == "What is x + 1 if x is 1?"
    assert title.all("code")[0].text == "x + 1"


def test_several_boxes_have_names_of_their_own() -> None:
    site(ADD)
    boxes = render(f"{BOX}\n{BOX}").all(css="lc-predict")
    names = [box.attributes["aria-labelledby"] for box in boxes]
    assert names == [box.one("p", "admonition-title").attributes["id"] for box in boxes]
    assert len(set(names)) == 2


def test_the_words_are_those_of_the_page() -> None:
    page = box(language="zh")
    assert [part.text for part in page.all(css="lc-verdict")] == [
        "✗ 不是这个。",
        "✓ 答对了。",
        "✗ 不是这个。",
    ]
    assert page.one("details", "lc-reveal").one("summary").text == "看运行结果"
    assert page.all(css="lc-why")[0].text.strip() == "✗ 不是这个。That is x."


@pytest.mark.parametrize(
    "reason",
    [":   - a\n        - b", ":   ![](x.png)", ":   a\n    :   b", ":   > a"],
    ids=["list", "image", "two reasons", "quotation"],
)
def test_a_reason_may_be_anything(reason: str) -> None:
    first = box(BOX.replace(":   That is `x`.", reason)).all(css="lc-why")[0]
    assert first.text.strip().startswith("✗ Not this one.")
    assert len(first.all(css="lc-verdict")) == 1


@pytest.mark.parametrize("wrap", ["- item\n\n{}", "> {}"], ids=["list", "quotation"])
def test_a_box_may_stand_in(wrap: str) -> None:
    prefix = wrap.partition("{}")[0].rpartition("\n")[2] or "    "
    lines = BOX.replace("\n", "\n" + prefix)
    page = box(wrap.format(lines if prefix.strip() else prefix + lines))
    assert len(page.all("details")) == 4


def test_other_boxes_and_lists_stay_as_they_are() -> None:
    site(ADD)
    page = render(BOX.replace("predict", "note") + "\nTerm\n:   Meaning\n")
    assert page.all("details") == page.all(css="lc-predict") == []
    assert [name.text for name in page.all("dt")] == ["1", "2", "Nothing", "Term"]


def test_a_value_of_several_lines_stands_on_one() -> None:
    page = box(BOX.replace("s:add x + 1", "s:add y"))
    assert page.all("summary")[1].text == "tensor([1., 2.])"


# ------------------------------------------------------------------ what can be wrong
LIVE = "`#!live s:add x + 1`"
WITHOUT_LIST = BOX.partition("\n\n")[0] + "\n\n    Think.\n"
WITHOUT_FENCE = BOX.partition("    ```")[0]
TWO = BOX.replace("    Nothing\n    : The cell *does* print.\n", "")
WRONG = [
    (WITHOUT_LIST, 1, "a predict box has no choices", None),
    (BOX.partition("\n\n")[0], 1, "a predict box has no choices", None),
    (TWO, 1, "a predict box has too few choices", "2"),
    (BOX.replace(LIVE, "`3`"), 1, "exactly one choice, the right one,", "none"),
    (BOX.replace("Nothing", "`#!live s:add y`"), 1, "exactly one", f"{LIVE} and `#!live s:add y`"),
    (BOX.replace("    :   That is `x`.\n", ""), 3, "a choice does not say why", "`1`"),
    (BOX.replace("`1`", "`1`\n    `0`"), 3, "a choice does not say why", "`1`"),
    (BOX.replace("Nothing", "`1`"), 11, "two choices are the same", "`1`"),
    (BOX.replace(' "What is `x + 1` if $x$ is 1?"', ""), 1, "a predict box asks nothing", None),
    (BOX.replace(' "What is `x + 1` if $x$ is 1?"', ' ""'), 1, "a predict box asks nothing", None),
]
IDS = [
    "no list",
    "no body",
    "two",
    "not live",
    "two live",
    "no reason",
    "shared",
    "twice",
    "",
    "''",
]


@pytest.mark.parametrize(("markdown", "line", "problem", "found"), WRONG, ids=IDS)
@pytest.mark.parametrize("above", ["", "# Title\n\n`1` or Nothing.\n\n"], ids=["first", "later"])
def test_a_wrong_box_is_told_by_check_and_by_build_alike(
    markdown: str, line: int, problem: str, found: str | None, above: str, tmp_path: Path
) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(above + markdown, encoding="utf-8")
    told = [e for e in check.static(Settings.from_table(tmp_path, {})) if e.line]
    first = next(error for error in told if error.problem.startswith(problem))
    assert (first.line, first.found) == (line + above.count("\n"), found)
    assert first.expected
    errors: list[LivecellError] = []
    site(ADD, page=page, errors=errors)
    html = render(above + markdown)
    wrong = [str(e) for e in told if e.problem != "there is no snippet 's'"]
    assert [str(error) for error in errors] == wrong
    assert [part.text for part in html.one(css="lc-problem").all("samp")] == wrong
    assert html.all("details") == []


def test_a_wrong_box_stops_a_page_of_any_generator() -> None:
    refusal = refused(BOX.replace(LIVE, "`3`"))
    assert refusal.problem == "exactly one choice, the right one, must be taken from the run"
    assert refusal.expected == "`#!live snippet:cell label` in one choice"
    assert refusal.todo


def test_a_good_box_is_no_error(tmp_path: Path) -> None:
    assert list(questions.static(BOX)) == []
    page = tmp_path / "page.md"
    page.write_text(BOX, encoding="utf-8")
    errors: list[LivecellError] = []
    site(ADD, page=page, errors=errors)
    render(BOX)
    assert errors == []


@pytest.mark.parametrize(
    ("label", "wrong"),
    [("x + 1", "`2`"), ("x + 1", "2"), ("y", "`tensor([1.,2.])`"), ("y", "`` tensor([1., 2.]) ``")],
)
def test_a_wrong_choice_must_not_be_the_right_value(label: str, wrong: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = f"Nothing\n\n{BOX}".replace("s:add x + 1", f"s:add {label}")
    text = text.replace("    Nothing", f"    {wrong}")
    page.write_text(text, encoding="utf-8")
    assert list(questions.static(text)) == []  # only the run can tell
    errors: list[LivecellError] = []
    site(ADD, page=page, errors=errors)
    render(text)
    (error,) = errors
    assert error.problem == "a wrong choice is the right value"
    assert (error.file, error.line, error.found) == (page, 13, wrong)


def test_a_value_that_does_not_exist_is_told_once() -> None:
    errors: list[LivecellError] = []
    site(ADD, errors=errors)
    render(BOX.replace("s:add x + 1", "s:add z"))
    assert [error.problem for error in errors] == ["the cell prints nothing labelled 'z'"]


def test_a_box_that_is_a_fold_itself_is_told() -> None:
    for mark in ("???", "???+"):
        (error,) = questions.static(BOX.replace("!!!", mark))
        assert error.problem == "a predict box is folded away"


def test_without_the_extension_for_lists_a_box_is_told() -> None:
    errors: list[LivecellError] = []
    site(ADD, errors=errors)
    Markdown(extensions=["admonition", "livecell"]).convert(WITHOUT_FENCE)
    assert errors[0].problem == "a predict box has no choices"
    assert errors[0].todo is not None
    assert "def_list" in errors[0].todo


def test_two_choices_without_a_reason_are_both_told() -> None:
    """Markdown takes them for paragraphs, the first one for a part of the question."""
    text = BOX.replace("    :   That is `x`.\n", "").replace("    : The cell *does* print.\n", "")
    text = text.replace("    ```python", "    `4`\n    :   Four.\n\n    ```python")
    told = [error for error in questions.static(text) if "does not say why" in error.problem]
    assert [(error.line, error.found) for error in told] == [(3, "`1`"), (10, "Nothing")]


@pytest.mark.parametrize(
    "markdown", ["````md\n" + BOX + "````\n", BOX.replace("predict", "predicted")]
)
def test_what_is_no_box_is_not_checked(markdown: str) -> None:
    assert questions.find(markdown.replace(LIVE, "`3`")) == ()


def test_a_question_may_be_nothing_but_code() -> None:
    assert len(box(BOX.replace("What is `x + 1` if $x$ is 1?", "`x + 1`")).all("details")) == 4


# ------------------------------------------------------------------ in twins
SNIPPET = "# %% add\nx = 1\nprint('x + 1 =', x + 1)\n"


def twins(root: Path, zh: str, en: str) -> list[LivecellError]:
    for name, text in (("docs/zh/p.md", zh), ("docs/en/p.md", en), ("snippets/s.py", SNIPPET)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return check.static(Settings.from_table(root, {"languages": ["zh", "en"]}))


FIRST = BOX.replace("`1`", "x").replace(LIVE, "`1`").replace("    x\n", f"    {LIVE}\n")
FOUR = BOX.replace("    Nothing\n", "    `0`\n    :   No.\n\n    Nothing\n")


def test_twins_ask_the_same_in_other_words(tmp_path: Path) -> None:
    assert twins(tmp_path, BOX.replace("Nothing", "什么也没有"), BOX) == []


@pytest.mark.parametrize(
    ("other", "found"),
    [(FIRST, "choices 3, number 1 is right"), (FOUR, "choices 4, number 2 is right")],
)
def test_twins_have_as_many_choices_in_the_same_order(
    other: str, found: str, tmp_path: Path
) -> None:
    (error,) = twins(tmp_path, f"# T\n\n{BOX}", f"# T\n\n{other}")
    assert (error.file, error.line, error.found) == (tmp_path / "docs/en/p.md", 3, found)
    assert error.expected is not None
    assert error.expected.startswith("choices 3, number 2 is right, as in ")


def test_reading_html_tells_when_a_fold_is_open() -> None:
    """The checks above can fail: what they read would show an open fold."""
    assert "open" in parse("<details open><summary>a</summary></details>").one("details").attributes
