"""The home page: three ways in, the learning paths, and what a reader has read of them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

LANGUAGES = ("", "en/")


@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
def test_three_doors_are_seen_at_a_glance(language: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{language}")
    doors = tab.locator(".site-door")
    assert doors.count() == 3
    for number in range(3):
        box = doors.nth(number).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900  # without scrolling
    expect(doors.nth(0).locator("a.md-button")).to_have_attribute("href", "scalar_backward/")
    expect(doors.nth(2).locator("a.md-button")).to_have_attribute("href", "how_it_works/")
    doors.nth(1).locator("textarea").fill("Trying to backward through the graph a second time")
    answer = doors.nth(1).locator(".lc-found a").first
    answer.click()
    expect(tab).to_have_url(f"{address}/{language}errors/backward/#second-time")


@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
def test_the_paths_are_the_navigation_with_times(language: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{language}")
    lessons = tab.locator(".site-paths li")
    links = lessons.locator("a").evaluate_all("all => all.map(a => [a.href, a.textContent])")
    listed = tab.locator(".md-nav--primary a.md-nav__link").evaluate_all(
        "all => all.map(a => [a.href, a.textContent.trim()])"
    )
    assert len(links) >= 20
    assert links == [link for link in listed if link in links]  # the same ones in the same order
    for text in lessons.locator("small").all_text_contents():
        minutes = int(re.findall(r"\d+", text)[0])
        assert 5 <= minutes <= 90
    for section in tab.locator(".site-paths section").all():
        times = section.locator("li small").all_text_contents()
        sum_ = sum(int(re.findall(r"\d+", text)[0]) for text in times)
        said = section.locator("h3 small").inner_text()
        number = float(re.findall(r"[\d.]+", said)[0])
        assert abs((number if sum_ < 60 else number * 60) - sum_) <= 15, said


def test_a_lesson_read_to_its_end_gets_a_mark_until_it_is_cleared(tab: Page, address: str) -> None:
    tab.goto(f"{address}/scalar_backward/")
    tab.wait_for_timeout(200)
    expect(tab.locator(".site-read")).to_have_count(0)  # only opened
    tab.locator("[data-lesson-end]").scroll_into_view_if_needed()
    expect(tab.locator(".site-read").first).to_have_attribute("aria-label", "读过")
    tab.goto(f"{address}/en/")  # read is read, in either language
    mark = tab.locator(".site-paths .site-read")
    expect(mark).to_have_count(1)
    expect(mark).to_have_attribute("aria-label", "read")
    expect(tab.locator(".md-nav--primary .site-read")).to_have_count(1)
    expect(tab.locator(".site-progress")).to_contain_text("1 / ")
    tab.get_by_role("button", name="Forget it").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator(".site-read")).to_have_count(0)
    expect(tab.locator(".site-progress")).to_be_hidden()
    tab.reload()
    expect(tab.locator(".site-read")).to_have_count(0)


def test_what_somebody_else_has_stored_does_no_harm(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/")
    for junk in ("{", "3", '{"a": 1}', "[1, null]"):
        tab.evaluate("junk => localStorage.setItem('site-read', junk)", junk)
        tab.reload()
        expect(tab.locator(".site-paths li").first).to_be_visible()
        expect(tab.locator(".site-read")).to_have_count(0)


def test_the_doors_open_without_javascript(browser_without_script: Page, address: str) -> None:
    browser_without_script.goto(f"{address}/en/")
    expect(browser_without_script.locator(".site-door textarea")).to_be_hidden()
    expect(browser_without_script.locator(".site-door a[href='errors/']")).to_be_visible()
    expect(browser_without_script.locator(".site-paths li").first).to_be_visible()
