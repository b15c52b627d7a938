"""Figures become SVG that is the same every time and fits into a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from tests.engine.project import Project, cell

from livecell import LivecellError, Result

Outcomes = dict[str, Result | LivecellError]

DRAW = """\
# %% one
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([0, 1], [0, 1], label="a < b & c")
axes.fill_between([0, 1], [0, 1], alpha=0.3, hatch="/")
axes.set_title("雅可比 $x^2$")
_ = axes.legend()

# %% shown_twice
print("before")
plt.plot([1, 2])
plt.show()
print("between")
plt.plot([2, 1])
plt.show()

# %% two_open
for number in (1, 2):
    plt.figure(number)
    plt.plot([number, 1], marker="o")

# %% none_left
print(plt.get_fignums())

# %% fails raises="ValueError"
plt.plot([1, 2])
plt.plot([1, 2], [1, 2, 3])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("figures")
    backend = DRAW.replace("\n", "\nimport matplotlib\nmatplotlib.use('agg')\n", 1)
    project = Project.make(root, {"draw": DRAW, "again": DRAW, "backend": backend})
    (root / "pyproject.toml").write_text(
        "[[tool.livecell.preload]]\nmodules = ['matplotlib.pyplot']\n"
    )
    return project


@pytest.fixture(scope="module")
def outcomes(project: Project) -> Outcomes:
    return project.outcomes()


def svgs(outcome: Result | LivecellError, *names: str) -> list[str]:
    assert isinstance(outcome, Result)
    return [
        output["data"]["image/svg+xml"]
        for part in outcome.cells
        for output in part.outputs
        if output["output_type"] == "display_data" and (not names or part.name in names)
    ]


def test_every_figure_is_shown_where_it_is_drawn(outcomes: Outcomes) -> None:
    kinds = [output["output_type"] for output in cell(outcomes["draw"], "shown_twice").outputs]
    assert kinds == ["stream", "display_data", "stream", "display_data"]
    assert len(svgs(outcomes["draw"], "one")) == 1
    assert len(svgs(outcomes["draw"], "two_open")) == 2
    assert cell(outcomes["draw"], "none_left").text() == "[]\n"


def test_a_figure_is_svg_that_stands_in_a_page(outcomes: Outcomes) -> None:
    for svg in svgs(outcomes["draw"]):
        assert svg.startswith("<svg")
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert "currentColor" in svg
        for unwanted in ("#010203", "<metadata", "<?xml", "<!DOCTYPE", "<script", "/tmp/"):
            assert unwanted not in svg


def test_ids_are_unique_and_found_on_a_page_with_all_figures(outcomes: Outcomes) -> None:
    page = "".join(svgs(outcomes["draw"]) + svgs(outcomes["again"]))
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) > 20
    assert len(set(ids)) == len(ids)
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)
    assert len(used) > 20
    assert {a or b for a, b in used} <= set(ids)


def test_figures_are_the_same_every_time(project: Project, outcomes: Outcomes) -> None:
    """In a fork and in an interpreter of its own: the same bytes."""
    assert svgs(project.run("draw", fork=False)) == svgs(outcomes["draw"])


def test_figures_differ_when_they_should(outcomes: Outcomes) -> None:
    """The comparison above can fail: other ids, because the stem is another."""
    assert svgs(outcomes["again"]) != svgs(outcomes["draw"])
    first, second = svgs(outcomes["draw"], "shown_twice")
    assert first != second


def test_another_backend_makes_no_difference(outcomes: Outcomes) -> None:
    drawn = [svg.replace('"backend-', '"draw-') for svg in svgs(outcomes["backend"], "two_open")]
    assert drawn
    assert re.findall(' d="(.*?)"', "".join(drawn), re.DOTALL) == re.findall(
        ' d="(.*?)"', "".join(svgs(outcomes["draw"], "two_open")), re.DOTALL
    )


def test_the_engines_own_style_is_used(outcomes: Outcomes) -> None:
    assert "#3f7fd9" in svgs(outcomes["draw"], "one")[0]
