"""A reader answers a question before the output shows: by mouse, by keyboard, without a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.pages.rendering import cell, converter, site, stream
from tests.support.accessibility import violations

from livecell import fence
from livecell.mkdocs.assets import OWN

HOST = "http://predict.test/"
PAGE = """<!doctype html><html lang="en"><title>Predict</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="livecell.css"><script defer src="predict.js"></script>
<style>:root {{ color-scheme: light dark }}
body {{ font: 16px sans-serif; color: CanvasText; background: Canvas }}</style>
<main><h1>Predict</h1>{body}</main></html>"""
BOX = """\
!!! predict "What is `x + {n}`?"

    `{n}`
    :   That is the other part.

    `#!live s:add x + {n}`
    :   One is added.

    `None`
    :   The cell prints.

    ```python exec="on" cell="s:add" show="output"
    ```

"""
Open = Callable[..., Page]


@pytest.fixture
def show(browser: Browser) -> Iterator[Open]:
    """Opens a page with two boxes; fails the test on an error or a foreign request."""
    trouble: list[str] = []
    opened = []
    site(cell("add", stream("x + 1 = 2\nx + 2 = 3\n")))
    body = converter().reset().convert(BOX.format(n=1) + BOX.format(n=2))
    fence.site = None

    def show(**how: Any) -> Page:
        context = browser.new_context(**how)
        opened.append(context)

        def answer(route: Route) -> None:
            file = route.request.url.removeprefix(HOST)
            if not file:
                text = PAGE.format(body=body)
                route.fulfill(body=text, content_type="text/html; charset=utf-8")
            elif file in ("livecell.css", "predict.js"):
                route.fulfill(path=OWN / file)
            else:
                trouble.append(route.request.url)
                route.abort()

        page = context.new_page()
        page.route("**/*", answer)
        page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(HOST)
        return page

    yield show
    for context in opened:
        context.close()
    assert trouble == []


def box(page: Page, number: int = 0) -> Locator:
    return page.locator(".lc-predict").nth(number)


def seen(page: Page, selector: str) -> list[bool]:
    """Whether each match can be seen."""
    script = "all => all.map(one => one.checkVisibility({contentVisibilityAuto: true}))"
    found: list[bool] = page.locator(selector).evaluate_all(script)
    return found


def test_at_first_a_reader_sees_questions_and_choices_only(show: Open) -> None:
    page = show()
    assert seen(page, ".admonition-title") == [True] * 2
    assert seen(page, ".lc-choice > summary") == [True] * 6
    assert seen(page, ".lc-reveal > summary") == [True] * 2
    assert seen(page, ".lc-why") == [False] * 6
    assert seen(page, "samp") == [False] * 2


LOOK = """all => all.map(one => JSON.stringify(
    [one, one.querySelector("summary")].flatMap(part => ["", "::before", "::after"].map(pseudo => {
        const style = getComputedStyle(part, pseudo)
        return ["content", "color", "backgroundColor", "borderColor", "borderWidth", "fontWeight",
            "opacity", "outline", "transform"].map(name => style[name])
    }))))"""


def test_closed_choices_look_alike_and_open_ones_do_not(show: Open) -> None:
    page = show()
    choices = box(page).locator(".lc-choice")
    assert len(set(choices.evaluate_all(LOOK))) == 1
    for choice in choices.all():
        choice.locator("summary").click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)  # colours change slowly
    wrong, right, other = choices.evaluate_all(LOOK)
    assert wrong == other != right


def test_a_click_opens_the_reason_and_the_output_of_its_box_only(show: Open) -> None:
    page = show()
    box(page, 1).locator(".lc-choice > summary").nth(0).click()
    expect(box(page, 1).locator("samp")).to_be_visible()
    assert seen(page, ".lc-why") == [False, False, False, True, False, False]
    assert seen(page, "samp") == [False, True]
    why = box(page, 1).locator(".lc-why").first
    assert why.inner_text() == "✗ Not this one. That is the other part."


def test_a_second_choice_may_be_opened_and_the_output_shut_again(show: Open) -> None:
    page = show()
    first, second, _ = box(page).locator(".lc-choice > summary").all()
    first.click()
    expect(box(page).locator("samp")).to_be_visible()
    second.click()
    assert seen(page, ".lc-why")[:3] == [True, True, False]
    box(page).locator(".lc-reveal > summary").click()
    expect(box(page).locator("samp")).to_be_hidden()
    first.click()  # shutting a choice does not open the output
    page.wait_for_timeout(100)
    expect(box(page).locator("samp")).to_be_hidden()


def test_the_output_can_be_opened_without_an_answer(show: Open) -> None:
    page = show()
    box(page).locator(".lc-reveal > summary").click()
    expect(box(page).locator("samp")).to_be_visible()
    assert seen(page, ".lc-why") == [False] * 6


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_answers(key: str, show: Open) -> None:
    page = show()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focus = page.locator(":focus")
    assert focus.inner_text() == "2"
    page.keyboard.press(key)
    expect(box(page).locator("samp")).to_be_visible()
    assert seen(page, ".lc-why")[:3] == [False, True, False]
    assert "Right." in box(page).locator(".lc-why").nth(1).inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focus.inner_text() == "Show the output"


def test_without_a_script_all_are_plain_folds(show: Open) -> None:
    page = show(java_script_enabled=False)
    choice = box(page).locator(".lc-choice").nth(1)
    choice.locator("summary").click()
    expect(choice.locator(".lc-why")).to_be_visible()
    expect(box(page).locator("samp")).to_be_hidden()
    box(page).locator(".lc-reveal > summary").click()
    expect(box(page).locator("samp")).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_on_paper_all_is_open(script: bool, show: Open) -> None:
    page = show(java_script_enabled=script)
    page.emulate_media(media="print")
    for locator in (*page.locator(".lc-why").all(), *page.locator("samp").all()):
        expect(locator).to_be_visible()
    assert [s.is_visible() for s in page.locator(".lc-reveal > summary").all()] == [False] * 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_open_and_shut(scheme: Any, show: Open) -> None:
    page = show(color_scheme=scheme)
    group = page.get_by_role("group", name="What is x + 1?")
    assert group.locator(".lc-choice").count() == 3
    for _ in range(2):
        assert violations(page) == []
        for summary in box(page).locator(".lc-choice > summary").all():
            summary.click()
        page.wait_for_timeout(300)


def test_the_check_for_accessibility_can_fail(show: Open) -> None:
    page = show()
    page.evaluate("document.querySelector('.lc-choice > summary').replaceChildren()")
    assert violations(page) != []


def test_it_fits_a_phone(show: Open) -> None:
    page = show(viewport={"width": 360, "height": 700})
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for summary in page.locator(".lc-choice > summary").all():
        size = summary.bounding_box()
        assert size is not None
        assert size["height"] >= 32  # a finger must hit it


def test_on_the_site_an_answer_opens_the_output_too(tab: Page, address: str) -> None:
    for language in ("", "en/"):
        tab.goto(f"{address}/{language}scalar_backward/")
        assert tab.locator(".lc-predict").count() >= 2
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            first = box(tab)
            if scheme == "light":
                expect(first.locator("samp").first).to_be_hidden()
                first.locator(".lc-choice > summary").first.click()
                expect(first.locator(".lc-why").first).to_be_visible()
                expect(first.locator("samp").first).to_be_visible()
            assert violations(tab) == []
        tab.emulate_media(color_scheme="light", media="print")
        for why in tab.locator(".lc-why").all():
            expect(why).to_be_visible()
        tab.emulate_media(media="screen")
