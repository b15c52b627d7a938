"""Every link of the built site leads somewhere, in both languages."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import pytest

from livecell import cli, links


def write(site: Path, name: str, text: str) -> None:
    path = site / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A site whose links are all right, and of each kind."""
    write(
        tmp_path,
        "index.html",
        "<h1 id='top'>Home</h1><a href='en/lesson/#%E4%B8%80'>a</a><a href='#top'>b</a>"
        "<link href='a.css'><img src='p.png' srcset='p.png 1x, q.png 2x'><a href='/en/'>c</a>"
        "<a href='mailto:a@b.c'>d</a><a href='https://else.where/x#y'>e</a><a href='n.ipynb'>f</a>"
        "<img src='data:image/png;base64,AA'><svg><use href='#top'/></svg>",
    )
    write(tmp_path, "en/index.html", "<a href='..'>home</a> <a href='.'>self</a>")
    write(tmp_path, "en/lesson/index.html", "<h2 id='一'>One</h2><a href='../../?q=1#top'>up</a>")
    css = "/* url(no.png) */ b { background: url('p.png') } i { mask: url(data:x) }"
    write(tmp_path, "a.css", css)
    for name in ("p.png", "q.png", "n.ipynb"):
        write(tmp_path, name, "")
    return tmp_path


def test_a_good_site_is_found_good(small: Path) -> None:
    found = links.read(small)
    assert found.broken == []
    assert found.external == {"https://else.where/x#y": ["index.html"]}
    assert found.checked >= 11


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("en/lesson/#%E4%B8%80", "en/lesson/#two", "en/lesson/index.html has no id 'two'"),
        ("en/lesson/#%E4%B8%80", "en/leson/", "there is no en/leson/index.html"),
        ("'n.ipynb'", "'m.ipynb'", "there is no m.ipynb"),
        ("src='p.png'", "src='o.png'", "there is no o.png"),
        ("q.png 2x", "r.png 2x", "there is no r.png"),
        ("'a.css'", "'b.css'", "there is no b.css"),
        ("<use href='#top'", "<use href='#bottom'", "index.html has no id 'bottom'"),
        ("'/en/'", "'/fr/'", "there is no fr/index.html"),
    ],
)
def test_what_is_missing_is_found(old: str, new: str, said: str, small: Path) -> None:
    text = (small / "index.html").read_text(encoding="utf-8")
    assert old in text
    write(small, "index.html", text.replace(old, new))
    found = links.read(small)
    assert len(found.broken) == 1
    assert found.broken[0].startswith("index.html: ")
    assert found.broken[0].endswith(said)


def test_style_sheets_are_read_too(small: Path) -> None:
    write(small, "a.css", "b { background: url(fonts/x.woff2) }")
    assert links.read(small).broken == ["a.css: fonts/x.woff2: there is no fonts/x.woff2"]


def test_the_sites_own_address_is_no_other_host(small: Path) -> None:
    write(
        small,
        "404.html",
        "<a href='https://we.org/book/en/'></a><a href='/book/'></a>"
        "<a href='https://we.org/book/nothing/'></a><a href='https://we.org/'></a>",
    )
    found = links.read(small, "https://we.org/book/")
    assert found.broken == [
        "404.html: https://we.org/book/nothing/: there is no nothing/index.html"
    ]
    assert list(found.external) == ["https://else.where/x#y", "https://we.org/"]


def test_hosts_are_asked_when_told_to(small: Path) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(small))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        found = links.Links(external={f"{root}/a.css#x": ["p"], f"{root}/no.css": ["p", "q"]})
        answers = links.ask(found)
        server.shutdown()
    assert list(answers.values()) == ["ok", "404"]
    report = links.report(found, answers)
    assert f"ok  {root}/a.css#x\n    p\n404  {root}/no.css\n    p\n    q\n" in report


def test_the_command_reports_and_its_exit_code_tells(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(small)
    monkeypatch.delenv("SITE_URL", raising=False)
    write(small, "pyproject.toml", "[tool.livecell]\n")
    assert cli.main(["links", "."]) == 0
    assert "https://else.where/x#y\n    index.html\n1 external links\n" in capsys.readouterr().out
    (small / "n.ipynb").unlink()
    assert cli.main(["links", "."]) == 1
    assert "index.html: n.ipynb: there is no n.ipynb" in capsys.readouterr().err
    assert cli.main(["links", "nowhere"]) == 1


def test_every_link_of_the_built_site_resolves(site: Path) -> None:
    found = links.read(site)
    assert found.broken == []
    assert found.checked > 5000
    assert {name.startswith("en/") for names in found.external.values() for name in names} == {
        True,
        False,
    }
