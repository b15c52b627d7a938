"""Formulas become MathML; what the converter does not know is an error."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.pages.rendering import ROOT, render, site

from livecell import LivecellError, fence
from livecell.mathml import to_mathml

MATHML = "{http://www.w3.org/1998/Math/MathML}"
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def tags(tex: str) -> list[str]:
    return [e.tag.removeprefix(MATHML) for e in ET.fromstring(to_mathml(tex, "inline")).iter()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_every_formula_of_the_site_converts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "\t" not in text  # a \top that an escape has eaten still converts
    prose = re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.DOTALL)
    site(errors=[])  # no cell is known here
    html = render(text)
    shown = html.all("math")
    assert len(shown) == len(re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", prose, flags=re.DOTALL))
    assert "\\" not in "".join(math.text for math in shown)
    assert html.all(css="arithmatex") == []


def test_the_lessons_have_formulas() -> None:
    counts = {page.stem: page.read_text(encoding="utf-8").count("$") for page in PAGES}
    assert counts["scalar_backward"] > 20
    assert counts["vector_backward"] > 20


def test_a_formula_in_a_sentence() -> None:
    formula = render("text $v_i < x^2$ text").one("span", "math")
    assert formula.text == "vi<x2"
    assert formula.one("math").attributes["display"] == "inline"


def test_a_formula_of_its_own() -> None:
    formula = render("text\n\n$$\n\\frac{1}{2}\n$$\n\ntext").one("div", "math")
    assert formula.one("math").attributes["display"] == "block"
    assert [part.text for part in formula.one("mfrac").content if not isinstance(part, str)] == [
        "1",
        "2",
    ]
    assert formula.attributes["tabindex"] == "0"  # it may be wider than a phone: let keys scroll it


def test_a_formula_in_a_heading_and_in_a_box() -> None:
    page = render('# Heading $x$\n\n??? note "title"\n\n    $$y$$\n')
    assert page.one("h1").one("math").text == "x"
    assert page.one("details").one("math").text == "y"


def test_dollars_in_code_are_no_formula() -> None:
    page = render("`$x$` and\n\n```text\n$$y$$\n```\n")
    assert page.all("math") == []
    assert [code.text for code in page.all("code")] == ["$x$", "$$y$$\n"]


def test_functions_are_set_apart() -> None:
    assert tags(r"v \cos t") == ["math", "mrow", "mi", "mspace", "mi", "mspace", "mi"]
    assert tags(r"\log_2 x").count("mspace") == 1
    assert tags(r"\cos(t)").count("mspace") == 0
    assert tags(r"a b").count("mspace") == 0


def test_each_matrix_has_brackets_of_its_own_height() -> None:
    matrix = r"\begin{bmatrix} 1 & 2 \end{bmatrix}"
    (outer,) = ET.fromstring(to_mathml(f"{matrix} = {matrix}", "block"))
    assert [part.tag.removeprefix(MATHML) for part in outer] == ["mrow", "mo", "mrow"]
    assert ["".join(part.itertext()) for part in outer] == ["[12]", "=", "[12]"]


@pytest.mark.parametrize(
    ("tex", "trouble"),
    [
        (r"\unknown x", r"unknown command \unknown"),
        (r"\end{matrix}", r"unknown command \end{matrix}"),
        (r"\frac{a}{b", "braces"),
        (r"a}", "braces"),
        (r"\frac{1}", "<mfrac>"),
        (r"x^", "MissingSuperScript"),
        (r"a_b_c", "DoubleSubscripts"),
        (r"\left( x", "MissingRight"),
        (r"\begin{bmatrix} 1", "MissingEnd"),
        (r"a & b", "&"),
        (r"\begin{aligned} a &= b \end{aligned}", "&"),
    ],
)
def test_a_bad_formula_is_an_error(tex: str, trouble: str) -> None:
    with pytest.raises(LivecellError, match="a formula cannot be converted") as caught:
        to_mathml(tex, "block")
    assert caught.value.found == tex
    assert caught.value.todo is not None
    assert trouble in caught.value.todo


@pytest.mark.parametrize("tex", [r"\{a\}", r"\%", r"a \& b", r"\text{if $a$}", r"\| x \|"])
def test_escaped_characters_are_no_error(tex: str) -> None:
    assert "math" in tags(tex)


@pytest.mark.parametrize(("before", "after"), [("text $", "$ text"), ("$$\n", "\n$$")])
def test_a_bad_formula_stops_the_page(before: str, after: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n$x$\n\n{before}\\nosuch{{y}}{after}\n", encoding="utf-8")
    site(page=page)
    with pytest.raises(fence.Stop, match=r"page\.md:\d: a formula cannot be converted") as stop:
        render(page.read_text(encoding="utf-8"))
    cause = stop.value.__cause__
    assert isinstance(cause, LivecellError)
    assert (cause.file, cause.found) == (page, r"\nosuch{y}")
    assert cause.line == 5 + before.count("\n")


def test_errors_are_collected_and_shown_where_they_arise() -> None:
    errors: list[LivecellError] = []
    site(errors=errors)
    page = render("$\\nosuch$ and $x$\n\n$$a_b_c$$\n")
    assert [error.found for error in errors] == [r"\nosuch", "a_b_c"]
    assert page.one("strong", "lc-problem").text == str(errors[0])
    assert page.one("div", "lc-problem").one("samp").text == str(errors[1])
    assert page.one("math").text == "x"


def test_without_a_site_a_bad_formula_stops_the_page_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fence.Stop, match="a formula cannot be converted"):
        render("$\\nosuch$")
