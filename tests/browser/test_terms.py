"""Terms in a real browser: the card by pointer, keys and touch, with and without the script."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.support.accessibility import violations

LANGUAGES = pytest.mark.parametrize("language", ["", "en/"], ids=["zh", "en"])
LESSON = "scalar_backward/"


def first(tab: Page) -> tuple[Locator, Locator]:
    """The link and the card of the first term on the page."""
    term = tab.locator(".lc-term").first
    return term.locator("a"), term.locator(".lc-card")


@LANGUAGES
def test_the_pointer_opens_a_card(language: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{language}{LESSON}")
    link, card = first(tab)
    expect(card).to_be_hidden()
    link.hover()
    expect(card).to_be_visible()
    card.hover()  # it stays while it is read
    tab.wait_for_timeout(400)
    expect(card).to_be_visible()
    tab.locator("h1").hover()
    expect(card).to_be_hidden()


@LANGUAGES
def test_focus_opens_a_card_and_escape_shuts_it(language: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{language}{LESSON}")
    link, card = first(tab)
    link.focus()
    expect(card).to_be_visible()
    tab.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(link).to_be_focused()
    tab.keyboard.press("Tab")
    expect(tab.locator(".lc-card:visible")).not_to_have_attribute(
        "id", str(card.get_attribute("id"))
    )
    tab.keyboard.press("Shift+Tab")
    expect(card).to_be_visible()


def test_escape_shuts_a_card_under_the_pointer_once(tab: Page, address: str) -> None:
    tab.goto(f"{address}/{LESSON}")
    link, card = first(tab)
    link.hover()
    expect(card).to_be_visible()
    tab.keyboard.press("Escape")
    expect(card).to_be_hidden()
    tab.locator("h1").hover()
    link.hover()
    expect(card).to_be_visible()


@LANGUAGES
def test_a_screen_reader_is_told_the_definition(language: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{language}{LESSON}")
    link, card = first(tab)
    definition = card.evaluate("card => card.lastChild.textContent")
    expect(link).to_have_accessible_description(re.compile(re.escape(definition)))
    expect(link).to_have_accessible_name(str(link.text_content()))
    assert card.locator("[lang]").get_attribute("lang") == ("zh" if language else "en")


@LANGUAGES
def test_the_link_leads_to_the_entry_and_back_to_the_lesson(
    language: str, tab: Page, address: str
) -> None:
    tab.goto(f"{address}/{language}{LESSON}")
    link = tab.locator(".lc-term > a[href$='#leaf']")
    link.click()
    expect(tab).to_have_url(f"{address}/{language}glossary/#leaf")
    entry = tab.locator("dt#leaf")
    expect(entry).to_be_in_viewport()
    assert entry.bounding_box()["y"] > 40  # type: ignore[index]  # not under the header
    tab.locator("dt#leaf + dd a").click()
    expect(tab).to_have_url(f"{address}/{language}{LESSON}#leaves")


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


@LANGUAGES
def test_one_tap_shows_the_card_and_a_second_one_follows_the_link(
    language: str, phone: Page, address: str
) -> None:
    phone.goto(f"{address}/{language}{LESSON}")
    link, card = first(phone)
    link.tap()
    expect(card).to_be_visible()
    box = card.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    phone.locator("h1").tap()
    expect(card).to_be_hidden()
    link.tap()
    expect(card).to_be_visible()
    expect(phone).to_have_url(f"{address}/{language}{LESSON}")
    link.tap()
    phone.wait_for_url(f"{address}/{language}glossary/#*")


def test_every_card_fits_a_narrow_window(phone: Page, address: str) -> None:
    phone.set_viewport_size({"width": 320, "height": 600})
    phone.goto(f"{address}/en/{LESSON}")
    links = phone.locator(".lc-term > a")
    assert links.count() > 8
    for number in range(links.count()):
        links.nth(number).focus()
        card = links.nth(number).locator("xpath=following-sibling::*")
        expect(card).to_be_visible()
        box = card.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 600
    assert phone.evaluate("document.documentElement.scrollWidth") <= 320


def test_cards_need_no_script(browser_without_script: Page, address: str) -> None:
    tab = browser_without_script
    tab.goto(f"{address}/{LESSON}")
    link, card = first(tab)
    expect(card).to_be_hidden()
    link.hover()
    expect(card).to_be_visible()
    tab.locator("h1").hover()
    link.focus()
    expect(card).to_be_visible()
    link.click()
    tab.wait_for_url(f"{address}/glossary/#*")


def test_a_card_is_no_part_of_what_is_copied_or_printed(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/{LESSON}")
    link, card = first(tab)
    tab.evaluate("getSelection().selectAllChildren(document.querySelector('article'))")
    assert str(card.text_content()) not in tab.evaluate("getSelection().toString()")
    link.focus()
    tab.emulate_media(media="print")
    expect(card).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@LANGUAGES
def test_an_open_card_and_the_glossary_are_accessible(
    language: str, scheme: str, tab: Page, address: str
) -> None:
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    tab.goto(f"{address}/{language}{LESSON}")
    link, card = first(tab)
    link.focus()
    expect(card).to_have_css("opacity", "1")
    tab.wait_for_timeout(500)  # until it has faded in
    for path in (LESSON, "glossary/"):
        if path != LESSON:
            tab.goto(f"{address}/{language}{path}")
        assert violations(tab) == []


@LANGUAGES
def test_the_glossary_has_no_cards_and_fits_a_phone(language: str, tab: Page, address: str) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(f"{address}/{language}glossary/")
    assert tab.locator(".lc-term").count() == 0
    assert tab.locator("dl.lc-terms > dt").count() >= 60
    assert tab.evaluate("document.documentElement.scrollWidth") <= 391
    other = "en" if not language else "zh"
    assert tab.locator(f"dt small[lang={other}]").count() > 40
