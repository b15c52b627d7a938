"""`make compare`: what it sees of a page, and that it finds every difference. Nothing is built."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "compare"
PAGE = """\
<html><head><title>No text</title></head><body><nav>Frame</nav><article>
<h1>Leaf&nbsp;tensors</h1><p>Two <b>wo</b>rds<br>more</p>
<script>let x = "<p>not this</p>"</script><style>p {}</style>
<div class="livecell"><pre>print(1)</pre><div class="lc-output"><samp>1</samp></div></div>
<svg><title>Graph</title></svg><span class="math"><math><mi>x</mi></math></span>
<aside class="site-home"><p>Notebook</p></aside>
</article></body></html>
"""


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    import compare as module

    yield module
    for name in ("compare", "visible"):
        sys.modules.pop(name)


def sites(root: Path, one: str, two: str) -> tuple[Path, Path]:
    for name, text in (("one", one), ("two", two)):
        (root / name).mkdir()
        (root / name / "index.html").write_text(text, encoding="utf-8")
    return root / "one", root / "two"


def found(compare: ModuleType, root: Path, one: str, two: str, **missing: str) -> list[str]:
    within = "article"
    return list(compare.differences(*sites(root, one, two), within, missing))


def test_what_a_reader_sees(compare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    page = compare.visible.read(tmp_path / "page.html", "article", frozenset({"site-home"}))
    assert " ".join(page.words) == "Leaf tensors Two words more print(1) 1 Graph x"
    assert page.things == {"cells": 1, "outputs": 1, "pictures": 1, "formulas": 1}
    assert page.left_out == {"site-home": 1}
    body = compare.visible.read(tmp_path / "page.html", "body")
    assert body.words[:3] == ["Frame", "Leaf", "tensors"]
    assert body.words[-1] == "Notebook"


def test_the_same_page_in_another_frame_is_the_same(compare: ModuleType, tmp_path: Path) -> None:
    other = PAGE.replace("Frame", "Other").replace("<p>Two ", '<p class="x">\n  Two ')
    assert found(compare, tmp_path, PAGE, other) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Two <b>", "Three <b>", "index.html: 'Three', not 'Two'"),
        ("more</p>", "more</p><p>extra</p>", "index.html: 'extra', not ''"),
        ("<samp>1</samp>", "<samp>2</samp>", "index.html: '2', not '1'"),
        ('class="livecell"', 'class="other"', "index.html: 0 cells, not 1"),
        ("<svg><title>Graph</title></svg>", "Graph", "index.html: 0 pictures, not 1"),
        ("<math><mi>x</mi></math>", "x", "index.html: 0 formulas, not 1"),
        ("<article>", "<div>", "index.html: '', not "),
    ],
)
def test_each_difference_is_found(
    old: str, new: str, told: str, compare: ModuleType, tmp_path: Path
) -> None:
    assert old in PAGE
    lines = found(compare, tmp_path, PAGE, PAGE.replace(old, new, 1))
    assert lines
    assert any(line.startswith(told) for line in lines), lines


def test_what_is_known_to_be_missing_is_no_difference_until_it_is_there(
    compare: ModuleType, tmp_path: Path
) -> None:
    bare = PAGE.replace('<aside class="site-home"><p>Notebook</p></aside>', "")
    gap = {"site-home": "the foot"}
    assert list(compare.differences(*sites(tmp_path, PAGE, bare), "article", gap)) == []
    (tmp_path / "more").mkdir()
    pair = sites(tmp_path / "more", PAGE, PAGE)
    assert list(compare.differences(*pair, "article", gap)) == ["index.html: 'Notebook', not ''"]


def test_pages_that_only_one_site_has_are_told(compare: ModuleType, tmp_path: Path) -> None:
    one, two = sites(tmp_path, PAGE, PAGE)
    (one / "a.html").write_text(PAGE, encoding="utf-8")
    (two / "b.html").write_text(PAGE, encoding="utf-8")
    lines = list(compare.differences(one, two, "article", {}))
    assert lines == ["a.html: only in one", "b.html: only in two"]


def test_a_folder_that_is_known_to_be_missing(compare: ModuleType, tmp_path: Path) -> None:
    one, two = sites(tmp_path, PAGE, PAGE)
    (one / "en" / "labs").mkdir(parents=True)
    (one / "en" / "labs" / "a.html").write_text(PAGE, encoding="utf-8")
    gap = {"labs/": "the labs"}
    assert list(compare.differences(one, two, "article", gap)) == []
    (two / "en" / "labs").mkdir(parents=True)
    (two / "en" / "labs" / "a.html").write_text(PAGE, encoding="utf-8")
    (told,) = compare.differences(one, two, "article", gap)
    assert told.startswith("en/labs/a.html: there by now")


def test_sites_without_text_do_not_pass(compare: ModuleType, tmp_path: Path) -> None:
    assert len(found(compare, tmp_path, "<p>x</p>", "<p>y</p>")) == 1


def test_every_generator_is_pinned(compare: ModuleType) -> None:
    assert {generator.name for generator in compare.GENERATORS} == set(compare.PINS)
