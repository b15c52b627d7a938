"""A page says to its reader that its twin has changed."""

from __future__ import annotations

from tests.support.book import Book, Server

from livecell import Settings, twincheck


def accept(book: Book) -> None:
    twincheck.accept(Settings.load(book.root))


def test_a_stale_page_says_so_and_is_built(book: Book) -> None:
    accept(book)
    book.build("--strict")
    assert b'lc-lag"' not in b"".join(
        content for name, content in book.files().items() if name.endswith(".html")
    )
    book.edit("docs/en/one.md", "The value:", "Its value is")
    code, log = book.build("--strict")
    assert code == 0, log
    assert '<p class="lc-lag" role="note" data-search-exclude>另一种语言的版本' in book.page("one")
    assert '<a href="#cells">Cells</a>。' in book.page("one")
    for page in ("en/one", "two", "en/two"):
        assert 'class="lc-lag"' not in book.page(page)
    assert "另一种语言" not in book.files()["search/search_index.json"].decode()


def test_a_site_without_records_says_nothing(book: Book) -> None:
    book.edit("docs/en/one.md", "The value:", "Its value is")
    book.build()
    assert 'class="lc-lag"' not in book.page("one")


def test_it_comes_and_goes_under_serve(book: Book) -> None:
    accept(book)
    server = Server(book)
    try:
        server.wait_for("/one/", "lc-lag", gone=True)
        book.edit("docs/en/one.md", "The value:", "Its value is")
        server.wait_for("/one/", 'class="lc-lag"')
        server.wait_for("/en/one/", 'class="lc-lag"', gone=True)
        accept(book)
        server.wait_for("/one/", 'class="lc-lag"', gone=True)
    finally:
        server.stop()
