"""Every page of both languages, sent as docs/*/publish.md says: accessible, narrow, still, safe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.support.accessibility import COLOURS, violations
from tests.support.serving import host

from livecell import headers

LANGUAGES = pytest.mark.parametrize("language", ["", "en/"], ids=["zh", "en"])
WATCH = """
    window.seen = { blocked: [], moved: 0 }
    addEventListener("securitypolicyviolation", event =>
        seen.blocked.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`))
    new PerformanceObserver(list => {
        for (const shift of list.getEntries()) if (!shift.hadRecentInput) seen.moved += shift.value
    }).observe({ type: "layout-shift", buffered: true })
"""
# The menu is the same on every page, and code has one structure in every block: a few blocks of
# each page, and whole pages further below.
FEWER = """() => {
    const code = [...document.querySelectorAll(".highlight, .lc-output")].slice(4)
    const menu = document.querySelectorAll(".md-sidebar--primary")
    for (const one of [...code, ...menu]) one.dataset.more = ""
}"""
OTHERS = {"exclude": [["[data-more]"]]}
# The colours of an element follow from its name, its classes, and those of what it stands in: the
# third of a kind on a page tells nothing new, unless there is something new in it. It is removed.
FEW_OF_A_KIND = """() => {
    for (const one of document.querySelectorAll("article [data-more]")) one.replaceChildren()
    const kind = one => one.tagName + one.className
    const met = new Map()
    const known = one => {
        const name = kind(one) + kind(one.parentElement) + kind(one.parentElement.parentElement)
        met.set(name, (met.get(name) ?? 0) + 1)
        const told = [...one.children].filter(child => !known(child)).length === 0
        if (told && met.get(name) > 2 && !one.id) one.remove() // Material looks for headings
        return !one.isConnected
    }
    known(document.querySelector("article"))
}"""
DISSECTED: set[Page] = set()
"""Tabs whose page lacks what its scripts may look for."""
STILL = 0.01
"""What a page may shift by itself; 0.1 is called good."""


@pytest.fixture(scope="module")
def home(site: Path) -> Iterator[str]:
    with host(site, headers.read(site)) as address:
        yield address


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1360, "height": 900},
        color_scheme="light",
        reduced_motion="reduce",  # colours that are still fading would be measured half-way
    )
    context.add_init_script(WATCH)
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext, home: str) -> Iterator[Page]:
    """A tab that fails the test if a page logs an error or asks another host."""
    page, trouble = context.new_page(), []
    page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: None if page in DISSECTED else trouble.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith((home, "data:", "blob:")) else trouble.append(r.url),
    )
    yield page
    DISSECTED.discard(page)
    page.close()
    assert trouble == []


def addresses(site: Path, language: str) -> list[str]:
    folder = site / language
    found = [path.relative_to(folder).parent.as_posix() for path in folder.rglob("index.html")]
    return sorted(
        "" if name == "." else f"{name}/"
        for name in found
        if language or name.partition("/")[0] != "en"
    )


def seen(tab: Page) -> dict[str, Any]:
    result: dict[str, Any] = tab.evaluate("seen")
    return result


def scroll_down(tab: Page) -> float:
    """How far the page has shifted by itself, from loading to the end of the page."""
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    tab.wait_for_timeout(50)
    moved: float = seen(tab)["moved"]
    return moved


def wrong_on_pages(language: str, site: Path, tab: Page, home: str) -> list[str]:
    """What is wrong with the pages of one language, all of them."""
    wrong: list[str] = []
    pages = addresses(site, language)
    assert len(pages) > 35
    for name in pages:
        tab.set_viewport_size({"width": 1360, "height": 900})
        tab.goto(f"{home}/{language}{name}")
        tab.evaluate(FEWER)
        told = violations(tab, OTHERS, without=COLOURS)
        moved = scroll_down(tab)
        if moved > STILL:  # a picture without a size does it every time, a busy machine does not
            tab.reload()
            moved = min(moved, scroll_down(tab))
            tab.evaluate(FEWER)
        told += [f"moved by {moved:.3f}"] if moved > STILL else []
        tab.set_viewport_size({"width": 320, "height": 640})  # 1280 px at 400 %
        width = tab.evaluate("document.documentElement.scrollWidth")
        told += [f"{width} px wide at 400 %"] if width > 320 else []
        tab.set_viewport_size({"width": 1360, "height": 900})
        DISSECTED.add(tab)
        tab.evaluate(FEW_OF_A_KIND)
        told += [f"light: {one}" for one in violations(tab, OTHERS, COLOURS)]
        tab.evaluate("document.body.dataset.mdColorScheme = 'slate'")
        tab.wait_for_function("document.getAnimations().every(one => one.playState !== 'running')")
        told += [f"dark: {one}" for one in violations(tab, OTHERS, COLOURS)]
        told += seen(tab)["blocked"]
        tab.goto("about:blank")  # its scripts have had their say
        DISSECTED.discard(tab)
        wrong += [f"/{language}{name}: {one}" for one in told]
    return wrong


@pytest.mark.audit
def test_every_chinese_page(site: Path, tab: Page, home: str) -> None:
    """The English ones have a file of their own, so that two workers share the work."""
    assert wrong_on_pages("", site, tab, home) == []


@pytest.mark.parametrize("name", ["scalar_backward/", "errors/leaf/"])
@LANGUAGES
def test_a_page_is_accessible_on_a_phone_in_the_dark(
    name: str, language: str, tab: Page, home: str
) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.emulate_media(color_scheme="dark")
    tab.goto(f"{home}/{language}{name}")
    assert violations(tab) == []


@LANGUAGES
def test_what_a_reader_does_is_allowed(language: str, tab: Page, home: str) -> None:
    tab.goto(f"{home}/{language}scalar_backward/")
    tab.locator("details summary").first.click()
    tab.locator(".gg-step").first.click()
    tab.locator("label[for^=__palette]:visible").first.click()
    tab.locator("input.md-search__input").focus()
    tab.keyboard.insert_text("retain_graph")
    tab.keyboard.press("End")
    expect(tab.locator(".md-search-result__item").first).to_be_visible()
    assert seen(tab)["blocked"] == []
    tab.goto(f"{home}/{language}errors/")
    tab.locator(".lc-paste textarea").fill("can't optimize a non-leaf Tensor")
    expect(tab.locator(".lc-found a").first).to_be_visible()
    assert seen(tab)["blocked"] == []


def test_a_page_that_does_not_exist_speaks_both_languages(tab: Page, home: str) -> None:
    answer = tab.request.get(f"{home}/en/no/such/page")
    assert answer.status == 404
    text = answer.text()
    assert "没有这一页" in text
    assert "There is no such page" in text


def test_the_checkers_can_fail(context: BrowserContext, home: str) -> None:
    page = context.new_page()  # not `tab`: this one logs errors
    page.goto(f"{home}/en/")
    page.evaluate(
        """() => {
            document.body.append(document.createElement("img"))
            const script = document.createElement("script")
            script.textContent = "window.smuggled = true"
            document.head.append(script)
            const box = document.createElement("div")
            box.style = "width: 500px; height: 300px"
            document.querySelector("article").prepend(box)
        }"""
    )
    page.wait_for_timeout(200)
    assert any(one.startswith("image-alt") for one in violations(page, OTHERS, without=COLOURS))
    assert page.evaluate("window.smuggled") is None
    found = seen(page)
    assert any(one.startswith("script-src-elem") for one in found["blocked"])
    assert found["moved"] > STILL
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") > 320
    page.close()
