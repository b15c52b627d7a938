"""The first mention of a term becomes a link with a card; `[TERMS]` becomes the list of terms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown import Markdown
from tests.pages import rendering
from tests.pages.rendering import Element, cell, parse, stream

from livecell import Settings, fence, terms

LIST = """\
graph:
  - id: leaf
    zh: 叶子张量
    zh_def: 没有记录来历的张量。
    zh_also: [叶子]
    en: leaf tensor
    en_def: A tensor with `requires_grad` & no history.
    en_also: [leaf]
    page: one#cells
  - id: non_leaf
    zh: 非叶子张量
    zh_def: 有来历的张量。
    en: non-leaf tensor
    en_def: A tensor with a history.
  - id: grad_fn
    zh: "`grad_fn`"
    zh_def: 节点。
    en: "`grad_fn`"
    en_def: A node.
    page: one
  - id: edge
    zh: 边
    zh_def: 节点之间的连接。
    en: edge
    en_def: A link between nodes.
    en_except: [edge case]
algebra:
  - id: jacobian
    zh: 雅可比矩阵
    zh_def: 全部偏导数。
    en: Jacobian matrix
    en_def: All partial derivatives.
    en_avoid: [Jacobi matrix]
  - id: vjp
    zh: 向量–雅可比积
    zh_def: 行向量乘以矩阵。
    zh_also: [VJP]
    en: vector–Jacobian product
    en_def: A row times the matrix.
    en_also: [VJP]
"""
Render = Callable[..., Element]
PREDICT = """\
!!! predict "leaf"

    A leaf.

    `1`
    :   leaf

    `#!live s:a x`
    :   leaf

    `2`
    :   leaf

    The leaf.
"""


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Renders a page of a site with these terms, in the folder of its language."""
    for name, text in {
        "terms.yml": LIST,
        "en/one.md": "# One & only {#top}\n",
        "zh/one.md": "---\ntitle: x\n---\n\n# 第一课\n",
    }.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    settings = Settings.from_table(tmp_path, {"languages": ["zh", "en"]})
    converter: Markdown = rendering.converter.__wrapped__()
    converter.registerExtensions(["livecell.glossary"], {})

    def convert(markdown: str, page: str = "two.md", language: str = "en") -> Element:
        rendering.site(
            cell("a", stream("x = leaf tensor\n"), source="leaf = 1"),
            language=language,
            page=settings.docs / language / page,
            terms=terms.load(settings),
        )
        return parse(converter.reset().convert(markdown))

    return convert


def links(page: Element) -> list[tuple[str, str]]:
    """What the terms of a page are linked to, and their words."""
    found = [term.one("a") for term in page.all(css="lc-term")]
    return [(link.attributes["href"].partition("#")[2], link.text) for link in found]


def test_the_first_mention_has_a_link_and_a_card(render: Render) -> None:
    page = render("A leaf tensor, and another leaf tensor.")
    term = page.one("span", "lc-term")
    link, card = term.one("a"), term.one(css="lc-card")
    assert (link.text, link.attributes["href"]) == ("leaf tensor", "glossary.md#leaf")
    assert link.attributes["aria-describedby"] == card.attributes["id"] == "lc-card-leaf"
    assert card.attributes["role"] == "tooltip"
    assert "hidden" in card.attributes
    assert "data-search-exclude" in card.attributes
    assert card.text == "leaf tensor 叶子张量A tensor with requires_grad & no history."
    assert card.one(css="lc-other").attributes["lang"] == "zh"
    assert card.one("code").text == "requires_grad"
    assert page.one("p").text == f"A leaf tensor{card.text}, and another leaf tensor."


def test_a_page_in_a_folder_finds_the_glossary(render: Render) -> None:
    page = render("A leaf.", page="deep/er/three.md")
    assert page.one("span", "lc-term").one("a").attributes["href"] == "../../glossary.md#leaf"


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("en", "Leaf Tensors", [("leaf", "Leaf Tensors")]),
        ("en", "two leaf\ntensors", [("leaf", "leaf\ntensors")]),
        ("en", "Jacobian matrices", [("jacobian", "Jacobian matrices")]),
        ("en", "a non-leaf tensor", [("non_leaf", "non-leaf tensor")]),
        ("en", "non-leaf", []),  # not a leaf
        ("en", "leaflet, cloverleaf, leaf_tensor, leaf-like, torch.leaf", []),
        ("en", "an edge case, then an edge", [("edge", "edge")]),
        ("en", "a VJP and a vector–Jacobian product", [("vjp", "VJP")]),
        ("en", "İ leaf ß edges", [("leaf", "leaf"), ("edge", "edges")]),
        ("zh", "凡是叶子张量都算", [("leaf", "叶子张量")]),
        ("zh", "叶子先来，叶子张量后到", [("leaf", "叶子")]),
        ("zh", "非叶子张量不是叶子", [("non_leaf", "非叶子张量"), ("leaf", "叶子")]),
        ("zh", "用 VJP 乘雅可比矩阵", [("vjp", "VJP"), ("jacobian", "雅可比矩阵")]),
        ("zh", "旁边、边界", []),  # one character is found inside of other words
        ("zh", "**叶子张量**，*雅可比矩阵*", [("leaf", "叶子张量"), ("jacobian", "雅可比矩阵")]),
        ("zh", "- 叶子\n- 向量–雅可比积", [("leaf", "叶子"), ("vjp", "向量–雅可比积")]),
    ],
)
def test_what_counts_as_a_mention(
    language: str, text: str, found: list[tuple[str, str]], render: Render
) -> None:
    assert links(render(text, language=language)) == found


@pytest.mark.parametrize(
    "text",
    [
        "# Leaf",
        "### A leaf\n\ntext",
        "`leaf`",
        "`#!live s:a x`",
        '```python exec="on" cell="s:a"\n```',
        "```text\nleaf\n```",
        "    leaf",
        "[leaf](one.md)",
        "<https://example.org/leaf>",
        "![leaf](leaf.png)",
        "$leaf$",
        "$$\nleaf\n$$",
        '!!! note "leaf"\n\n    text',
        '??? note "title"\n\n    leaf',
        PREDICT,
        "| leaf |\n|---|\n| leaf |",
        "&leaf; <b title='leaf'>x</b>",
        "<!-- leaf -->",
        "<div markdown class='no-terms'>leaf</div>",
    ],
)
def test_what_is_passed_over_is_no_mention(text: str, render: Render) -> None:
    page = render(f"$x$\n\n{text}\n\nAt last a leaf.")
    assert links(page) == [("leaf", "leaf")]
    assert page.all("p")[-1].all(css="lc-term") != []


def test_the_text_of_a_box_counts(render: Render) -> None:
    assert links(render('!!! note "title"\n\n    A leaf.')) == [("leaf", "leaf")]


def test_nothing_but_links_is_added(render: Render) -> None:
    text = "A *leaf **tensor***, `edge`, an edge & a [VJP](x.md) <b>Jacobian matrix</b>."
    page = render(text)
    for term in page.all(css="lc-term"):
        term.content = [
            content for content in term.content if content is not term.one(css="lc-card")
        ]
    fence.site = rendering.site()
    assert page.text == rendering.render(text).text


@given(st.lists(st.sampled_from(["leaf", "edge", "VJP", "叶子", "边", "x", "\n", "*a*", "`leaf`"])))
def test_each_term_is_linked_once(words: list[str]) -> None:
    """Where it stands first, whatever stands around it."""
    found = terms.Finder({"leaf": "leaf", "edge": "edge", "VJP": "vjp", "叶子": "leaf"})
    text = " ".join(words)
    spans = [(text[place], meaning) for place, meaning in found.find(text)]
    expected = [
        word.strip("`") for word in words if word.strip("`") in ["leaf", "edge", "VJP", "叶子"]
    ]
    assert [word for word, _ in spans] == expected


def test_the_glossary_itself_links_nothing(render: Render) -> None:
    assert links(render("A leaf.", page="glossary.md")) == []
    assert links(render("A leaf.", page="sub/glossary.md")) == [("leaf", "leaf")]


def test_a_language_without_terms_has_no_links(render: Render) -> None:
    assert links(render("A leaf.", language="de")) == []


# ------------------------------------------------------------------ the list
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_list_has_every_term_with_its_anchor(language: str, render: Render) -> None:
    page = render("# G\n\n[TERMS]\n", page="glossary.md", language=language)
    names = page.one("dl").all("dt")
    assert [name.attributes["id"] for name in names] == [
        *("leaf", "non_leaf", "grad_fn", "edge", "jacobian", "vjp")
    ]
    other = names[0].one(css="lc-other")
    assert other.attributes["lang"] == ("en" if language == "zh" else "zh")
    assert other.text == ("leaf tensor" if language == "zh" else "叶子张量")
    assert names[2].text == "grad_fn"  # the same in both languages: said once
    bodies = page.one("dl").all("dd")
    text, also, more = (part.text for part in bodies[0].all("p"))
    link = bodies[0].one("a")
    assert link.attributes["href"] == "one.md#cells"
    if language == "zh":
        assert (text, also, more) == ("没有记录来历的张量。", "也作：叶子", "详见：第一课")
    else:
        assert text == "A tensor with requires_grad & no history."
        assert (also, more) == ("also: leaf", "More in One & only")
    assert bodies[2].one("a").attributes["href"] == "one.md"
    assert [len(body.all("p")) for body in bodies] == [3, 1, 2, 1, 1, 2]


def test_a_list_may_show_one_topic(render: Render) -> None:
    page = render("[TERMS algebra]\n\ntext\n\n[TERMS graph]", page="glossary.md")
    lists = [[name.attributes["id"] for name in part.all("dt")] for part in page.all("dl")]
    assert lists == [["jacobian", "vjp"], ["leaf", "non_leaf", "grad_fn", "edge"]]


def test_an_unknown_topic_stops_the_page(render: Render) -> None:
    with pytest.raises(fence.Stop, match=r"no topic 'grap'(.|\n)*did you mean graph"):
        render("[TERMS grap]", page="one.md")


def test_the_marker_stands_alone(render: Render) -> None:
    assert render("See [TERMS].", page="glossary.md").all("dl") == []
    assert render("```text\n[TERMS]\n```", page="glossary.md").all("dl") == []
    assert render("`[TERMS]`", page="glossary.md").all("dl") == []
