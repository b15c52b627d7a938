"""The search finds what people ask for: search.yml, typed into the real search box."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect
from tests.support.searching import ask

FOLDER = Path(__file__).parent
ASKED: dict[str, Any] = yaml.safe_load((FOLDER / "search.yml").read_text(encoding="utf-8"))
LANGUAGES = {"zh": "", "en": "en/"}
HEIGHT = {"first": 1, "three": 3}

Question = tuple[str, str, int]
"""What is typed, the page that must be found, and how high."""


def questions(language: str) -> Iterator[Question]:
    for kind, height in HEIGHT.items():
        for page, texts in ASKED[language][kind].items():
            for text in texts:
                yield str(text), page, height


def ask_pages(tab: Page, text: str) -> list[str]:
    """The pages that a question lists, best first, sections aside."""
    return list(dict.fromkeys(re.split("[?#]", link)[0] for link in ask(tab, text)))


def mistakes(tab: Page, home: str, asked: list[Question]) -> list[str]:
    tab.goto(home)
    tab.locator("input.md-search__input").focus()
    found = []
    for text, page, height in asked:
        pages = [link.removeprefix(home).strip("/") for link in ask_pages(tab, text)]
        if page not in pages[:height]:
            found.append(f"{text}: {page} is not among {pages[:height]}")
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_question_finds_its_page(language: str, tab: Page, address: str) -> None:
    asked = list(questions(language))
    assert len(asked) >= 60
    assert len({text for text, _, _ in asked}) == len(asked)
    assert mistakes(tab, f"{address}/{LANGUAGES[language]}", asked) == []


def test_the_checker_can_fail(tab: Page, address: str) -> None:
    asked = [("GradScaler", "glossary", 3), ("no such word at all", "glossary", 1)]
    assert len(mistakes(tab, f"{address}/en/", asked)) == 2


def test_every_kind_of_question_is_asked() -> None:
    for language in LANGUAGES:
        texts = [text for text, _, _ in questions(language)]
        assert any("." in text and "_" in text for text in texts)  # torch.utils.checkpoint, …
        assert any(len(text) > 100 for text in texts)  # a whole message
    assert {"叶子节点", "雅可比", "就地修改", "torch.autograd.grad", "requires_grad"} <= {
        text for text, _, _ in questions("zh")
    }


def test_typing_finds(tab: Page, address: str) -> None:
    tab.goto(f"{address}/")
    tab.keyboard.press("s")  # Material's key for the search
    tab.keyboard.type("requires_grad", delay=10)
    found = tab.locator(".md-search-result__item a").first
    expect(found).to_be_visible()
    tab.keyboard.press("ArrowDown")
    expect(found).to_be_focused()


def test_part_of_a_word_and_words_without_an_answer(tab: Page, address: str) -> None:
    tab.goto(f"{address}/")
    tab.locator("input.md-search__input").focus()
    assert ask(tab, "雅可")  # while it is being typed
    assert ask(tab, "requires_gr")
    assert ask(tab, "龘龘龘") == []
    assert ask(tab, "of the")  # only words that tell nothing


def test_what_is_required_or_quoted_stays_so(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/")
    tab.locator("input.md-search__input").focus()
    every, some = ask(tab, "vmap ensembles"), ask(tab, "+vmap +ensembles")
    assert 0 < len(some) < len(every)
    assert ask(tab, '"saved tensors"')


def test_a_minus_leaves_nothing_out(tab: Page, address: str) -> None:
    tab.goto(f"{address}/en/")
    tab.locator("input.md-search__input").focus()
    assert ask_pages(tab, "softmax -inf nan") == ask_pages(tab, "softmax inf nan")


def test_a_result_is_marked_on_its_page(tab: Page, address: str) -> None:
    tab.goto(f"{address}/")
    tab.locator("input.md-search__input").focus()
    ask(tab, "雅可比矩阵")
    tab.locator(".md-search-result__item a").first.click()
    expect(tab.locator("mark[data-md-highlight]").first).to_be_visible()
