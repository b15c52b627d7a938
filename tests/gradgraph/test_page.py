"""The figure around the drawing, and the story in its table."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
import torch
from tests.gradgraph import examples

from gradgraph import record
from gradgraph.graph import Graph
from gradgraph.page import asset, render
from gradgraph.words import WORDS, listed, word

every = pytest.mark.parametrize("name", examples.ALL)
both = pytest.mark.parametrize("language", ["en", "zh"])


def rows(graph: Graph, language: str = "en") -> list[list[str]]:
    """The text of the table's cells; equations and remarks on lines of their own."""
    body = re.sub(r".*<tbody>", "<tbody>", render(graph, language), count=1)
    found = []
    for row in re.findall(r"<tr.*?</tr>", body):
        cells = re.findall(r"<t[hd].*?</t[hd]>", row)
        found.append(
            [unescape(re.sub(r"<[^>]+>", "", c.replace("</p>", "\n"))).strip() for c in cells]
        )
    return found


@every
@both
def test_it_is_one_line_without_ids(name: str, language: str) -> None:
    html = render(examples.ALL[name](), language)
    assert "\n" not in html
    assert not re.search(r"\sid=", html)
    assert f'lang="{language}"' in html


@every
def test_it_is_the_same_every_time(name: str) -> None:
    assert render(examples.ALL[name]()) == render(examples.ALL[name]())


def test_each_language_says_the_same_things() -> None:
    parts = {
        language: {key: sorted(re.findall(r"{\w+}", text)) for key, text in words.items()}
        for language, words in WORDS.items()
    }
    for key, names in parts["en"].items():
        assert set(names) >= set(parts["zh"][key]), key
    assert parts["en"].keys() == parts["zh"].keys()


def test_chinese_has_no_space_beside_its_punctuation() -> None:
    for name in examples.ALL:
        for row in rows(examples.ALL[name](), "zh"):
            assert not re.search(r"[（），。：] | [（），。：]", " ".join(row[1:2]))


def test_an_unknown_language_is_told_in_english() -> None:
    assert word("play", "fr") == word("play", "en-GB") == "Play"


@pytest.mark.parametrize(
    ("items", "english", "chinese"),
    [([], "", ""), (["a"], "a", "a"), (["a", "b", "c"], "a, b and c", "a，b，c")],
)
def test_lists(items: list[str], english: str, chinese: str) -> None:
    assert (listed(items, "en"), listed(items, "zh")) == (english, chinese)


def test_the_local_rule_with_the_numbers_of_the_run() -> None:
    assert rows(examples.linear())[3] == [
        "Step 3 of 4",
        "MulBackward0 (y) receives 1.0 and sends 2.0 to w.",
        "∂L/∂self = grad · other = 1.0 · 2.0 = 2.0\nself is w, other is x",
    ]


def test_what_l_is() -> None:
    assert rows(examples.linear())[0][2] == "L = z"
    assert rows(examples.matrices())[0][2] == "L = sum([[1.0, 1.0], [1.0, 1.0]] · c)"
    assert rows(examples.outputs())[0][2] == "L = sum([1.0, 1.0] · a) + b"
    assert rows(examples.chain())[0][2] == ""


def test_gradients_that_meet_are_added() -> None:
    assert rows(examples.fork())[-1][2] == (
        "grad = 1.0 + 3.0 + 3.0 = 7.0\nx.grad = 7.0\n"
        "grad is the sum of all gradients that arrive here.\n"
        "There was no .grad yet, so the gradient becomes .grad."
    )


def test_a_sum_that_a_hook_changed_is_not_claimed() -> None:
    x = examples.leaf(3.0)
    middle = x * 1
    middle.register_hook(lambda grad: grad * 10)
    told = "\n".join(row[2] for row in rows(record(middle * middle, x=x)))
    assert "60.0" in told
    assert "= 3.0 + 3.0" not in told


def test_a_node_without_a_rule_says_so() -> None:
    graph = examples.linear()
    bare = [step._replace(rules=()) for step in graph.steps]
    table = rows(replace(graph, passes=(replace(graph.passes[0], steps=tuple(bare)),)))
    assert (
        table[3][2] == "There is no rule for MulBackward0 here; the numbers are what PyTorch sent."
    )


def test_a_function_of_ones_own_says_so() -> None:
    rules = [row[2] for row in rows(examples.own_function())]
    assert "The backward method of this Function decides what is sent." in rules


def test_no_gradient_reaches_a_leaf() -> None:
    sentences = [row[1] for row in rows(examples.own_function())]
    assert "No gradient reaches unused: unused.grad stays None." in sentences


def test_a_second_pass_adds_to_grad() -> None:
    x = examples.leaf(2.0)
    (x * x).backward()
    table = rows(record(x * 3, x=x))
    assert table[0][1].endswith("Not cleared: x.grad = 4.0.")
    assert table[-1][1] == "x.grad: 4.0 + 3.0 = 7.0."
    assert table[-1][2].startswith("x.grad = 4.0 + 3.0 = 7.0")


def test_a_negative_term_is_in_parentheses() -> None:
    x = examples.leaf(2.0)
    assert "grad = 1.0 + (-2.0) = -1.0" in rows(record(x - x * 2, x=x))[-1][2]


def test_long_tensors_are_in_the_rule_and_not_in_the_sentence() -> None:
    x = torch.arange(12.0).mul(1.111).requires_grad_()
    last = rows(record((x * x).sum(), x=x))[-1]
    assert last[1] == "x.grad becomes a gradient of shape 12."
    assert "24.44]" in last[2]


def test_a_notebook_gets_style_and_script_with_it() -> None:
    html = render(examples.linear(), standalone=True)
    assert asset("stepper.css") in html
    assert asset("stepper.js") in html
    assert html.count("<script>") == 1


def test_a_graph_without_any_pass_is_a_picture_only() -> None:
    html = render(replace(examples.linear(), passes=()))
    assert "<svg" in html
    assert "gg-stepper" not in html
    assert "<table" not in html


def test_the_note_of_a_large_graph_is_in_the_pages_language() -> None:
    assert "<figcaption>The graph has 603 nodes" in render(examples.loop())
    assert "<figcaption>这张图共有 603 个节点" in render(examples.loop(), "zh")


def test_several_results_are_told_apart() -> None:
    sentences = [row[1] for row in rows(examples.unnamed())]
    received = "result 0: 3.0 and result 1: no gradient"
    assert f"UnbindBackward0 receives {received} and sends [3.0, 0.0] to leaf." in sentences
    x = examples.leaf([1.0, 2.0])
    one, two = x.unbind()
    rule = [row[2] for row in rows(record(one * two, x=x)) if row[1].startswith("Unbind")]
    assert "stack(2.0" not in rule[0]  # which of the two gradients?
