"""A lesson is light to load, and clean on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, expect
from tests.support.serving import host

from livecell import headers

MOST = 250 * 1024
PAGES = ["", "scalar_backward/", "vector_backward/", "errors/", "errors/leaf/", "read_a_graph/"]
LANGUAGES = pytest.mark.parametrize("language", ["", "en/"], ids=["zh", "en"])


@pytest.fixture(scope="module")
def home(site: Path) -> Iterator[str]:
    with host(site, headers.read(site)) as address:
        yield address


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 412, "height": 823})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", PAGES)
@LANGUAGES
def test_the_first_view_is_light(name: str, language: str, tab: Page, home: str) -> None:
    answers: list[Response] = []
    tab.on("response", lambda answer: answers.append(answer))
    tab.goto(f"{home}/{language}{name}", wait_until="networkidle")
    sizes = {
        answer.url.removeprefix(home): int(answer.headers["content-length"])  # compressed
        for answer in answers
        if answer.url.startswith(home)
    }
    assert sum(sizes.values()) <= MOST, sizes
    assert not any("search_index" in url for url in sizes), "the index waits for a search"


def test_the_index_comes_when_somebody_is_about_to_search(tab: Page, home: str) -> None:
    tab.goto(f"{home}/en/", wait_until="networkidle")
    with tab.expect_response("**/search_index.json"):
        tab.locator("label[for=__search]").first.click()


@LANGUAGES
def test_paper_shows_the_lesson_and_nothing_else(language: str, tab: Page, home: str) -> None:
    tab.emulate_media(media="print", color_scheme="dark")
    tab.goto(f"{home}/{language}vector_backward/")
    folds = tab.locator("article details")
    assert folds.count() > 3
    for fold in folds.all():
        inside = fold.locator(":scope > :not(summary)").first
        box = inside.bounding_box()
        assert box is not None
        assert box["height"] > 5, fold.inner_text()
    for gone in (".md-header", ".md-sidebar", ".md-footer__link", ".md-top", ".md-code__nav"):
        for part in tab.locator(gone).all():
            expect(part).to_be_hidden()
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert [int(part) > 240 for part in paper[4:-1].split(",")] == [True] * 3, "never printed dark"
    pdf = tab.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 412


def test_folds_are_open_on_paper_without_a_script(
    browser_without_script: Page, address: str
) -> None:
    tab = browser_without_script
    tab.emulate_media(media="print")
    tab.goto(f"{address}/en/vector_backward/")
    box = tab.locator("article details > :not(summary)").first.bounding_box()
    assert box is not None
    assert box["height"] > 5


def test_pictures_have_a_size_before_they_come(site: Path) -> None:
    for path in site.rglob("*.html"):
        for image in re.findall("<img [^>]*>", path.read_text(encoding="utf-8")):
            known = all(f"{side}=" in image for side in ("width", "height")) or "data:" in image
            assert known or "mark.svg" in image, (path, image[:200])
