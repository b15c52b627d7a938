"""The site built for an address: what search engines read, and the page for what is not there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from livecell import links

ROOT = Path(__file__).parents[1]
ADDRESS = "https://example.org/autograd/"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "SITE_URL": ADDRESS}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_sitemaps_list_every_page_of_both_languages(published: Path) -> None:
    robots = (published / "robots.txt").read_text(encoding="utf-8")
    assert re.findall(r"^Sitemap: (.+)$", robots, re.MULTILINE) == [
        f"{ADDRESS}sitemap.xml",
        f"{ADDRESS}en/sitemap.xml",
    ]
    assert "Disallow" not in robots
    listed: list[str] = []
    for name in ("sitemap.xml", "en/sitemap.xml"):
        listed += re.findall("<loc>(.+?)</loc>", (published / name).read_text(encoding="utf-8"))
    pages = {
        f"{ADDRESS}{path.relative_to(published).parent.as_posix()}/".replace("/./", "/")
        for path in published.rglob("index.html")
    }
    assert sorted(listed) == sorted(pages)


def test_every_page_has_its_address_and_a_description(published: Path) -> None:
    for path in published.rglob("index.html"):
        text = path.read_text(encoding="utf-8")
        own = f"{ADDRESS}{path.relative_to(published).parent.as_posix()}/".replace("/./", "/")
        assert f'<link rel="canonical" href="{own}">' in text, path
        assert re.search('<meta name="description" content=".{20,}">', text), path


def test_links_with_the_address_resolve_and_so_do_those_of_the_404_page(published: Path) -> None:
    found = links.read(published, ADDRESS)
    assert [one for one in found.broken if "http" in one or one.startswith("404")] == []
    assert not any(url.startswith(ADDRESS) for url in found.external)
