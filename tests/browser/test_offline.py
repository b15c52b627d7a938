"""The offline copy: unpacked onto a disk, opened with file://, in both languages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from livecell import links, pack

ROOT = Path(__file__).parents[2]
LANGUAGES = pytest.mark.parametrize("language", ["", "en/"], ids=["zh", "en"])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make offline` makes."""
    folder = tmp_path_factory.mktemp("offline")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder / "site")]
    environment = {**os.environ, "OFFLINE": "true", "SITE_URL": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert pack.pack(folder / "site", folder / "book.zip") < 20_000_000
    return folder / "book.zip"


@pytest.fixture(scope="module")
def disk(archive: Path) -> Path:
    """The unpacked copy, in a folder whose name needs escapes."""
    stick = archive.parent / "USB stick 盘"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(stick)
    return stick / "book"


@pytest.fixture
def tab(browser: Browser, disk: Path) -> Iterator[Page]:
    """A tab without a network, which fails the test if the page misses one."""
    context = browser.new_context(offline=True, viewport={"width": 1360, "height": 900})
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda r: trouble.append(r.url))
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith((disk.as_uri(), "data:", "blob:", "about:"))
            else trouble.append(r.url)
        ),
    )
    yield page
    context.close()
    assert trouble == []


def test_every_link_of_the_copy_resolves(disk: Path) -> None:
    found = links.read(disk)
    assert found.broken == []
    assert found.checked > 5000


@LANGUAGES
def test_lessons_are_reached_and_read(language: str, tab: Page, disk: Path) -> None:
    tab.goto(f"{disk.as_uri()}/{language}index.html")
    tab.locator("article a[href*='scalar_backward.html']").first.click()
    expect(tab.locator("h1")).to_be_visible()
    assert "w.grad = tensor([2.])" in "".join(tab.locator("samp").all_text_contents())
    other = "zh" if language else "en"
    tab.locator(f"[hreflang={other}]:visible").first.click()
    expect(tab.locator("html")).to_have_attribute("lang", other)
    assert tab.url.endswith(f"{'' if language else '/en'}/scalar_backward.html")


@LANGUAGES
def test_the_search_works_from_a_disk(language: str, tab: Page, disk: Path) -> None:
    tab.goto(f"{disk.as_uri()}/{language}errors/index.html")
    question = "Jacobian" if language else "雅可比矩阵"
    tab.locator("input.md-search__input").focus()
    tab.keyboard.insert_text(question)
    tab.keyboard.press("End")
    found = tab.locator(".md-search-result__item > a").first
    expect(found).to_be_visible(timeout=20_000)
    found.click()
    expect(tab).to_have_url(re.compile(rf"book/{language}\w+\.html\?h="))
    expect(tab.locator("mark[data-md-highlight]").first).to_be_visible()


@LANGUAGES
def test_a_message_is_explained_from_a_disk(language: str, tab: Page, disk: Path) -> None:
    tab.goto(f"{disk.as_uri()}/{language}errors/index.html")
    tab.locator(".lc-paste textarea").fill("can't optimize a non-leaf Tensor")
    link = tab.locator(".lc-found a").first
    link.click()
    expect(tab).to_have_url(re.compile(r"/errors/leaf\.html#optimize-non-leaf$"))


def test_the_copy_brings_what_can_be_taken_home(disk: Path) -> None:
    assert (disk / "en" / "scalar_backward.ipynb").is_file()
    assert (disk / "errors" / "leaf.py").is_file()
    assert not list(disk.rglob("*.map"))


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name in ("index.html", "en/页.html", "404.html", "assets/a.js.map"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name, encoding="utf-8")
    pack.pack(site, tmp_path / "a.zip")
    first = (tmp_path / "a.zip").read_bytes()
    os.utime(site / "index.html", (0, 0))
    pack.pack(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == ["a/en/页.html", "a/index.html"]
    assert not (tmp_path / "a.part").exists()
