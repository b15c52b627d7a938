"""`mkdocs build`: what it publishes, and that it publishes nothing broken."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from tests.support.book import Book


def test_both_languages_show_the_run(book: Book) -> None:
    code, log = book.build("--strict")
    assert code == 0, log
    for prefix, comment, other in (("", "问候", "greeting<"), ("en/", "a greeting", "问候")):
        page = book.page(f"{prefix}one")
        assert "<samp>greeting = hello one\n</samp>" in page
        assert "<code>hello one</code>" in page
        assert "ZeroDivisionError: division by zero" in page
        assert comment in page
        assert other not in page
    assert "Part" in book.page("en/one")
    assert "部分" in book.page("one")
    assert not (book.root / ".cache/livecell/staging").exists() or not list(
        (book.root / ".cache/livecell/staging").iterdir()
    )


def test_two_builds_give_the_same_bytes(book: Book) -> None:
    book.build()
    first = book.files()
    book.build()
    warm = book.files()
    for path in (book.root / ".cache").rglob("*"):
        if path.is_file():
            path.unlink()
    book.build()
    cold = book.files()
    dated = {name for name in first if "sitemap" in name}
    assert dated
    for other in (warm, cold):
        assert set(other) == set(first)
        assert [n for n in first if n not in dated and first[n] != other[n]] == []


BROKEN = {
    "unknown cell": ("docs/en/one.md", 'cell="one:greet"', 'cell="one:gret"', "did you mean greet"),
    "unknown snippet": ("docs/zh/one.md", "one:greet", "on:greet", "did you mean one"),
    "value": ("docs/en/one.md", "greet greeting", "greet salute", "labelled 'salute'"),
    "no twin": ("docs/en/one.md", "## Cells {#cells}", "## Cells {#cell}", "differs in structure"),
    "raises": ("snippets/one.py", "1 / 0", "1 / 1", "should raise ZeroDivisionError"),
    "exception": ("snippets/one.py", 'name = "one"', "name = 1", "raised TypeError"),
    "syntax": ("snippets/one.py", "1 / 0", "1 /", "is not Python"),
    "comment": ("snippets/one.py", "# en: a greeting\n", "", "has no twin"),
    "unused": ("snippets/one.py", "# %% fails", "# %% extra\nx = 1\n\n# %% fails", "no page shows"),
    "option": ("docs/zh/one.md", 'cell="one:greet"', 'cell="one:greet" colour="red"', "'colour'"),
}


@pytest.mark.parametrize(
    ("case", "strict"),
    [*((case, []) for case in BROKEN), ("value", ["--strict"]), ("exception", ["--strict"])],
)
def test_an_error_stops_the_build_and_leaves_the_site_alone(
    case: str, strict: list[str], book: Book
) -> None:
    file, old, new, message = BROKEN[case]
    published = book.root / "site" / "index.html"
    published.parent.mkdir()
    published.write_text("what readers see")
    book.edit(file, old, new)
    code, log = book.build(*strict)
    assert code != 0
    assert message in log
    assert re.search(rf"{re.escape(file)}:\d+", log), log
    assert book.files() == {"index.html": b"what readers see"}
    stored = list((book.root / ".cache/livecell/results").rglob("*.json"))
    assert any("two" in path.read_text(encoding="utf-8") for path in stored)
    assert book.processes() == []


def test_all_errors_are_reported_at_once(book: Book) -> None:
    book.edit("docs/en/one.md", "one:fails", "one:fail")
    book.edit("docs/zh/two.md", "greet greeting", "greet salute")
    book.edit("snippets/two.py", "1 / 0", "1 / 1")
    code, log = book.build()
    assert code != 0
    for place in ("docs/en/one.md:", "snippets/two.py:"):
        assert place in log
    assert log.count("should raise ZeroDivisionError") == 1


def test_a_warning_under_strict_leaves_the_site_alone(book: Book) -> None:
    book.write("site/index.html", "what readers see")
    book.edit("docs/en/index.md", "one.md", "nowhere.md")
    code, log = book.build("--strict")
    assert code != 0, log
    assert book.files() == {"index.html": b"what readers see"}
    code, log = book.build()
    assert code == 0, log


def test_two_builds_at_once(book: Book) -> None:
    builds = [book.start("build", "--site-dir", f"site{i}") for i in range(2)]
    for process in builds:
        log, _ = process.communicate(timeout=120)
        assert process.returncode == 0, log
    pages = [(book.root / f"site{i}/en/one/index.html").read_bytes() for i in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("after", [0.2, 0.6, 1.0, 1.4])
def test_a_killed_build_harms_nothing(after: float, book: Book) -> None:
    book.write("site/index.html", "what readers see")
    process = book.start("build")
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    files = book.files()
    assert files == {"index.html": b"what readers see"} or "en/one/index.html" in files
    code, log = book.build()
    assert code == 0, log
    assert list((book.root / ".cache/livecell/staging").iterdir()) == []
    assert book.processes() == []
