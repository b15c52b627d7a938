"""Values inside a sentence: `#!live snippet:cell label`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pages.rendering import cell, render, site, stream

from livecell import LivecellError, fence

PRINTED = """\
w = tensor([1.], requires_grad=True)
w.grad = tensor([4.])
J = tensor([[4., 3.],
        [2., 6.]])
deep = tensor([[[1., 2.],
         [3., 4.]],

        [[5., 6.],
         [7., 8.]]])
shape: torch.Size([1, 2])
passes 2
x y = 1
x = 2
nothing =\x20
done
"""


def value(code_span: str) -> str:
    return render(f"The value {code_span} here.").one("p").one("code").text


def refused(markdown: str) -> LivecellError:
    with pytest.raises(fence.Stop) as stop:
        render(markdown)
    assert isinstance(stop.value.__cause__, LivecellError)
    return stop.value.__cause__


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("w", "tensor([1.], requires_grad=True)"),
        ("w.grad", "tensor([4.])"),
        ("J", "tensor([[4., 3.], [2., 6.]])"),
        ("deep", "tensor([[[1., 2.], [3., 4.]], [[5., 6.], [7., 8.]]])"),
        ("shape", "torch.Size([1, 2])"),
        ("passes", "2"),
        ("x y", "1"),
        ("x", "2"),
        ("nothing", ""),
    ],
)
def test_a_label_names_what_was_printed_behind_it(label: str, expected: str) -> None:
    site(cell("a", stream(PRINTED)))
    assert value(f"`#!live s:a {label}`") == expected


@pytest.mark.parametrize("label", ["W", "w.gra", "grad", "w_grad", "wxgrad", "tensor", "[2., 6.]"])
def test_an_unknown_label_lists_the_known_ones(label: str) -> None:
    site(cell("a", stream(PRINTED)))
    refusal = refused(f"`#!live s:a {label}`")
    assert refusal.problem == f"the cell prints nothing labelled {label!r}"
    assert refusal.found == "labels: w, w.grad, J, deep, x y, x, nothing"
    assert refusal.todo is not None
    assert refusal.todo.startswith(f'print("{label} =", …)')


@pytest.mark.parametrize("printed", ["hello", "hello\n", "\nhello"])
def test_without_a_label_it_is_all_that_was_printed(printed: str) -> None:
    site(cell("a", stream(printed)))
    assert value("`#!live s:a`") == "hello"


@pytest.mark.parametrize(
    ("printed", "found"), [("a\nb\n", "a\nb"), ("", "nothing"), ("\n", "nothing")]
)
def test_without_a_label_there_must_be_one_line(printed: str, found: str) -> None:
    site(cell("a", stream(printed)))
    refusal = refused("`#!live s:a`")
    assert refusal.problem == "the cell did not print exactly one line"
    assert refusal.found == found


def test_only_standard_output_is_looked_at() -> None:
    site(cell("a", stream("x = 1\n", "stderr"), stream("x = 2\n")))
    assert value("`#!live s:a x`") == "2"


@pytest.mark.parametrize(
    "code_span",
    [
        "`#!live s:a w.grad`",
        "`` #!live s:a w.grad ``",
        "`#!live  s:a   w.grad `",
        "`#!live s:a\nw.grad`",
    ],
)
def test_a_value_may_be_written(code_span: str) -> None:
    site(cell("a", stream(PRINTED)))
    assert value(code_span) == "tensor([4.])"


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("`` `#!live s:a w` ``", "`#!live s:a w`"),
        ("```` ```#!live s:a w``` ````", "```#!live s:a w```"),
        ("`see #!live s:a w`", "see #!live s:a w"),
        ("```text\n`#!live s:a w`\n```", "`#!live s:a w`\n"),
        ("    `#!live s:a w`", "`#!live s:a w`\n"),
    ],
)
def test_the_syntax_can_be_shown(markdown: str, text: str) -> None:
    site(cell("a", stream(PRINTED)))
    assert render(markdown).one("code").text == text


def test_an_escaped_backtick_begins_no_value() -> None:
    site(cell("a", stream(PRINTED)))
    assert render("\\`#!live s:a w\\`").one("p").text == "`#!live s:a w`"


def test_two_values_and_ordinary_code_in_a_sentence() -> None:
    site(cell("a", stream(PRINTED)))
    page = render("`x` is `#!live s:a x`, `w` has `#!live s:a w.grad` and ``a`b``.")
    assert [code.text for code in page.all("code")] == ["x", "2", "w", "tensor([4.])", "a`b"]


@pytest.mark.parametrize(
    ("code_span", "problem"),
    [
        ("`#!live s:b x`", "the snippet 's' has no cell 'b'"),
        ("`#!live t:a x`", "there is no snippet 't'"),
        ("`#!live a x`", "'a' names no snippet"),
        ("`#!live`", "'' names no snippet"),
    ],
)
def test_a_wrong_reference_is_refused(code_span: str, problem: str) -> None:
    site(cell("a", stream(PRINTED)))
    assert refused(f"text {code_span} text").problem == problem


def test_errors_are_collected_and_shown_in_the_sentence(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    markdown = "# Title\n\nGood `#!live s:a x`,\nwrong `#!live s:b <y>`.\n"
    page.write_text(markdown, encoding="utf-8")
    errors: list[LivecellError] = []
    site(cell("a", stream(PRINTED)), page=page, errors=errors)
    html = render(markdown)
    assert [(error.file, error.line) for error in errors] == [(page, 4)]
    assert html.one("strong", "lc-problem").text == str(errors[0])
    assert html.one("code").text == "2"


def test_a_label_must_name_one_value() -> None:
    site(cell("a", stream("x = 1\ny = 3\nx = 2\ny = 3\n")))
    assert value("`#!live s:a y`") == "3"
    refusal = refused("`#!live s:a x`")
    assert refusal.problem == "the cell prints different values labelled 'x'"
    assert refusal.found == "1 and 2"
