"""Styles and scripts that a site takes from Python packages."""

from __future__ import annotations

import pytest
from tests.support.book import Book


@pytest.fixture
def package(book: Book, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with assets that cannot be imported: the build must not try."""
    folder = book.root / "lib" / "drawing"
    (folder / "assets").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "assets" / "look.css").write_text("p { color: red }\n")
    (folder / "assets" / "move.js").write_text("document.title += '!'\n")
    monkeypatch.setenv("PYTHONPATH", str(book.root / "lib"))
    return "drawing"


def name_packages(book: Book, *names: str) -> None:
    config = book.root / "mkdocs.yml"
    twins = "livecell: {twins: {en: mkdocs.en.yml}"
    text = config.read_text("utf-8")
    assert twins in text
    config.write_text(text.replace(twins, f"{twins}, packages: [{', '.join(names)}]"), "utf-8")


def test_every_page_loads_them_and_the_site_has_them_once(book: Book, package: str) -> None:
    name_packages(book, package)
    code, log = book.build("--strict")
    assert code == 0, log
    for page, root in (("one", "../"), ("en/one", "../")):
        html = book.page(page)
        assert html.count(f'href="{root}assets/drawing/look.css"') == 1
        assert html.count(f'src="{root}assets/drawing/move.js" defer') == 1
    files = book.files()
    assert files["assets/drawing/look.css"] == b"p { color: red }\n"
    assert "assets/drawing/__init__.py" not in files


@pytest.mark.parametrize("name", ["json", "no_such_package", "math"])
def test_a_package_without_assets_is_an_error_that_says_what_to_do(name: str, book: Book) -> None:
    name_packages(book, name)
    code, log = book.build()
    assert code != 0
    assert repr(name) in log
    assert "Traceback" not in log
    assert "take it out of mkdocs.yml" in log
