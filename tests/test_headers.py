"""The headers that a site is to be sent with, read off its pages."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from livecell import cli, headers
from livecell.errors import LivecellError

SCRIPT = "go('<b>&amp;</b>')\n"
PAGE = (
    f"<script>{SCRIPT}</script><script src=a.js></script>"
    '<script type="application/json">{"no": "code"}</script><p style="color: red">x</p>'
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "en" / "assets"
    folder.mkdir(parents=True)
    (tmp_path / "index.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "en" / "index.html").write_text(PAGE, encoding="utf-8")
    for name in ("main.0123abcd.min.css", "main.css"):
        (folder / name).write_text("", encoding="utf-8")
    return tmp_path


def test_each_script_in_a_page_is_allowed_by_its_hash(small: Path) -> None:
    policy = headers.read(small).every["Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}'; style-src" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy


def test_only_files_with_a_hash_in_their_name_are_kept(small: Path) -> None:
    read = headers.read(small)
    assert read.kept == ("/en/assets/main.0123abcd.min.css",)
    assert "immutable" in read.of("/en/assets/main.0123abcd.min.css")["Cache-Control"]
    assert read.of("/en/assets/main.css")["Cache-Control"] == "no-cache"


def test_a_script_in_an_attribute_is_an_error(small: Path) -> None:
    (small / "b.html").write_text("<p onclick='go()'>x</p>", encoding="utf-8")
    with pytest.raises(LivecellError, match="<p onclick>"):
        headers.read(small)


def test_both_forms_say_the_same(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(small)
    (small / "pyproject.toml").write_text("[tool.livecell]\n", encoding="utf-8")
    read = headers.read(small)
    assert cli.main(["headers", "."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "/*"
    assert f"  Content-Security-Policy: {read.every['Content-Security-Policy']}" in lines
    assert lines[-2:] == ["/en/assets/main.0123abcd.min.css", f"  Cache-Control: {headers._YEAR}"]
    assert cli.main(["headers", ".", "--form", "nginx"]) == 0
    said = capsys.readouterr().out
    for name, value in read.every.items():
        assert said.count(f'add_header {name} "{value}" always;') == 2
    kept, asked = (said.index(f'Cache-Control "{value}"') for value in (headers._YEAR, "no-cache"))
    assert asked < said.index("location ") < kept


def test_the_site_has_few_scripts_in_its_pages(site: Path) -> None:
    policy = headers.read(site).every["Content-Security-Policy"]
    assert 1 < policy.count("sha256-") < 40  # a header of some kilobytes is refused by hosts
