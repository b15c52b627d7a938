"""Translations are kept true: a change on one side is told until it is accepted."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from livecell import LivecellError, Settings, lag, sources, twincheck
from livecell.accepted import Page

ROOT = Path(__file__).parents[2]
ZH = """\
---
description: 说明
---
# 标题

第一段。

第二段，有
两行。

## 列表 {#list}

- 甲
- 乙

| 表 | 头 |
|---|---|
| 一 | 行 |

```python exec="on" cell="s:one"
```

```python exec="on" cell="s:two" alt="图"
```

!!! note "框"

    框里的话。

<!-- 注释 -->
"""
EN = """\
---
description: what it says
---
# Title

Paragraph one.

Paragraph two, in
two lines.

## List {#list}

- first
- second

| table | head |
|---|---|
| one | row |

```python exec="on" cell="s:one"
```

```python exec="on" cell="s:two" alt="a picture"
```

!!! note "Box"

    Said in the box.
"""
Told = tuple[str, int | None, str]


class Pages:
    """A page in two languages, as its author changes it."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings.from_table(root, {"languages": ["zh", "en"]})
        for language, text in (("zh", ZH), ("en", EN)):
            file = self.file(language)
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8")

    def file(self, language: str) -> Path:
        return self.settings.docs / language / "page.md"

    def edit(self, language: str, old: str, new: str) -> None:
        self.edit_file(self.file(language), old, new)

    def edit_file(self, file: Path, old: str, new: str) -> None:
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def told(self) -> list[Told]:
        """Where something is wrong, and what, but without since when."""
        root = self.settings.root
        return [
            (Path(str(e.file)).relative_to(root).as_posix(), e.line, e.problem)
            for e in twincheck.check(self.settings)
        ]

    def accept(self, *targets: str) -> int:
        return sum(twincheck.accept(self.settings, targets).values())

    @property
    def record(self) -> str:
        return (self.settings.twins / "page.txt").read_text(encoding="utf-8")


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.chdir(tmp_path)
    return Pages(tmp_path)


LATE = "this passage has not kept up with its twin"


def test_a_site_that_records_nothing_is_not_bothered(book: Pages) -> None:
    assert book.told() == []
    assert lag.sections(book.settings, "page", "en") == ()


def test_passages_are_paired_one_by_one(book: Pages) -> None:
    pairs = Page(book.settings, sources.find(book.settings, "page")).pairs
    lines = [(pair.line(0), pair.line(1)) for pair in pairs]
    assert lines == [(n, n) for n in (1, 4, 6, 8, 11, 13, 14, 16, 18, 23, 26, 28)]
    assert {pair.state for pair in pairs} == {"new"}


def test_accepted_once_and_unchanged_nothing_is_told(book: Pages) -> None:
    assert book.accept() == 12
    assert book.told() == []
    first = book.record
    assert book.accept() == 0
    assert book.record == first
    assert first.count("\n# ") == 3  # what the file is, its languages, and the one section


@pytest.mark.parametrize(
    ("language", "old", "new", "line"),
    [
        ("zh", "第一段", "改过的第一段", 6),
        ("zh", "两行", "很多行", 8),
        ("zh", "说明", "新的说明", 1),
        ("zh", "# 标题", "# 新标题", 4),
        ("zh", "乙", "丙", 14),
        ("zh", "| 一 |", "| 二 |", 18),
        ("zh", 'alt="图"', 'alt="另一幅图"', 23),
        ("zh", '"框"', '"盒"', 26),
        ("zh", "框里的话", "框里的别的话", 28),
        ("en", "Paragraph one", "The first paragraph", 6),
        ("en", "second", "last", 14),
    ],
)
def test_the_side_that_did_not_change_is_stale(
    language: str, old: str, new: str, line: int, book: Pages
) -> None:
    book.accept()
    book.edit(language, old, new)
    other = "en" if language == "zh" else "zh"
    assert book.told() == [(f"docs/{other}/page.md", line, LATE)]
    assert lag.sections(book.settings, "page", language) == ()
    assert lag.sections(book.settings, "page", other) == ("" if line < 11 else "list",)


@pytest.mark.parametrize(
    ("language", "old", "new"),
    [
        ("zh", "第二段，有\n两行。", "第二段，\n有两行。"),
        ("zh", "第一段。", "第一 段。"),
        ("zh", "注释", "别的注释"),
        ("en", "in\ntwo lines", "in two\nlines"),
        ("en", "|---|---|", "| --- | --- |"),
    ],
)
def test_white_space_and_comments_do_not_count(
    language: str, old: str, new: str, book: Pages
) -> None:
    book.accept()
    book.edit(language, old, new)
    assert book.told() == []


def test_a_typo_is_accepted_without_touching_the_other_side(book: Pages) -> None:
    book.accept()
    before = book.record
    book.edit("en", "Paragraph one", "Paragraph 1")
    (warning,) = twincheck.check(book.settings)
    assert warning.todo is not None
    command = warning.todo.rpartition("livecell accept ")[2]
    assert command == "docs/zh/page.md:6"
    assert book.accept(command) == 1
    assert book.told() == []
    changed = set(before.splitlines()) ^ set(book.record.splitlines())
    assert len(changed) == 2  # one line of the record, old and new


def test_only_the_passage_named_is_accepted(book: Pages) -> None:
    book.accept()
    book.edit("en", "Paragraph one", "Paragraph 1")
    book.edit("en", "two lines", "2 lines")
    assert book.accept("docs/en/page.md:9") == 1  # the second line of the second paragraph
    assert book.told() == [("docs/zh/page.md", 6, LATE)]
    assert book.accept("page") == 1
    assert book.told() == []


def test_a_change_on_both_sides_is_no_delay_but_asks_to_be_recorded(book: Pages) -> None:
    book.accept()
    book.edit("en", "Paragraph one", "Another")
    book.edit("zh", "第一段", "另一段")
    ((file, line, problem),) = book.told()
    assert (file, line) == ("docs/zh/page.md", 6)
    assert problem.startswith("1 passage(s) are new")
    assert lag.sections(book.settings, "page", "en") == ()
    assert lag.sections(book.settings, "page", "zh") == ()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_paragraph_added_on_one_side_is_told(language: str, book: Pages) -> None:
    book.accept()
    book.edit(language, "\n## ", "\nnew one\n\n## ")
    other = "en" if language == "zh" else "zh"
    assert book.told() == [(f"docs/{other}/page.md", 4, LATE)]
    book.accept(f"docs/{other}/page.md:8")
    assert book.told() == []
    book.edit(other, "\n## ", "\nits twin\n\n## ")
    assert book.told() == [(f"docs/{language}/page.md", 11, LATE)]  # the others are single again
    assert book.accept() == 1
    assert book.told() == []


def test_a_paragraph_removed_on_one_side_is_told(book: Pages) -> None:
    book.accept()
    book.edit("en", "Paragraph one.\n\n", "")
    assert len(book.told()) == 1


def test_a_paragraph_put_back_on_one_side_only_is_told(book: Pages) -> None:
    book.accept()
    book.edit("zh", "第一段。", "别的。")
    book.edit("en", "Paragraph one.", "Other.")
    old = book.record
    book.accept()
    (book.settings.twins / "page.txt").write_text(book.record + old, encoding="utf-8")  # merged
    assert book.told() == []
    book.edit("en", "Other.", "Paragraph one.")
    ((_, line, problem),) = book.told()
    assert (line, problem) == (6, "this passage and its twin were not accepted together")


def test_sections_may_move_together(book: Pages) -> None:
    book.accept()
    for language in ("zh", "en"):
        text = book.file(language).read_text(encoding="utf-8")
        start, end = text.index("- "), text.index("\n\n| ")
        moved = text[:start] + text[end:].replace("\n!!!", "\n" + text[start:end] + "\n\n!!!")
        book.file(language).write_text(moved, encoding="utf-8")
    assert book.told() == []


def test_since_when_is_read_from_git(book: Pages) -> None:
    def git(*arguments: str, day: str = "2026-01-01") -> str:
        who = {
            f"GIT_{role}_{what}": "a@b.c"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        when = {f"GIT_{role}_DATE": f"{day}T12:00:00Z" for role in ("AUTHOR", "COMMITTER")}
        command = ["git", "-c", "core.hooksPath=", *arguments]
        done = subprocess.run(
            command,
            cwd=book.settings.root,
            env=os.environ | who | when,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def expected() -> str:
        (warning,) = twincheck.check(book.settings)
        return str(warning.expected)

    book.accept()
    book.edit("zh", "第一段", "改过的第一段")
    assert "not committed" not in expected()  # no repository: the date of the file is all there is
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one", day="2026-02-01")
    commit = git("rev-parse", "--short", "HEAD")
    book.edit("zh", "乙", "丙")
    book.edit("en", "second", "third")
    book.accept("docs/en/page.md:14")
    git("commit", "-qam", "two", day="2026-03-01")
    assert f"since {commit} of 2026-02-01: 改过的第一段" in expected()
    book.edit("zh", "改过的第一段", "再改的第一段")
    assert "not committed yet: 再改的第一段" in expected()


def test_other_pages_are_not_held_back_by_a_broken_record(book: Pages) -> None:
    book.accept()
    record = book.settings.twins / "page.txt"
    record.write_text("<<<<<<< ours\n" + book.record, encoding="utf-8")
    ((file, line, problem),) = book.told()
    assert (file, line) == ("docs/twins/page.txt", 1)
    assert "cannot be read" in problem
    assert lag.sections(book.settings, "page", "en") == ()
    book.accept("page")
    assert book.told() == []


def test_records_of_pages_that_are_no_more_are_told_and_removed(book: Pages) -> None:
    book.accept()
    (book.settings.twins / "gone.txt").write_text("", encoding="utf-8")
    assert [file for file, *_ in book.told()] == ["docs/twins/gone.txt"]
    book.accept()
    assert book.told() == []


@pytest.mark.parametrize("target", ["pag", "docs/en/pag.md", "docs/en/page.md:7", "page:4"])
def test_what_cannot_be_accepted_is_refused(target: str, book: Pages) -> None:
    with pytest.raises(LivecellError):
        book.accept(target)


LAB = """\
# %% [markdown] lang="zh"
# # 题目
#
# 第一段。

# %% [markdown] lang="en"
# # A title
#
# Paragraph one.

# %% one
print(1)

# %% [markdown] lang="zh"
# ## 小节 {#part}
#
# 里面。

# %% [markdown] lang="en"
# ## Part {#part}
#
# Inside.
"""
LISTED = """\
topic:
  - id: leaf
    zh: 叶子
    zh_def: >-
      一个
      张量。
    zh_avoid: [叶]
    en: leaf
    en_def: A tensor.
  - id: graph
    zh: 图
    en: graph
"""


@pytest.fixture
def shared(book: Pages) -> Pages:
    """With a lab and a list, which hold both languages in one file."""
    for name, text in ("snippets/labs/l.py", LAB), ("docs/terms.yml", LISTED):
        file = book.settings.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    book.accept()
    return book


@pytest.mark.parametrize(
    ("name", "old", "new", "late"),
    [
        ("snippets/labs/l.py", "第一段", "改过的第一段", 9),
        ("snippets/labs/l.py", "Inside", "In there", 17),
        ("docs/terms.yml", "一个", "每一个", 9),
        ("docs/terms.yml", "en: graph", "en: a graph", 11),
    ],
)
def test_labs_and_lists_are_kept_true_as_well(
    name: str, old: str, new: str, late: int, shared: Pages
) -> None:
    assert shared.told() == []
    shared.edit_file(shared.settings.root / name, old, new)
    assert shared.told() == [(name, late, LATE)]
    if name.endswith(".py"):
        language, section = ("en", "") if late == 9 else ("zh", "part")
        assert lag.sections(shared.settings, "labs/l", language) == (section,)
    assert shared.accept(f"{name}:{late}") == 1
    assert shared.told() == []


def test_every_field_of_the_site_s_lists_has_a_twin() -> None:
    settings = Settings.load(ROOT)
    lists = [name for name in sources.names(settings) if name.endswith(".yml")]
    assert len(lists) > 5
    for name in lists:
        text = (settings.docs / name).read_text(encoding="utf-8")
        twins = list(sources.find(settings, name).twins())
        assert len(twins) == len(
            re.findall(r"(?m)^ +(?:- )?zh(?!_also|_avoid|_except)\w*:", text)
        ), name
        assert all(all(groups) for groups in twins), name


def test_words_to_avoid_have_no_twin(shared: Pages) -> None:
    shared.edit_file(shared.settings.docs / "terms.yml", "[叶]", "[叶, 子]")
    assert shared.told() == []


def test_what_cannot_be_read_keeps_its_record(shared: Pages) -> None:
    (shared.settings.docs / "terms.yml").write_text("{", encoding="utf-8")
    (shared.settings.root / "snippets/labs/l.py").write_text("1 +", encoding="utf-8")
    assert [file for file, *_ in shared.told()] == ["snippets/labs/l.py"]
    shared.accept("page")
    assert (shared.settings.twins / "terms.yml.txt").is_file()
    with pytest.raises(LivecellError):
        shared.accept()
    assert (shared.settings.twins / "labs/l.txt").is_file()


def test_the_notice_leads_to_the_sections_that_are_late() -> None:
    assert lag.notice((), {}, "en") == ""
    said = lag.notice(("", "a"), {"a": "A &amp; B", "b": "B"}, "en")
    assert '<a href="#a">A &amp; B</a>.' in said
    assert "B</a>, " not in said
    assert "另一种语言" in lag.notice(("a",), {"a": "甲"}, "zh")
