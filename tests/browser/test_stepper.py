"""A reader steps through gradgraph's pictures, with mouse and keyboard, or without any script."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.gradgraph import examples
from tests.support.accessibility import violations

from gradgraph.boxes import number
from gradgraph.fold import fold
from gradgraph.graph import Graph, Step, Value
from gradgraph.page import ASSETS, asset, render

HOST = "http://gradgraph.test/"
PAGE = """<!doctype html><html lang="{language}"><title>gradgraph</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="stepper.css"><script defer src="stepper.js"></script>
<style>:root {{ color-scheme: light dark }} body {{ font: 16px sans-serif }}</style>
<main><h1>gradgraph</h1>{body}</main></html>"""

Open = Callable[..., Page]
every = pytest.mark.parametrize("name", examples.ALL)
both = pytest.mark.parametrize("language", ["en", "zh"])


@pytest.fixture
def show(browser: Browser) -> Iterator[Open]:
    """Opens a page with pictures; fails the test on an error or on a request to another host."""
    trouble: list[str] = []
    opened = []

    def show(*graphs: Graph, language: str = "en", standalone: bool = False, **how: Any) -> Page:
        how.setdefault("viewport", {"width": 1000, "height": 900})
        context = browser.new_context(**how)
        opened.append(context)
        figures = "".join(render(graph, language, standalone) for graph in graphs)

        def answer(route: Route) -> None:
            file = route.request.url.removeprefix(HOST)
            if not file:
                body = PAGE.format(language=language, body=figures)
                route.fulfill(body=body, content_type="text/html; charset=utf-8")
            elif file in ("stepper.css", "stepper.js") and not standalone:
                route.fulfill(path=ASSETS / file)
            elif standalone:
                route.fulfill(body="")
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


def status(page: Page) -> Locator:
    return page.locator(".gg-status")


def lit(page: Page) -> list[str | None]:
    """The nodes that are marked as running; "output" for the outputs."""
    nodes = page.locator(".gg-node.gg-now").all()
    return [node.get_attribute("data-node") or "output" for node in nodes]


def texts(page: Page, selector: str) -> list[str]:
    """The texts below each match that can be seen, one string each."""
    found: list[str] = page.eval_on_selector_all(
        selector,
        """all => all.map(one => [...one.querySelectorAll(":scope > [data-state] text")]
            .filter(t => t.getClientRects().length)
            .filter(t => t.checkVisibility({ visibilityProperty: true }))
            .map(t => t.textContent.replaceAll("\\u00a0", " ").trim()).join(" "))""",
    )
    return found


def said(value: Value | None) -> str:
    if not value:
        return "none"
    return " ".join(line.text.replace("\u00a0", " ").strip() for line in number(value))


# --- The story


@every
def test_every_frame_shows_what_had_happened_by_then(name: str, show: Open) -> None:
    graph = fold(examples.ALL[name]())
    page = show(graph)
    slider = page.locator(".gg-slider")
    wired = [edge for edge in graph.edges if edge.target is not None]
    leaves = [node.id for node in graph.nodes if node.kind == "accumulate"]
    slider.fill("0")
    at = 0
    for one in graph.passes:
        ran: dict[int, Step] = {}
        for step in (None, *one.steps):
            if step:
                ran[step.node] = step
            slider.fill(str(at))
            assert lit(page) == ([str(step.node)] if step else ["output"] * len(graph.roots))
            edges = [said(ran[e.source].sent[e.index]) if e.source in ran else "" for e in wired]
            assert texts(page, "[data-from]") == edges
            assert texts(page, "[data-edge=seed]") == [said(seed) for seed in one.seeds]
            for leaf, text in zip(leaves, texts(page, ".gg-node:has(.gg-leaf)"), strict=True):
                grad = ran[leaf].after if leaf in ran else one.grads[leaf]
                assert text == f".grad = {said(grad) if grad else 'None'}"
            at += 1
    assert slider.get_attribute("max") == str(at - 1)


@both
def test_the_last_frame_is_the_picture_that_was_there_at_first(language: str, show: Open) -> None:
    graph = examples.jacobian()
    page = show(graph, language=language)
    first = texts(page, "[data-edge], .gg-node")
    assert lit(page) == []
    page.locator(".gg-slider").press("Home")
    assert texts(page, "[data-edge], .gg-node") != first
    page.locator(".gg-slider").press("End")
    assert texts(page, "[data-edge], .gg-node") == first


@pytest.mark.parametrize(
    ("language", "start", "product", "leaf"),
    [
        (
            "en",
            "Start: The gradient 1.0 enters at z. No leaf has a .grad yet.",
            "Step 3 of 4: MulBackward0 (y) receives 1.0 and sends 2.0 to w.",
            "Step 4 of 4: w.grad becomes 2.0.",
        ),
        (
            "zh",
            "开始：梯度 1.0 从 z 进入。叶子张量都还没有 .grad。",
            "第 3 步，共 4 步：MulBackward0（y）收到 1.0，送出 2.0 给 w。",
            "第 4 步，共 4 步：w.grad 成为 2.0。",
        ),
    ],
)
def test_a_sentence_says_what_happens(
    language: str, start: str, product: str, leaf: str, show: Open
) -> None:
    page = show(examples.linear(), language=language)
    for at, sentence in ((0, start), (3, product), (4, leaf)):
        page.locator(".gg-slider").fill(str(at))
        expect(status(page)).to_have_text(sentence)
    assert (
        page.locator(".gg-slider").get_attribute("aria-valuetext")
        == sentence.split("：" if language == "zh" else ":")[0]
    )
    expect(page.get_by_role("status")).to_have_count(1)


def test_before_a_pass_it_says_whether_grad_was_cleared(show: Open) -> None:
    page = show(examples.jacobian())
    page.locator(".gg-slider").fill("18")
    expect(status(page)).to_contain_text("Cleared: x.grad = [[0.0, 0.0]].")
    page.locator(".gg-slider").fill("35")
    expect(status(page)).to_contain_text("x.grad: [[0.0, 0.0]] + [[2.0, 6.0]] = [[2.0, 6.0]].")

    page = show(examples.outputs())
    page.locator(".gg-slider").fill("0")
    expect(status(page)).to_contain_text("Not cleared: x.grad = [1.0, 1.0], unused.grad = None.")


# --- The controls


def test_buttons(show: Open) -> None:
    page = show(examples.linear())
    step, back = page.get_by_role("button", name="Step"), page.get_by_role("button", name="Back")
    step.click()  # the picture shows the end, so a step begins again
    assert lit(page) == ["output"]
    step.click()
    assert lit(page) == ["0"]
    step.click()
    step.click()
    assert lit(page) == ["1"]
    back.click()
    assert lit(page) == ["2"]
    for _ in range(5):
        back.click(force=True)
    assert lit(page) == ["output"]
    expect(back).to_be_disabled()


def test_play_goes_from_the_start_to_the_end_and_stops(show: Open) -> None:
    page = show(examples.linear())
    page.clock.install()
    play = page.locator(".gg-play")
    expect(play).to_have_text("Play")
    play.click()
    expect(play).to_have_text("Pause")
    seen = [lit(page)]
    for _ in range(4):
        page.clock.run_for(1600)
        seen.append(lit(page))
    assert seen == [["output"], ["0"], ["2"], ["1"], ["3"]]
    expect(play).to_have_text("Play")
    page.clock.run_for(9000)
    assert lit(page) == ["3"]


def test_pause_keeps_the_place_and_play_goes_on_from_there(show: Open) -> None:
    page = show(examples.linear())
    page.clock.install()
    play = page.locator(".gg-play")
    play.click()
    page.clock.run_for(1600)
    play.click()
    page.clock.run_for(9000)
    assert lit(page) == ["0"]
    play.click()
    assert lit(page) == ["2"]
    page.get_by_role("button", name="Back").click()  # whoever steps wants no more playing
    page.clock.run_for(9000)
    assert lit(page) == ["0"]


def test_keyboard(show: Open) -> None:
    page = show(examples.linear())
    back = page.locator(".gg-back")
    back.focus()
    for key, node in (
        ("Home", "output"),
        ("ArrowLeft", "output"),
        ("ArrowRight", "0"),
        ("ArrowRight", "2"),
        ("ArrowLeft", "0"),
        ("End", "3"),
        ("ArrowRight", "3"),
    ):
        page.keyboard.press(key)
        assert lit(page) == [node]
        expect(back).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert lit(page) == ["output"]  # it plays
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert lit(page) == ["0"]
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert lit(page) == ["1"]


def test_keys_elsewhere_and_shortcuts_of_the_browser_are_left_alone(show: Open) -> None:
    page = show(examples.linear())
    page.locator(".gg-step").press("Home")
    page.locator(".gg-step").press("Control+End")
    page.locator("summary").press("ArrowRight")
    assert lit(page) == ["output"]


def test_stepping_never_scrolls_the_page(show: Open) -> None:
    page = show(
        examples.jacobian(), viewport={"width": 390, "height": 600}, reduced_motion="reduce"
    )
    page.locator(".gg-step").scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    for _ in range(20):
        page.locator(".gg-step").press("ArrowLeft")
        inside = page.evaluate(
            """() => {
                const view = document.querySelector(".gg-frame").getBoundingClientRect()
                const box = document.querySelector(".gg-node.gg-now > rect").getBoundingClientRect()
                return box.left >= view.left && box.right <= view.right
                    && box.top >= view.top && box.bottom <= view.bottom
            }"""
        )
        assert inside
    assert page.evaluate("scrollY") == before


# --- How it comes to the page


def test_pictures_that_come_later_step_too_and_independently(show: Open) -> None:
    page = show(examples.linear())
    page.evaluate(
        "html => document.querySelector('main').insertAdjacentHTML('beforeend', html)",
        render(examples.fork(), "en"),
    )
    steps = page.locator(".gg-step")
    expect(steps).to_have_count(2)
    expect(steps.nth(1)).to_be_visible()
    steps.nth(1).click()
    expect(status(page).nth(1)).to_have_text(
        "Start: The gradient 1.0 enters at y. No leaf has a .grad yet."
    )
    expect(status(page).nth(0)).to_contain_text("Press Play")


def test_a_notebook_with_several_scripts_steps_once_per_click(show: Open) -> None:
    page = show(examples.linear(), examples.linear(), standalone=True)
    steps = page.locator(".gg-step")
    steps.nth(0).click()
    steps.nth(0).click()
    assert lit(page) == ["0"]
    steps.nth(1).click()
    assert lit(page) == ["0", "output"]


@both
def test_without_script_the_whole_story_is_there(language: str, show: Open) -> None:
    graph = examples.linear()
    page = show(graph, language=language, java_script_enabled=False)
    expect(page.locator(".gg-stepper")).to_be_hidden()
    expect(page.get_by_role("img")).to_be_visible()
    seen = page.get_by_role("img").locator("text:visible").all_text_contents()
    assert [text for text in seen if ".grad" in text] == [".grad = 1.0", ".grad = 2.0"]
    assert sorted(text for text in seen if text in ("1.0", "2.0")) == ["1.0", "1.0", "1.0", "2.0"]
    page.locator("summary").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1 + len(graph.steps))
    expect(rows.nth(3)).to_be_visible()
    expect(rows.nth(4)).to_contain_text("w.grad = 2.0")


@pytest.mark.parametrize("scripts", [True, False])
def test_in_print_the_table_is_open_and_the_end_is_shown(scripts: bool, show: Open) -> None:
    page = show(examples.linear(), java_script_enabled=scripts)
    if scripts:
        page.locator(".gg-step").click()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert lit(page) == []
        assert "2.0" in texts(page, "[data-from]")
    page.emulate_media(media="print")
    expect(page.locator(".gg-stepper")).to_be_hidden()
    row = page.locator("tbody tr").last
    expect(row).to_contain_text("w.grad = 2.0")
    box = row.bounding_box()
    assert box
    assert box["height"] > 10
    if scripts:
        page.emulate_media(media="screen")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert lit(page) == ["output"]
        expect(page.locator("tbody tr").last).to_be_hidden()


def test_motion_only_for_those_who_like_it(show: Open) -> None:
    for motion, moves in (("reduce", False), ("no-preference", True)):
        page = show(examples.linear(), reduced_motion=motion)
        assert page.evaluate("document.getAnimations().length") == 0  # nothing starts by itself
        page.locator(".gg-step").click()
        page.locator(".gg-step").click()
        assert bool(page.evaluate("document.getAnimations().length")) == moves


def test_the_script_is_small() -> None:
    assert len(gzip.compress(asset("stepper.js").encode())) < 5000
    assert len(gzip.compress(asset("stepper.css").encode())) < 5000


# --- How it looks


@every
@both
def test_letters_stay_in_their_boxes_and_off_each_other(
    name: str, language: str, show: Open
) -> None:
    page = show(examples.ALL[name](), language=language)
    found: list[list[Any]] = page.evaluate(
        """() => [...document.querySelectorAll(".gg text")].map(text => {
            for (let up = text; up.tagName !== "svg"; up = up.parentNode)
                up.removeAttribute("display")
            const state = text.closest("[data-state]")?.dataset.state
            const part = text.closest(".gg-node, .gg-edge")
            const rects = [...part.querySelectorAll(":scope > rect")].map(one => one.getBBox())
            const { x, y, width, height } = text.getBBox()
            return [text.textContent, state ?? "", [x, y, x + width, y + height], [
                Math.min(...rects.map(box => box.x)), Math.min(...rects.map(box => box.y)),
                Math.max(...rects.map(box => box.x + box.width)),
                Math.max(...rects.map(box => box.y + box.height))]]
        })"""
    )
    assert found
    for text, _, (x, y, x2, y2), (left, top, right, bottom) in found:
        assert left + 3 <= x, text
        assert x2 <= right - 3, text
        assert top <= y + 1, text  # a box of letters has room above them
        assert y2 <= bottom + 1, text
    for one, two in combinations(found, 2):
        if one[1] and two[1] and one[1] != two[1]:
            continue  # states are never seen together
        (x, y, x2, y2), (p, q, p2, q2) = one[2], two[2]
        wide, high = min(x2, p2) - max(x, p), min(y2, q2) - max(y, q)
        assert wide <= 0 or high <= 3, (one[0], two[0])


@every
def test_on_a_phone_the_frame_scrolls_and_not_the_page(name: str, show: Open) -> None:
    page = show(examples.ALL[name](), viewport={"width": 360, "height": 740}, has_touch=True)
    page.locator("summary").click()
    page.locator(".gg-step").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.locator(".gg-frame").evaluate("one => one.scrollWidth > one.clientWidth")
    reachable = page.locator(".gg-frame").evaluate("one => one.tabIndex === 0")
    assert wide <= reachable
    assert page.locator(".gg").evaluate("one => one.clientWidth") == page.locator(".gg").evaluate(
        "one => one.viewBox.baseVal.width"
    )  # never shrunk until it cannot be read


@both
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(language: str, scheme: str, show: Open) -> None:
    page = show(examples.jacobian(), examples.outputs(), language=language, color_scheme=scheme)
    for place in ("End", "Home", "ArrowRight"):
        for stepper in page.locator(".gg-step").all():
            stepper.press(place)
        for one in page.locator("details").all():
            one.evaluate("one => { one.open = true }")
        page.wait_for_function("document.getAnimations().length === 0")
        assert violations(page) == []
