"""What axe-core has to say against a page."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules about colours, which take axe longest."""


def violations(
    tab: Page,
    context: dict[str, Any] | None = None,
    rules: list[str] | None = None,
    without: list[str] | None = None,
) -> list[str]:
    """One line for each rule that the page breaks: its name, and the first element that does.

    `context`, `rules` and `without` say which part of the page and which rules are meant, as axe
    puts it. What passes is not asked for: on a page of 5,000 elements the list of it takes most of
    the time.
    """
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = rules
    if without:
        options["rules"] = {rule: {"enabled": False} for rule in without}
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE_SCRIPT)
    found = tab.evaluate(
        "async ([context, options]) => (await axe.run(context, options)).violations",
        [context or {"include": [["html"]]}, options],
    )
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
