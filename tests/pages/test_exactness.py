"""What a program prints reaches the reader exactly."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.pages.corpus import NASTY, shown
from tests.pages.rendering import cell, converter, error, parse, render, site, stream

from livecell import CellResult
from livecell.comments import select

FENCE = '```python exec="on" cell="s:a"\n```'
CONTEXTS = {
    "alone": "{}",
    "between paragraphs": "before\n\n{}\n\nafter",
    "after an abbreviation": "*[HTML]: abbreviation\n*[x]: unknown\n\n{}",
    "box": '!!! note "title"\n\n    {}\n',
    "fold": '??? question "title"\n\n    before\n\n    {}\n\n    after\n',
    "box in a fold": '??? note "title"\n\n    !!! note "inner"\n\n        {}\n',
    "list": "- item\n\n    {}\n\n- item\n",
    "tight list": "1. item\n    {}\n2. item\n",
    "tab": '=== "one"\n\n    {}\n\n=== "two"\n\n    text\n',
    "quotation": "> before\n>\n> {}\n",
    "HTML": '<div markdown="1">\n\n{}\n\n</div>\n',
    "footnote": "text[^1]\n\n[^1]:\n    note\n\n    {}\n",
}
"""Where a fence may stand."""

characters = st.characters(exclude_categories=())
texts = st.lists(st.one_of(st.sampled_from(NASTY), st.text(characters)), max_size=6).map("".join)
lines = texts.map(lambda text: text.replace("\n", " "))
repeatable = settings(deadline=None, max_examples=150)


def page_with(fence: str, context: str) -> str:
    """The fence in its context, indented as it has to be there."""
    before = CONTEXTS[context].partition("{}")[0].rpartition("\n")[2]
    indent = before if not before.strip("> ") else ""
    return CONTEXTS[context].format(fence.replace("\n", "\n" + indent))


@repeatable
@given(texts, st.sampled_from(sorted(CONTEXTS)), st.sampled_from(["stdout", "stderr"]))
def test_printed_text_is_the_text_of_the_output(text: str, context: str, name: str) -> None:
    site(cell("a", stream(text, name)))
    page = render(page_with(FENCE, context))
    assert page.one("samp").text == shown(text)
    assert page.all("script") == page.all("math") == page.all("abbr") == []


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_each_nasty_text(text: str) -> None:
    traceback = f"ValueError: {text}".split("\n")
    cells = [
        cell("a", stream(text), stream(text, "stderr"), error(*traceback), source="s = 1\n" + text),
        cell("b", stream("x = " + text.replace("\n", " "))),
    ]
    site(*cells)
    page = render(FENCE + "\n\n`#!live s:b x`\n")
    code, value = page.all("code")
    assert [samp.text for samp in page.all("samp")] == [
        shown(text),
        shown(text),
        shown("\n".join(traceback)),
    ]
    assert code.text.removesuffix("\n") == shown("s = 1\n" + text).removesuffix("\n")
    assert value.text == shown(text.replace("\n", " ").strip(" \t"))
    assert page.all("script") == page.all("math") == page.all("h1") == []


@repeatable
@given(texts)
def test_a_traceback_is_the_text_of_the_output(text: str) -> None:
    site(cell("a", error(*text.split("\n")), raises="ValueError"))
    output = render(FENCE).one(css="lc-error")
    assert output.one("samp").text == shown(text)


@repeatable
@given(texts, st.sampled_from(["zh", "en", "fr"]))
@example("# zh: 一\n# en: one\nprint(1)", "en")
@example("x = '\u2028'\n# zh: 一\n# en: one", "zh")
def test_code_is_the_source_in_one_language(text: str, language: str) -> None:
    source = "s = 1\n" + text
    site(cell("a", source=source), language=language)
    expected = select(source, language, ("zh", "en"))
    assert render(FENCE).one("code").text.removesuffix("\n") == shown(expected).removesuffix("\n")


@repeatable
@given(lines)
def test_a_value_is_what_was_printed_behind_its_label(text: str) -> None:
    site(cell("a", stream(f"first = 1\nx.grad = {text}\nlast = 2\n")))
    page = render("# Heading\n\nThe value `#!live s:a x.grad` is here.\n")
    assert page.one("code").text == shown(text.strip(" \t"))


@pytest.mark.parametrize(
    "markdown",
    [
        "# Heading `#!live s:a x`",
        "| a | b |\n|---|---|\n| 1 | `#!live s:a x` |",
        "- item *emphasised `#!live s:a x`*",
        "[a link on `#!live s:a x`](https://example.org)",
        '??? question "title"\n\n    folded `#!live s:a x`',
        "text[^1]\n\n[^1]: note `#!live s:a x`",
    ],
    ids=["heading", "table", "emphasis", "link", "fold", "footnote"],
)
@pytest.mark.parametrize(
    "text", ["<b>&amp;</b>", "a|b*c*[d](e)$f$", "`#!live s:a x`", "\x02amp\x03"]
)
def test_a_value_is_exact_wherever_it_stands(markdown: str, text: str) -> None:
    site(cell("a", stream(f"x = {text}\n")))
    assert render(markdown).one("code").text == shown(text)


@repeatable
@given(lines.filter(str.strip))
def test_a_value_without_a_label_is_all_that_was_printed(text: str) -> None:
    site(cell("a", stream(text + "\n")))
    assert render("`#!live s:a`").one("code").text == shown(text)


def test_a_value_in_a_heading_is_exact_in_the_table_of_contents_too() -> None:
    site(cell("a", stream("x = <b>&amp;</b> \x02amp\x03 `y`\n")))
    render("## Heading `#!live s:a x` {#here}")
    (entry,) = converter().toc_tokens  # type: ignore[attr-defined]
    assert parse(entry["name"]).text == "Heading <b>&amp;</b> ␂amp␃ `y`"


def test_outputs_stand_in_the_order_in_which_they_were_made() -> None:
    outputs = [stream("1\n"), stream("2\n", "stderr"), stream("3\n"), error("4")]
    site(CellResult("a", "pass", 1, outputs=outputs))
    page = render(FENCE)
    assert [samp.text for samp in page.all("samp")] == ["1\n", "2\n", "3\n", "4"]
    kinds = [output.classes[1] for output in page.all(css="lc-output")]
    assert kinds == ["lc-stdout", "lc-stderr", "lc-stdout", "lc-error"]
