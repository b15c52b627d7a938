"""The English pages, as test_every_page looks at the Chinese ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.browser.test_every_page import context, home, tab, wrong_on_pages

__all__ = ["context", "home", "tab"]  # fixtures


@pytest.mark.audit
def test_every_english_page(site: Path, tab: Page, home: str) -> None:
    assert wrong_on_pages("en/", site, tab, home) == []
