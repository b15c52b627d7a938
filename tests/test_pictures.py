"""Every picture on the site ends with what the tensors' `.grad` really were."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

import gradgraph
from gradgraph import Graph, Value
from gradgraph.boxes import number
from gradgraph.values import value
from gradgraph.walk import walk
from livecell import Runner, Settings, cells

SETTINGS = Settings.load()
STEMS = [
    stem for stem in SETTINGS.stems() if "gradgraph" in SETTINGS.snippet(stem).read_text("utf-8")
]

Grads = list[Value | None]
"""The `.grad` of every leaf of a graph, in the order of its nodes."""


@pytest.fixture
def truth(monkeypatch: pytest.MonkeyPatch) -> dict[int, Grads]:
    """What the leaves of each recorded graph held when its backward pass was over."""
    found: dict[int, Grads] = {}
    kept: list[Graph] = []  # an id is good for as long as the object lives
    record, then = gradgraph.record, Graph.then

    def recorded(outputs: Any, /, **options: Any) -> Graph:
        graph = record(outputs, **options)
        starts = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        leaves = [node.variable for node in walk(starts).nodes if hasattr(node, "variable")]
        found[id(graph)] = [value(leaf.grad) for leaf in leaves]
        kept.append(graph)
        return graph

    def joined(graph: Graph, other: Graph) -> Graph:
        both = then(graph, other)
        found[id(both)] = found[id(other)]
        kept.append(both)
        return both

    monkeypatch.setattr(gradgraph, "record", recorded)
    monkeypatch.setattr(Graph, "then", joined)
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Lessons print, warn, seed, and change settings; none of it outlives them."""
    rng, dtype = torch.get_rng_state(), torch.get_default_dtype()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True):
        warnings.simplefilter("default")
        try:
            yield
        finally:
            torch.set_rng_state(rng)
            torch.set_default_dtype(dtype)
            torch.autograd.set_detect_anomaly(False)


def shown_graphs(stem: str) -> Iterator[tuple[str, Graph]]:
    """Run a snippet cell by cell; the cells whose last value is a graph, and that graph."""
    names: dict[str, object] = {"__name__": "__main__"}
    path = SETTINGS.snippet(stem)
    for cell in cells.read(path, SETTINGS.languages):
        body = ast.increment_lineno(ast.parse(cell.source), cell.line).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        try:
            exec(compile(ast.Module(body, []), str(path), "exec"), names)
            value_of = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
            shown = eval(compile(value_of, str(path), "eval"), names) if value_of else None
        except Exception:
            assert cell.raises, cell.name
            continue
        if isinstance(shown, Graph):
            yield cell.name, shown


def ends(html: str) -> list[str]:
    """What the leaves of a picture say of their `.grad` when nobody has pressed a button."""
    svg = re.search(r"<svg.*?</svg>", html, re.DOTALL)
    assert svg
    tree = ElementTree.fromstring(svg[0])
    said = []
    for node in tree.iter():
        if "gg-of-accumulate" in node.get("class", ""):
            (state,) = (g for g in node if g.get("data-state") and g.get("display") != "none")
            said.append(" ".join((text.text or "").strip() for text in state))
    return said


def expected(grad: Value | None) -> str:
    lines = " ".join(line.text.strip() for line in number(grad)) if grad else "None"
    return f".grad = {lines}"


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize("stem", STEMS)
def test_the_last_frame_is_the_grad_of_the_tensors(
    stem: str, runner: Runner, truth: dict[int, Grads]
) -> None:
    result = runner.result(stem)
    with quiet():
        for name, graph in shown_graphs(stem):
            cell = result.cell(name)
            assert cell
            data = next(o["data"] for o in cell.outputs if "data" in o)
            for language in SETTINGS.languages:
                picture = data[f"text/html;lang={language}"]
                got = [plain(one) for one in ends(picture)]
                assert got == [plain(expected(grad)) for grad in truth[id(graph)]], name


def test_there_are_pictures_and_a_wrong_one_is_noticed(truth: dict[int, Grads]) -> None:
    w = torch.tensor(3.0, requires_grad=True)
    graph = gradgraph.record(w * 2, w=w)
    picture = graph._repr_html_()
    assert ends(picture) == [expected(*truth[id(graph)])] == [".grad = 2.0"]
    assert ends(picture.replace(".grad = 2.0", ".grad = 3.0")) != [expected(*truth[id(graph)])]
    assert len(STEMS) > 5
