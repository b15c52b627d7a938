"""The system's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import Browser, Playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str:
    """Where Chromium is; skips the test where there is none, but fails in CI."""
    names: tuple[str, ...] = ("chromium", "google-chrome", "chromium-browser")
    names += ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)  # on macOS
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have Chromium: .ci/run installs it")
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    return found


def launch(playwright: Playwright, path: str) -> Browser:
    """A headless browser that asks no host by itself."""
    return playwright.chromium.launch(executable_path=path, args=FLAGS)
