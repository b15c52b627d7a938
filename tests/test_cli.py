"""The command line: run · check · diff · new."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.book import Book

from livecell import cli


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    monkeypatch.chdir(tmp_path)
    return Book(tmp_path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_run_tells_each_snippet_and_where_it_came_from(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run"]) == 0
    first = said(capsys)
    assert "one" in first
    assert first.count(" run") >= 2
    assert cli.main(["run", "one"]) == 0
    again = said(capsys)
    assert "from store" in again
    assert "two" not in again
    assert cli.main(["run", "--no-cache", "-j", "1", "one"]) == 0
    assert "from store" not in said(capsys)


def test_run_fails_when_a_snippet_does_and_keeps_the_others(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    book.edit("snippets/one.py", "1 / 0", "1 / 1")
    assert cli.main(["run"]) == 1
    text = said(capsys)
    assert "snippets/one.py:8 (cell fails): the cell should raise ZeroDivisionError" in text
    assert cli.main(["run", "two"]) == 0
    assert "from store" in said(capsys)


def test_unknown_stems_get_the_nearest_names(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "onee"]) == 1
    assert "did you mean one?" in said(capsys)


def test_check_runs_nothing_and_finds_what_shows_without_running(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check"]) == 0
    assert not (book.root / ".cache").exists()
    book.edit("docs/en/one.md", "one:fails", "one:fail")
    book.edit("snippets/two.py", "# en: a greeting\n", "")
    assert cli.main(["check"]) == 1
    text = said(capsys)
    assert "docs/en/one.md:" in text
    assert "did you mean fails?" in text
    assert "snippets/two.py:2 (cell greet): a comment has no twin" in text


def test_diff_shows_what_changed_against_the_approved_outputs(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["diff", "one"]) == 1
    assert "+greeting = hello one" in said(capsys)
    book.write(
        "tests/transcripts/one.txt",
        "# %% greet\ngreeting = hello 1\n\n# %% fails\n"
        "[error] Traceback (most recent call last):\n"
        '[error]   File "snippets/one.py", line 8, in <module>\n'
        "[error]     1 / 0\n"
        "[error] ZeroDivisionError: division by zero\n",
    )
    assert cli.main(["diff", "one"]) == 1
    text = said(capsys)
    assert "-greeting = hello 1\n+greeting = hello one\n" in text
    assert "-[error]" not in text
    book.edit("tests/transcripts/one.txt", "hello 1\n", "hello one\n")
    assert cli.main(["diff", "one"]) == 0


def test_a_new_lesson_is_whole_and_builds(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.edit("mkdocs.yml", "nav: [index.md, 部分: [one.md, two.md]]", "nav:\n  - index.md")
    assert cli.main(["new", "graph_lifetime"]) == 0
    assert "docs/en/graph_lifetime.md" in said(capsys)
    assert cli.main(["check"]) == 0
    code, log = book.build()
    assert code == 0, log
    for prefix in ("", "en/"):
        page = book.page(f"{prefix}graph_lifetime")
        assert "<samp>answer = 42\n</samp>" in page
        assert "<code>42</code>" in page
    test = book.root / "tests" / "test_graph_lifetime.py"
    assert subprocess.run([sys.executable, test], check=False).returncode == 0


NAV = """\
nav:
  - index.md
  - Part:
      - one.md
  # the last part
  - Other:
      - two.md

plugins: {}
"""


def test_new_adds_the_page_to_nav_and_keeps_the_rest(book: Book) -> None:
    book.write("mkdocs.yml", "# a comment\n" + NAV)
    assert cli.main(["new", "three"]) == 0
    text = (book.root / "mkdocs.yml").read_text(encoding="utf-8")
    assert text == "# a comment\n" + NAV.replace("two.md\n", "two.md\n  - three.md\n")


def test_new_leaves_a_nav_it_cannot_extend_and_says_so(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (book.root / "mkdocs.yml").read_text(encoding="utf-8")
    assert cli.main(["new", "three"]) == 0
    assert (book.root / "mkdocs.yml").read_text(encoding="utf-8") == before
    assert "nav" in said(capsys)


@pytest.mark.parametrize("stem", ["Graph", "1st", "a-b", "../x", "", "one"])
def test_new_refuses_what_it_cannot_make(
    stem: str, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(book.root.rglob("*"))
    assert cli.main(["new", stem]) == 1
    assert said(capsys)
    assert sorted(book.root.rglob("*")) == before
