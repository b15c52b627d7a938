"""The box that an error is pasted into, and the search, find an entry in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect
from tests.support.searching import answer

from livecell import Runner, Settings, atlas

ROOT = Path(__file__).parents[2]
READ: dict[str, Any] = yaml.safe_load((ROOT / "tests/errors/pastes.yml").read_text("utf-8"))
LANGUAGES = ("", "en/")


@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
def test_a_paste_shows_its_entry(language: str, tab: Page, address: str) -> None:
    tab.goto(f"{address}/{language}errors/")
    box, found = tab.locator(".lc-paste textarea"), tab.locator(".lc-found")
    box.fill(READ["pastes"]["second-time"][0])
    expect(found).to_have_attribute("data-said", "known")
    link = found.locator("a").first
    assert (link.get_attribute("href") or "").endswith("backward/#second-time")
    expect(found.locator("dd").first).to_be_visible()
    link.click()
    expect(tab).to_have_url(f"{address}/{language}errors/backward/#second-time")


def test_what_is_not_known_gets_guesses_or_nothing(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/errors/")
    box, found = tab.locator(".lc-paste textarea"), tab.locator(".lc-found")
    box.fill(READ["strangers"][1])
    expect(found).to_have_attribute("data-said", "guess")
    box.fill("xyzzy")
    expect(found).to_have_attribute("data-said", "unknown")
    box.fill("")
    expect(found).to_be_empty()


def test_the_box_works_by_keyboard_and_is_announced(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/errors/")
    tab.get_by_label("Paste an error").focus()
    tab.keyboard.insert_text("can't optimize a non-leaf Tensor")
    expect(tab.get_by_role("status")).to_contain_text("This is it")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('.lc-found') !== null")


def test_without_a_script_the_index_is_a_list(browser_without_script: Page, address: str) -> None:
    browser_without_script.goto(f"{address}/en/errors/")
    assert not browser_without_script.locator(".lc-paste").is_visible()
    entries = browser_without_script.locator(".lc-atlas li > a")
    assert entries.count() >= 40
    expect(entries.first).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
def test_the_browser_ranks_as_the_command_does(
    language: str, tab: Page, address: str, settings: Settings
) -> None:
    known = atlas.load(settings)
    assert known is not None
    texts = [paste for pastes in READ["pastes"].values() for paste in pastes]
    texts += READ["strangers"]
    texts += [pattern for entry in known.listed for pattern in entry.patterns()]
    tab.goto(f"{address}/{language}errors/")
    ranked = tab.evaluate(
        """async texts => {
            const form = document.querySelector(".lc-paste")
            const ranked = await Promise.all(texts.map(form.rank))
            return ranked.map(matches => matches.slice(0, 3)
                .map(match => [match.key, Math.round(match.score * 1e4), match.shared]))
        }""",
        texts,
    )
    for text, there in zip(texts, ranked, strict=True):
        here = [[m.key, round(m.score * 1e4), m.shared] for m in known.index.rank(text)[:3]]
        assert [one[0] for one in here] == [one[0] for one in there], text
        assert [one[2] for one in here] == [one[2] for one in there], text
        for one, two in zip(here, there, strict=True):
            assert abs(one[1] - two[1]) <= 1, text


@pytest.mark.parametrize("language", LANGUAGES, ids=["zh", "en"])
def test_the_search_finds_the_entry_of_a_message_first(
    language: str, tab: Page, address: str, settings: Settings, runner: Runner
) -> None:
    known = atlas.load(settings)
    assert known is not None
    tab.goto(f"{address}/{language}")
    tab.locator("input.md-search__input").click()
    lost = []
    for entry in known.listed:
        if not entry.cell:
            continue
        cell = runner.result(f"errors/{entry.family}").cell(entry.cell)
        assert cell is not None
        message = cell.error["evalue"] if cell.error else entry.message
        links = answer(tab, " ".join(message.split()))
        place = f"/{language}errors/{entry.family}/#{entry.id}"
        same = [one.id for one in known.listed if one.message == entry.message]
        first = next(iter(links), "nothing")
        if not any(f"#{name}" in first for name in same) and not first.endswith(place):
            lost.append((entry.id, links[:3]))
    assert lost == []


def test_arrow_keys_reach_the_answer(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/")
    box = tab.locator("input.md-search__input")
    box.click()
    box.fill("can't optimize a non-leaf Tensor")
    tab.locator(".lc-search-answer a").wait_for()
    box.press("ArrowDown")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(f"{address}/en/errors/leaf/#optimize-non-leaf")
