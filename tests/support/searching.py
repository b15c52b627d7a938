"""Typing into the real search box of a page."""

from __future__ import annotations

from playwright.sync_api import Page

_FOUND = ".lc-search-answer a, .md-search-result__item > a"

# The answer has come when it has replaced what stood in the list before; it may be empty. Waiting
# for a time instead finds an empty list on a machine that is slow enough.
_ASK = """async ([text, found]) => {
    const [box] = document.getElementsByClassName("md-search__input")
    const [list] = document.getElementsByClassName("md-search-result__list")
    const old = document.createElement("s")
    list.replaceChildren(old)
    box.value = text
    for (const kind of ["input", "keyup"]) box.dispatchEvent(new Event(kind, { bubbles: true }))
    const next = () => new Promise(resolve => setTimeout(resolve, 5))
    const entry = document.querySelector(".lc-search-answer")
    while (old.isConnected || entry.dataset.asked !== text) await next()
    await next()
    return [...document.querySelectorAll(found)].map(link => link.href)
}"""


# The atlas looks at every change, Material's search at keys alone.
_ANSWER = """async ([text, found]) => {
    const [box] = document.getElementsByClassName("md-search__input")
    const entry = document.querySelector(".lc-search-answer")
    box.value = text
    box.dispatchEvent(new Event("input", { bubbles: true }))
    while (entry.dataset.asked !== text) await new Promise(resolve => setTimeout(resolve, 1))
    return [...document.querySelectorAll(found)].map(link => link.href)
}"""


def ask(tab: Page, text: str) -> list[str]:
    """Put a question into the search box; the addresses that it lists, best first.

    The box must have the focus.
    """
    links: list[str] = tab.evaluate(_ASK, [text, _FOUND])
    return links


def answer(tab: Page, text: str) -> list[str]:
    """What the box lists as soon as the error atlas has answered; other answers may be older."""
    links: list[str] = tab.evaluate(_ANSWER, [text, _FOUND])
    return links
