"""`mkdocs serve`: every save reaches the reader, errors are shown, and the next good save heals."""

from __future__ import annotations

import signal
import time

from tests.support.book import Book, Server, visible_text


def test_edits_reach_the_pages(book: Book, server: Server) -> None:
    book.edit("docs/en/one.md", "The value", "The new value")
    server.wait_for("/en/one/", "The new value")
    book.edit("docs/zh/one.md", "The value", "新的值")
    server.wait_for("/one/", "新的值")
    book.edit("snippets/one.py", 'name = "one"', 'name = "uno"')
    server.wait_for("/one/", "hello uno")
    server.wait_for("/en/one/", "hello uno")
    assert "hello two" in server.get("/two/")
    book.edit("docs/en/two.md", "# Two en", "# Deux")  # a title stands on other pages too
    server.wait_for("/en/one/", "Deux")


def test_refreshed_pages_are_those_of_a_full_build(book: Book, server: Server) -> None:
    book.edit("docs/en/one.md", "The value", "Revised")
    server.wait_for("/en/one/", "Revised")
    book.edit("snippets/two.py", 'name = "two"', 'name = "zwei"')
    server.wait_for("/en/two/", "hello zwei")
    book.write("site/.keep", "")
    assert book.build()[0] == 0
    for url in ("/", "/one/", "/two/", "/en/", "/en/one/", "/en/two/"):
        served = visible_text(server.get(url))
        assert served == visible_text(book.page(url.strip("/") or "."))
    index = server.get("/en/search/search_index.json")
    assert index.count("Revised") == 1
    assert "zwei" in index
    assert "hello two" not in index


def test_an_error_is_shown_and_the_next_good_save_heals(book: Book, server: Server) -> None:
    book.edit("snippets/one.py", "1 / 0", "1 / 1")
    for url in ("/one/", "/en/one/"):
        server.wait_for(url, "should raise ZeroDivisionError")
    assert "should raise ZeroDivisionError" in server.log.read_text()
    assert "hello two" in server.get("/two/")
    book.edit("snippets/one.py", "1 / 1", "1 / 0")
    for url in ("/one/", "/en/one/"):
        server.wait_for(url, "should raise", gone=True)
        assert "division by zero" in server.get(url)
    book.edit("docs/en/one.md", "one:fails", "one:fail")
    server.wait_for("/en/one/", "did you mean fails")
    book.edit("docs/en/one.md", "one:fail", "one:fails")
    server.wait_for("/en/one/", "did you mean", gone=True)


def test_a_broken_configuration_does_not_end_the_server(book: Book, server: Server) -> None:
    book.edit("mkdocs.yml", "site_name: Book", "site_name: [Book")
    deadline = time.monotonic() + 30
    while "could not be rebuilt" not in server.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "hello one" in server.get("/one/")
    book.edit("mkdocs.yml", "site_name: [Book", "site_name: Buch")
    server.wait_for("/one/", "Buch")
    server.wait_for("/en/one/", "Buch")


def test_new_files_appear(book: Book, server: Server) -> None:
    text = (book.root / "snippets/one.py").read_text(encoding="utf-8")
    book.write("snippets/three.py", text.replace("one", "three"))
    for language in ("zh", "en"):
        page = (book.root / f"docs/{language}/one.md").read_text(encoding="utf-8")
        book.write(f"docs/{language}/three.md", page.replace("one:", "three:"))
    for url in ("/three/", "/en/three/"):
        server.wait_for(url, "hello three")


def test_nothing_is_left_behind(book: Book) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        server = Server(book)
        book.edit("snippets/one.py", "hello", "hello")
        server.stop(number)
        deadline = time.monotonic() + 10
        while book.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert book.processes() == []
