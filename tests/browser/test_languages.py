"""Two languages that know each other: what search engines and readers are told of the other one."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
HOST = "https://example.org/book/"


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built for a host, in which only the heads of the pages are read."""
    folder = tmp_path_factory.mktemp("hosted") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    environment = os.environ | {"SITE_URL": HOST}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    return folder


@pytest.mark.parametrize("path", ["", "scalar_backward/", "errors/"])
@pytest.mark.parametrize("language", ["", "en/"])
def test_search_engines_are_told_of_both_languages(hosted: Path, language: str, path: str) -> None:
    html = (hosted / language / path / "index.html").read_text(encoding="utf-8")
    told = dict(re.findall(r'<link rel="alternate" hreflang="([\w-]+)" href="([^"]+)"', html))
    assert told == {
        "zh": f"{HOST}{path}",
        "en": f"{HOST}en/{path}",
        "x-default": f"{HOST}{path}",
    }
    assert f'<link rel="canonical" href="{HOST}{language}{path}"' in html


@pytest.mark.parametrize("path", ["", "scalar_backward/"])
@pytest.mark.parametrize(("language", "tag"), [("", "zh"), ("en/", "en")])
def test_a_link_elsewhere_shows_title_and_picture(
    hosted: Path, language: str, tag: str, path: str
) -> None:
    html = (hosted / language / path / "index.html").read_text(encoding="utf-8")
    told = dict(re.findall(r'<meta property="og:([\w:]+)" content="([^"]*)"', html))
    title = re.findall(r"<title>(.*?)</title>", html)[0]
    assert title.startswith(told["title"])
    assert told["description"] == re.findall(r'<meta name="description" content="([^"]*)"', html)[0]
    assert told["url"] == f"{HOST}{language}{path}"
    assert told["image"] == f"{HOST}{language}assets/social-{tag}.png"
    picture = (hosted / told["image"].removeprefix(HOST)).read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (1200, 630)
    assert (told["image:width"], told["image:height"]) == ("1200", "630")
    assert len(picture) < 60_000


def test_a_site_without_an_address_tells_nothing_relative(site: Path) -> None:
    html = (site / "index.html").read_text(encoding="utf-8")
    assert '<link rel="alternate"' not in html


def visit(browser: Browser, locale: str, url: str) -> Page:
    page = browser.new_context(locale=locale).new_page()
    page.goto(url)
    return page


@pytest.mark.parametrize(
    ("locale", "path", "other", "words"),
    [
        ("en-US", "/", "/en/", "Read it in English"),
        ("de-DE", "/", "/en/", ""),  # neither language is asked for
        ("zh-TW", "/en/", "/", "阅读中文版"),
        ("zh-CN", "/", "/en/", ""),
        ("en-GB", "/en/", "/", ""),
        ("en-US", "/scalar_backward/", "/en/scalar_backward/", ""),  # the header's switch will do
    ],
)
def test_the_home_page_offers_the_language_that_the_browser_asks_for(
    locale: str, path: str, other: str, words: str, browser: Browser, address: str
) -> None:
    page = visit(browser, locale, address + path)
    expect(page).to_have_url(address + path)  # nobody is sent anywhere
    offer = page.locator(".site-offer:visible")
    if not words:
        expect(offer).to_have_count(0)
    else:
        expect(offer).to_contain_text(words)
        offer.get_by_role("link").click()
        expect(page).to_have_url(address + other)
        page.goto(address + path)
        expect(offer).to_have_count(0)  # the reader has chosen
    page.context.close()


def test_the_offer_can_be_declined_by_keyboard_for_good(browser: Browser, address: str) -> None:
    page = visit(browser, "en-US", f"{address}/")
    offer = page.locator(".site-offer:visible")
    expect(offer).to_have_attribute("lang", "en")
    offer.get_by_role("button", name="Dismiss").focus()
    page.keyboard.press("Enter")
    expect(offer).to_have_count(0)
    page.reload()
    expect(offer).to_have_count(0)
    page.context.close()


def test_who_used_the_switch_is_not_asked(browser: Browser, address: str) -> None:
    page = visit(browser, "en-US", f"{address}/en/scalar_backward/")
    page.locator("a[data-language]").click()
    expect(page).to_have_url(re.compile("/scalar_backward/#?$"))
    page.goto(f"{address}/")
    expect(page.locator(".site-offer:visible")).to_have_count(0)
    page.context.close()
