"""What a page's script for its twin holds: all of the prose, and no code."""

from __future__ import annotations

import json

import pytest

from livecell.mkdocs import beside

CODE = '<div class="language-python highlight"><pre>x</pre></div>'
OUTPUT = '<div class="lc-output"><div>1</div></div>'
CELL = f'<div class="livecell" data-cell="a:b">{CODE}{OUTPUT}</div>'


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (
            f"<p>one</p>{CELL}<p>two</p>",
            '<p>one</p><div class="livecell" data-cell="a:b"></div><p>two</p>',
        ),
        (CELL + CELL, '<div class="livecell" data-cell="a:b"></div>' * 2),
        (
            '<div class="admonition"><div class="math"><math>x</math></div><p>y</p></div>',
            '<div class="admonition"><div class="math"></div><p>y</p></div>',
        ),
        (
            '<div class="language-md highlight"><pre>&lt;div&gt;</pre></div>z',
            '<div class="language-md highlight"></div>z',
        ),
        ("", ""),
        ('<div class="livecell">never closed', '<div class="livecell">'),
    ],
)
def test_what_both_languages_share_is_left_out(content: str, kept: str) -> None:
    assert beside.prose(content) == kept


def test_the_script_hands_over_the_prose_character_for_character() -> None:
    content = '<p>“引号” \\ " \u2028 </script> &amp;</p>'
    script = beside.script(content)
    assert script.startswith("livecellTwin(")
    assert json.loads(script.removeprefix("livecellTwin(").rstrip().removesuffix(")")) == content


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("index.html", "index.twin.js"),
        ("a/index.html", "a/index.twin.js"),
        ("a/b.html", "a/b.twin.js"),
    ],
)
def test_the_script_stands_beside_its_page(page: str, name: str) -> None:
    assert beside.script_name(page) == name
