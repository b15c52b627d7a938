"""What a page cites, read from its source, is what the page shows."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import markdown_exec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from tests.pages.rendering import cell, render, site, stream

from livecell import LivecellError, pages

FENCE = '```python exec="on" cell="s:a"\n```'


def blocks(text: str) -> list[tuple[str, str, int]]:
    return [(block.kind, block.key, block.line) for block in pages.parse(text)]


PAGE = """\
---
description: not a heading
# neither is this
---

# Title {#title}

Text `#!live s:a x`, then `` `#!live s:no x` `` and
a value `#!live s:b
y` over two lines.

```python exec="on" cell="s:a"
```

??? question "Predict `#!live s:c z`"

    ![a plot](plot.svg "title")

    ```python exec="on" cell="s:b" show="output" alt="cell='s:no'"
    ```

## Part

```text
# no heading
!!! note
![no](image.png)
`#!live s:no x`
```

!!! note inline "Note"
    text

Underlined
----------

<!--
# no heading
-->
"""


def test_everything_is_found_with_its_line() -> None:
    assert blocks(PAGE) == [
        ("heading", "# #title", 6),
        ("value", "s:a", 8),
        ("value", "s:b", 9),
        ("cell", "s:a", 12),
        ("value", "s:c", 15),
        ("box", "??? question", 15),
        ("image", "plot.svg", 17),
        ("cell", "s:b", 19),
        ("heading", "##", 22),
        ("box", "!!! note", 31),
        ("heading", "##", 35),
    ]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("# One", "#"),
        ("#### Four ####", "####"),
        ("## With id {#here}", "## #here"),
        ("## With more { .css #here-2 key='value' }", "## #here-2"),
        ("##\tTab", "##"),
        ("    ### In a box", "###"),
    ],
)
def test_headings(line: str, key: str) -> None:
    assert blocks(line) == [("heading", key, 1)]


@pytest.mark.parametrize(
    "text", ["#no space", "####### seven", "text # text", "\\# escaped", "  # x"]
)
def test_no_headings(text: str) -> None:
    assert blocks(text) == []


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("!!! note", "!!! note"),
        ('!!!tip "Title"', "!!! tip"),
        ('??? "Title only"', "??? "),
        ("???+ success", "???+ success"),
        ("    !!! misconception end", "!!! misconception"),
    ],
)
def test_boxes(line: str, key: str) -> None:
    assert blocks(line) == [("box", key, 1)]


NESTED = f"""\
- item

    {FENCE.replace(chr(10), chr(10) + "    ")}

> quotation
>
> {FENCE.replace(chr(10), chr(10) + "> ")}

1. !!! note

        {FENCE.replace(chr(10), chr(10) + "        ")}

\t{FENCE.replace(chr(10), chr(10) + chr(9))}
"""


def test_fences_inside_other_things() -> None:
    assert [b for b in blocks(NESTED) if b[0] == "cell"] == [
        ("cell", "s:a", 3),
        ("cell", "s:a", 8),
        ("cell", "s:a", 13),
        ("cell", "s:a", 16),
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"````md\n{FENCE}\n````",
        f"~~~\n{FENCE}\n~~~",
        f"```text\n{FENCE.replace('```', '````')}\n```",
        '    ````md\n    ```python exec="on" cell="s:a"\n    ```\n    ````',
        "``` python",
        "````python exec='on'\n```\n````",
    ],
)
def test_a_fence_in_a_fence_is_text(text: str) -> None:
    assert blocks(text) == []


@pytest.mark.parametrize(
    "text",
    [
        '```python cell="s:a"\n```',  # exec is missing
        '```python exec="off" cell="s:a"\n```',
        '```bash exec="on" cell="s:a"\n```',
        '```python exec=on cell="s:a"\n```',  # quotation marks are missing
        '```python exec="on" cell="s:a",\n```',
        '```python exec="on" cell="s:a"',  # never closed
        '    ```python exec="on" cell="s:a"\n```',  # closed too far left
        '```python exec="on" cell="s:a"\n````',  # closed by another mark
        '```{.python cell="s:a"}\n```',
        '```exec="on" cell="s:a"\n```',
    ],
)
def test_a_line_that_only_looks_like_the_fence_of_a_cell_is_stray(text: str) -> None:
    assert [kind for kind, _, line in blocks(text) if line == 1] == ["stray"]
    site(cell("a", stream("1")), errors=[])
    assert render(text).all(css="livecell") == []


def test_a_page_must_be_utf_8(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes("# 标题\n\n正文\n".encode("gb18030"))
    with pytest.raises(LivecellError, match=r"page\.md:1: the page is not UTF-8"):
        pages.read(page)


def test_a_byte_order_mark_and_windows_lines_change_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(b"\xef\xbb\xbf" + PAGE.replace("\n", "\r\n").encode())
    assert pages.read(page) == pages.parse(PAGE)


def test_a_lone_backtick_hides_nothing() -> None:
    text = "a lone ` backtick\n\n# Title\n\n`code`, and `` another\n\n![image](x.png) ``\n"
    assert blocks(text) == [("heading", "#", 3), ("image", "x.png", 7)]


def test_only_line_feeds_end_a_line() -> None:
    assert blocks("one\u2028two\x0cthree\x85four\n\n# Title") == [("heading", "#", 3)]


LINES = [
    "",
    "text",
    "text `code` and `#!live s:a`",
    "`#!live s:b",
    "# Heading",
    '!!! note "title"',
    "??? question",
    "- item",
    "> quotation",
    "<!-- comment -->",
    '```python exec="on" cell="s:a"',
    '```python exec="on" cell="s:b" show="code"',
    '~~~python exec="on" cell="s:b"',
    '````python exec="on" cell="s:a"',
    '``` { .python exec="on" cell="s:a" }',
    "```python",
    "````md",
    "```",
    "~~~",
    "````",
]
line = st.tuples(st.sampled_from(["", "    ", "        ", "> ", "  "]), st.sampled_from(LINES))
fence = st.tuples(st.sampled_from(["", "    ", "> "]), st.sampled_from(["s:a", "s:b"])).map(
    lambda drawn: f'{drawn[0]}```python exec="on" cell="{drawn[1]}"\n{drawn[0]}```'
)
text = st.lists(st.one_of(line.map("".join), fence), max_size=12).map("\n".join)


@settings(deadline=None, max_examples=200)
@given(text)
def test_the_cells_of_the_source_are_those_that_markdown_exec_hands_over(markdown: str) -> None:
    site(errors=[])
    handed_over = []

    def note(extra: dict[str, str], **_: object) -> Markup:
        handed_over.append(extra.get("cell"))
        return Markup("<div></div>")

    with patch.dict(markdown_exec.formatters, python=note):
        render(markdown)
    found = [block.key for block in pages.parse(markdown) if block.kind == "cell"]
    assert found == handed_over
