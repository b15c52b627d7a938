"""Snippets and pages, and the pages of both languages, are held to each other."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from livecell import CellResult, LivecellError, Result, Settings, check

SNIPPET = """\
# %% one
print(1)

# %% two
print(2)
"""
PAGE = """\
# {title}

## Part {{#part}}

```python exec="on" cell="s:one"
```

!!! note "{title}"

    `#!live s:one`

![{title}](plot.svg)

### Sub

```python exec="on" cell="s:two"
```
"""
ZH, EN = PAGE.format(title="标题"), PAGE.format(title="Title")


def project(root: Path, zh: str = ZH, en: str = EN, snippet: str = SNIPPET) -> Settings:
    files = {"snippets/s.py": snippet, "docs/zh/page.md": zh, "docs/en/page.md": en}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Settings.from_table(root, {"languages": ["zh", "en"]})


def places(errors: list[LivecellError], root: Path) -> list[tuple[str, int | None]]:
    return [(Path(str(e.file)).relative_to(root).as_posix(), e.line) for e in errors]


def test_matching_pages_give_no_error(tmp_path: Path) -> None:
    assert check.static(project(tmp_path)) == []


def test_a_site_in_one_language_has_no_twins(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "docs" / "page.md").write_text(EN, encoding="utf-8")
    single = Settings.from_table(tmp_path, {"docs": "docs/en"})
    assert check.static(single) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "found", "expected"),
    [
        ("s:one", "s:two", 5, "cell s:two", "cell s:one, as in docs/zh/page.md:5"),
        ("## Part {#part}", "### Part {#part}", 3, "heading ### #part", "heading ## #part"),
        ("{#part}", "{#teil}", 3, "heading ## #teil", "heading ## #part, as in docs/zh/page.md:3"),
        (" {#part}", "", 3, "heading ##", "heading ## #part"),
        ("!!! note", "!!! tip", 8, "box !!! tip", "box !!! note"),
        ("!!! note", "??? note", 8, "box ??? note", "box !!! note"),
        ("plot.svg", "plan.svg", 12, "image plan.svg", "image plot.svg"),
        ("![Title](plot.svg)\n", "", 13, "heading ###", "image plot.svg"),
        ("### Sub\n", "", 15, "cell s:two", "heading ###, as in docs/zh/page.md:14"),
        ('\n```python exec="on" cell="s:two"\n```', "", None, "nothing more", "cell s:two"),
        ("# Title\n", "# Title\n\n## More\n", 3, "heading ##", "heading ## #part"),
    ],
)
def test_the_first_difference_of_twins_is_told(
    old: str,
    new: str,
    line: int,
    found: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert old in EN
    errors = check.static(project(tmp_path, en=EN.replace(old, new, 1)))
    (error,) = [e for e in errors if "structure" in e.problem]
    assert (error.file, error.line) == (tmp_path / "docs/en/page.md", line)
    assert error.found == found
    assert error.expected is not None
    assert error.expected.startswith(expected)


def test_more_at_the_end_of_a_page_is_told(tmp_path: Path) -> None:
    (error,) = check.static(project(tmp_path, en=EN + "\n## More\n"))
    assert (error.line, error.found) == (19, "heading ##")
    assert error.expected is not None
    assert error.expected.startswith("nothing more")


def test_values_may_stand_in_any_order(tmp_path: Path) -> None:
    zh, en = (page + "\n`#!live s:one` `#!live s:two`\n" for page in (ZH, EN))
    other = EN + "\n`#!live s:two` `#!live s:one`\n"
    assert (
        check.static(project(tmp_path, zh, other)) == check.static(project(tmp_path, zh, en)) == []
    )


@pytest.mark.parametrize(("language", "other"), [("zh", "en"), ("en", "zh")])
def test_a_page_without_twin_is_told(
    language: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = project(tmp_path)
    extra = tmp_path / "docs" / language / "sub" / "extra.md"
    extra.parent.mkdir()
    extra.write_text("# Extra\n", encoding="utf-8")
    (error,) = check.static(settings)
    assert error.file == extra
    assert error.problem == "the page has no twin"
    assert error.expected == f"a page docs/{other}/sub/extra.md"


def test_every_language_is_compared(tmp_path: Path) -> None:
    project(tmp_path)
    de = tmp_path / "docs" / "de" / "page.md"
    de.parent.mkdir()
    de.write_text(EN.replace("!!! note", "!!! tip"), encoding="utf-8")
    languages = Settings.from_table(tmp_path, {"languages": ["zh", "en", "de"]})
    assert places(check.static(languages), tmp_path) == [("docs/de/page.md", 8)]


def test_a_cell_that_no_page_shows_is_told(tmp_path: Path) -> None:
    snippet = SNIPPET + "\n# %% three\nprint(3)\n"
    (error,) = check.static(project(tmp_path, snippet=snippet))
    assert places([error], tmp_path) == [("snippets/s.py", 8)]
    assert (error.cell, error.problem) == ("three", "no page shows this cell")
    assert error.todo is not None
    assert 'cell="s:three"' in error.todo


def test_a_value_alone_does_not_show_a_cell(tmp_path: Path) -> None:
    snippet = SNIPPET + "\n# %% three\nprint(3)\n"
    zh, en = (page + "\n`#!live s:three`\n" for page in (ZH, EN))
    (error,) = check.static(project(tmp_path, zh, en, snippet))
    assert error.problem == "no page shows this cell"


@pytest.mark.parametrize(
    ("reference", "problem", "todo"),
    [
        ("s:tow", "the snippet 's' has no cell 'tow'", "did you mean two?"),
        ("snip:two", "there is no snippet 'snip'", "known names: s"),
        ("two", "'two' names no snippet", "known names: s"),
    ],
)
def test_an_unknown_cell_is_told_with_the_nearest_names(
    reference: str, problem: str, todo: str, tmp_path: Path
) -> None:
    zh, en = (f"{p}\n`#!live {reference}`\n" for p in (ZH, EN))
    errors = check.static(project(tmp_path, zh, en))
    assert places(errors, tmp_path) == [("docs/zh/page.md", 19), ("docs/en/page.md", 19)]
    assert {(error.problem, error.todo) for error in errors} == {(problem, todo)}


def test_a_fence_that_would_show_no_cell_is_told(tmp_path: Path) -> None:
    zh, en = (page + '\n```python cell="s:one"\n```\n' for page in (ZH, EN))
    errors = check.static(project(tmp_path, zh, en))
    assert places(errors, tmp_path) == [("docs/zh/page.md", 19), ("docs/en/page.md", 19)]
    assert errors[0].found == '```python cell="s:one"'


def test_a_broken_snippet_is_told_once_however_often_it_is_cited(tmp_path: Path) -> None:
    errors = check.static(project(tmp_path, snippet="# %% one\nprint(\n"))
    assert places(errors, tmp_path) == [("snippets/s.py", 2)]


def test_a_page_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    settings = project(tmp_path)
    (tmp_path / "docs" / "zh" / "page.md").write_bytes(ZH.encode("gb18030"))
    assert places(check.static(settings), tmp_path) == [("docs/zh/page.md", 1)]


def test_results_serve_as_well_as_sources(tmp_path: Path) -> None:
    """After a run, the cells are known from its results; nothing is parsed again."""
    settings = project(tmp_path)
    result = Result("s", [CellResult("one", "", 2), CellResult("tow", "", 5)])
    errors = check.site(settings, lambda stem: result)
    assert places(errors, tmp_path) == [
        ("docs/zh/page.md", 16),
        ("docs/en/page.md", 16),
        ("snippets/s.py", 5),
    ]


BLOCKS = [
    "# One",
    "## Two",
    "## Two {#a}",
    "## Two {#b}",
    '```python exec="on" cell="s:one"\n```',
    '```python exec="on" cell="s:two"\n```',
    '!!! note "title"\n\n    text',
    '??? note "title"\n\n    text',
    '!!! tip "title"\n\n    ```python exec="on" cell="s:one"\n    ```',
    "![text](one.svg)",
    "![text](two.svg)",
]
PROSE = [
    "A sentence.",
    "一句话。",
    "- item\n- item",
    "```text\n# no heading\n```",
    "| a |\n|---|\n| 1 |",
]
page_blocks = st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=8)
prose = st.lists(st.sampled_from(PROSE), min_size=9, max_size=9)


def differences(zh: list[str], en: list[str], between: list[str]) -> list[LivecellError]:
    """How two pages with these blocks differ; `between` is prose of the second one only."""
    mixed = [part for pair in zip(between, [*en, ""], strict=False) for part in pair]
    with tempfile.TemporaryDirectory() as folder:
        errors = check.static(project(Path(folder), "\n\n".join(zh), "\n\n".join(mixed)))
    return [error for error in errors if "structure" in error.problem]


@settings(deadline=None, max_examples=60)
@given(page_blocks, prose)
def test_prose_makes_no_difference(blocks: list[str], between: list[str]) -> None:
    assert differences(blocks, blocks, between) == []


@settings(deadline=None, max_examples=60)
@given(page_blocks, prose, st.data())
def test_any_swap_makes_a_difference(
    blocks: list[str], between: list[str], data: st.DataObject
) -> None:
    one, two = (data.draw(st.integers(0, len(blocks) - 1)) for _ in range(2))
    assume(blocks[one] != blocks[two])
    swapped = list(blocks)
    swapped[one], swapped[two] = blocks[two], blocks[one]
    (error,) = differences(blocks, swapped, between)
    assert error.line is not None


@settings(deadline=None, max_examples=60)
@given(page_blocks, prose, st.data())
def test_any_block_left_out_makes_a_difference(
    blocks: list[str], between: list[str], data: st.DataObject
) -> None:
    left_out = data.draw(st.integers(0, len(blocks) - 1))
    assert len(differences(blocks, blocks[:left_out] + blocks[left_out + 1 :], between)) == 1
