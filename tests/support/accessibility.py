"""What axe-core has to say against a page."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(
    tab: Page, context: dict[str, Any] | None = None, rules: list[str] | None = None
) -> list[str]:
    """One line for each rule that the page breaks: its name, and the first element that does.

    `context` and `rules` say which part of the page and which rules are meant, as axe puts it. What
    passes is not asked for: on a page of 5,000 elements the list of it takes most of the time.
    """
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = Axe().run(tab, context=context, options=options).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
