"""Both languages on one page, in a real browser: every block of prose has its twin."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.support.accessibility import violations

LANGUAGES = ("", "en/")

PAIRED = """() => {
    const { pairs, groups, alone } = document.querySelector("[data-beside]").seen
    const words = blocks => [].concat(blocks).map(one => one.textContent.trim()).join(" | ")
    return { pairs, groups: groups.map(words), alone: alone.map(words) }
}"""

# Which of the twin page's own blocks do not stand on this page, word for word: asks the published
# twin page, not the script that the page was made from.
MISSING = """async () => {
    const html = await (await fetch(document.querySelector("[data-beside]").dataset.beside)).text()
    const parse = new DOMParser().parseFromString(html, "text/html")
    const shared = ".livecell, .highlight, .math, .lc-card, .headerlink, .lc-names" +
        ", .lc-lag, aside, nav, form"
    const words = element => {
        const copy = element.cloneNode(true)
        for (const extra of copy.querySelectorAll(shared)) extra.remove()
        return copy.textContent.replace(/\\s+/g, "")
    }
    const here = words(document.querySelector("article"))
    const blocks = "p, li, dt, dd, td, th, h1, h2, h3, summary"
    return [...parse.querySelectorAll("article :is(" + blocks + ")")]
        .filter(one => !one.closest(shared) && !one.querySelector(blocks))
        .map(words).filter(text => text && !here.includes(text))
}"""


def paths(site: Path) -> list[str]:
    """The addresses of all pages of the default language."""
    pages = (page.parent.relative_to(site) for page in site.rglob("index.html"))
    found = [page.as_posix().removeprefix(".") for page in pages if page.parts[:1] != ("en",)]
    return sorted(f"{path}/" if path else "" for path in found)


def turn_on(tab: Page, url: str) -> None:
    tab.goto(url)
    if tab.locator("button[data-beside]").get_attribute("aria-pressed") == "false":
        tab.locator("button[data-beside]").click()
    tab.wait_for_selector("html.lc-beside")


@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
def test_every_block_of_every_page_is_paired(
    language: str, site: Path, tab: Page, address: str
) -> None:
    wrong: dict[str, Any] = {}
    for path in paths(site):
        turn_on(tab, f"{address}/{language}{path}")
        seen = tab.evaluate(PAIRED)
        assert seen["pairs"] > 10, path
        if seen["alone"]:
            wrong[path] = seen["alone"]
        if seen["groups"] and path != "glossary/":  # “also: …” stands in one language only
            wrong[f"{path} as a group"] = seen["groups"]
        if missing := tab.evaluate(MISSING):
            wrong[f"{path} not shown"] = missing
    assert wrong == {}


def test_the_checker_of_pairs_can_fail(site: Path, tab: Page, address: str) -> None:
    script = (site / "en/scalar_backward/index.twin.js").read_text(encoding="utf-8")
    begin, end = script.index("<p>"), script.index("</p>") + len("</p>")
    tab.route("**/*.twin.js", lambda route: route.fulfill(body=script[:begin] + script[end:]))
    turn_on(tab, f"{address}/scalar_backward/")
    assert tab.evaluate(PAIRED)["alone"] != []
    assert tab.evaluate(MISSING) != []


def test_the_button_the_key_and_the_memory(tab: Page, address: str) -> None:
    tab.goto(f"{address}/scalar_backward/")
    button = tab.get_by_role("button", name="双语对照")
    expect(button).to_have_attribute("aria-pressed", "false")
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    before = tab.locator("article").inner_html()
    button.focus()
    tab.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    twin = tab.locator("h1 .lc-twin")
    expect(twin).to_have_text("Scalar backward")
    expect(twin).to_have_attribute("lang", "en")
    assert [url for url in asked if url.endswith("/en/scalar_backward/index.twin.js")]
    cells = tab.locator(".livecell").count()
    tab.goto(f"{address}/en/scalar_backward/")  # remembered, in either language
    expect(tab.locator("h1 .lc-twin")).to_have_text("标量反向传播")
    expect(tab.locator("h1 .lc-twin")).to_have_attribute("lang", "zh")
    assert tab.locator(".livecell").count() == cells
    tab.keyboard.press("b")
    expect(tab.locator(".lc-twin")).to_have_count(0)
    tab.goto(f"{address}/scalar_backward/")
    expect(button).to_have_attribute("aria-pressed", "false")
    tab.keyboard.press("b")
    tab.wait_for_selector("html.lc-beside")
    tab.keyboard.press("b")
    expect(tab.locator(".lc-pair")).to_have_count(0)
    assert tab.locator("article").inner_html() == before


def test_typing_b_is_typing(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/errors/")
    tab.get_by_label("Paste an error").focus()
    tab.keyboard.press("b")
    assert tab.locator(".lc-paste textarea").input_value() == "b"
    tab.keyboard.press("Tab")
    tab.keyboard.press("Control+b")
    expect(tab.locator("button[data-beside]")).to_have_attribute("aria-pressed", "false")


def test_the_reader_s_place_is_kept(tab: Page, address: str) -> None:
    for width in (1360, 390):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.goto(f"{address}/en/scalar_backward/#again")
        heading = tab.locator("#again")
        before = heading.bounding_box()
        tab.keyboard.press("b")
        tab.wait_for_selector("html.lc-beside")
        after = heading.bounding_box()
        assert before is not None
        assert after is not None
        assert abs(before["y"] - after["y"]) < 3
        tab.keyboard.press("b")
        tab.wait_for_selector("html:not(.lc-beside)")


@pytest.mark.parametrize(("width", "beside"), [(1360, True), (390, False)])
def test_the_twin_is_beside_on_a_wide_screen_and_under_on_a_phone(
    width: int, beside: bool, tab: Page, address: str
) -> None:
    tab.set_viewport_size({"width": width, "height": 844})
    turn_on(tab, f"{address}/scalar_backward/")
    pair = tab.locator("h1 + p > .lc-pair")
    own, twin = (pair.locator(f"> {name}").bounding_box() for name in (".lc-own", ".lc-twin"))
    assert own is not None
    assert twin is not None
    assert (twin["x"] >= own["x"] + own["width"]) == beside
    assert (twin["y"] >= own["y"] + own["height"]) != beside
    assert tab.evaluate("document.documentElement.scrollWidth") <= width + 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(scheme: str, tab: Page, address: str) -> None:
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in ("", "en/scalar_backward/", "glossary/", "en/errors/leaf/"):
        for width in (1360, 390):
            tab.set_viewport_size({"width": width, "height": 844})
            turn_on(tab, f"{address}/{path}")
            assert violations(tab) == []


def test_links_of_the_twin_lead_where_they_led_there(tab: Page, address: str) -> None:
    turn_on(tab, f"{address}/scalar_backward/")
    links = tab.locator(".lc-twin a[href]").evaluate_all("all => all.map(a => a.href)")
    ours = [link for link in links if link.startswith(address) and "/scalar_backward/#" not in link]
    assert ours
    assert [link for link in ours if not link.startswith(f"{address}/en/")] == []


def test_a_site_without_the_scripts_has_no_button(browser: Browser, address: str) -> None:
    page = browser.new_context().new_page()
    page.route("**/*.twin.js", lambda route: route.abort())
    page.goto(f"{address}/scalar_backward/")
    page.keyboard.press("b")
    expect(page.locator("button[data-beside]")).to_be_hidden()
    expect(page.locator(".lc-twin")).to_have_count(0)
    page.context.close()


def test_without_a_script_there_is_no_button(browser_without_script: Page, address: str) -> None:
    browser_without_script.goto(f"{address}/scalar_backward/")
    expect(browser_without_script.locator("button[data-beside]")).to_be_hidden()


def test_it_works_from_a_disk(site: Path, browser: Browser, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(site, copy)
    page = browser.new_context().new_page()
    page.goto((copy / "scalar_backward/index.html").as_uri())
    page.evaluate("document.querySelector('[data-beside]').dataset.beside += 'index.html'")
    page.keyboard.press("b")
    expect(page.locator("h1 .lc-twin")).to_have_text("Scalar backward")
    page.goto((copy / "en/vector_backward/index.html").as_uri())
    page.locator("button[data-beside]").click()
    page.context.close()
