"""The drawing without a browser: well-formed, complete, the same every time."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from tests.gradgraph import examples

from gradgraph import record
from gradgraph.boxes import SPACE, number
from gradgraph.fold import fold
from gradgraph.graph import Graph, Value
from gradgraph.svg import description, draw, title

every = pytest.mark.parametrize("name", examples.ALL)
both = pytest.mark.parametrize("language", ["en", "zh"])


def seen(graph: Graph, language: str = "en") -> list[str]:
    """Texts that are not hidden."""
    found: list[str] = []

    def look(part: ElementTree.Element) -> None:
        if part.get("display") == "none":
            return
        if part.tag == "text":
            found.append((part.text or "").replace(SPACE, " ").strip())
        for child in part:
            look(child)

    look(ElementTree.fromstring(draw(graph, language)))
    return found


@every
@both
def test_it_is_well_formed_and_has_no_ids(name: str, language: str) -> None:
    graph = fold(examples.ALL[name](), language=language)
    svg = ElementTree.fromstring(draw(graph, language))
    assert svg.get("role") == "img"
    assert [child.tag for child in svg][:2] == ["title", "desc"]
    assert not [part for part in svg.iter() if part.get("id")]


@every
def test_the_same_graph_gives_the_same_bytes(name: str) -> None:
    graph = fold(examples.ALL[name]())
    assert draw(graph) == draw(graph)
    assert draw(graph) == draw(fold(examples.ALL[name]()))


@every
def test_the_end_of_the_last_pass_is_what_is_seen(name: str) -> None:
    graph = fold(examples.ALL[name]())
    run = graph.passes[-1]
    done = {step.node: step for step in run.steps}
    texts = seen(graph)
    for node in graph.nodes:
        if node.kind == "accumulate":
            grad = done[node.id].after if node.id in done else run.grads[node.id]
            first = number(grad)[0].text.replace(SPACE, " ") if grad else "None"
            assert f".grad = {first}" in texts
    for step in run.steps:
        for edge in graph.edges:
            if edge.source == step.node and edge.target is not None and step.sent:
                value = step.sent[edge.index]
                lines = [line.text for line in number(value)] if value else ["none"]
                assert all(line.replace(SPACE, " ").strip() in texts for line in lines)


def test_a_file_of_its_own_names_the_format_and_brings_its_style() -> None:
    graph = examples.linear()
    text = draw(graph, standalone=True)
    svg = ElementTree.fromstring(text)
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert ".gg-box" in text
    assert ".gg-stepper" not in text
    assert "xmlns" not in draw(graph)


def test_markup_in_names_is_text() -> None:
    x = examples.leaf(2.0)
    graph = record(x * x, names={'<b>&"': x})
    assert '<b>&" = 2.0' in seen(graph)


def test_the_picture_in_words() -> None:
    graph = examples.linear()
    assert title(graph, "en") == "Backward pass from z"
    assert title(graph, "zh") == "从 z 开始的反向传播"
    assert description(graph, "en") == (
        "The gradient enters at z (AddBackward0 (z)). "
        "AddBackward0 (z) leads to MulBackward0 (y) and b. MulBackward0 (y) leads to w. "
        "At the end b.grad = 1.0 and w.grad = 2.0."
    )


def test_what_is_saved_and_what_needs_no_gradient_has_its_name() -> None:
    texts = seen(examples.linear())
    assert "saves other: x = 2.0" in texts
    assert "x: no gradient" in texts
    assert "x：不需要梯度" in seen(examples.linear(), "zh")


def test_dtype_is_told_only_where_it_is_not_the_usual_one() -> None:
    assert not [text for text in seen(examples.linear()) if "float32" in text]
    assert "complex64" in seen(examples.complex_numbers())


@pytest.mark.parametrize(
    ("text", "shape", "lines"),
    [
        ("2.0", (), ["2.0"]),
        ("[1.0, 2.0]", (2,), ["[1.0, 2.0]"]),
        ("[[1.0, -2.0], [30.0, 4.0]]", (2, 2), ["[[ 1.0, -2.0],", " [30.0,  4.0]]"]),
        ("[[[1.0], [2.0]], [[3.0], [4.0]]]", (2, 2, 1),
         ["[[[1.0],", "  [2.0]],", " [[3.0],", "  [4.0]]]"]),
        ("[" + ", ".join(["[1.0]"] * 7) + "]", (7, 1), ["1.0 … 1.0", "7×1"]),
        ("[[nan, 2.0]" + ", [-inf, 3.0]" * 7 + "]", (8, 2), ["-inf … 3.0", "8×2"]),
        ("[]", (0,), ["[]"]),
    ],
)  # fmt: skip
def test_numbers_in_rows(text: str, shape: tuple[int, ...], lines: list[str]) -> None:
    value = Value(shape, "float32", [], text)
    assert [line.text.replace(SPACE, " ") for line in number(value)] == lines


def test_many_numbers_are_a_range_and_a_shape() -> None:
    value = Value((64, 32), "float32", None, "-1.2 … 3.4")
    assert [line.text for line in number(value)] == ["-1.2 … 3.4", "64×32"]


def test_drawing_needs_no_torch() -> None:
    code = """
import sys
sys.modules["torch"] = None
import types
package = types.ModuleType("gradgraph")
package.__path__ = [sys.argv[1]]
sys.modules["gradgraph"] = package
import gradgraph.page
"""
    import gradgraph

    subprocess.run([sys.executable, "-c", code, gradgraph.__path__[0]], check=True)
