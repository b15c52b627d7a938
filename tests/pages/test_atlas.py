"""The atlas: what `livecell check` says of its lists, what a page makes of it, and `explain`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from tests.pages import rendering

from livecell import (
    CellResult,
    LivecellError,
    Result,
    Settings,
    atlas,
    atlasfile,
    check,
    cli,
    explain,
    fence,
)
from livecell.mkdocs import assets

LANGUAGES = ("zh", "en")
SNIPPET = """\
# %% unknown raises="NameError"
nobody

# %% warned
import warnings

warnings.warn("soon gone", stacklevel=1)
"""
LIST = """\
- id: unknown-name
  cell: unknown
  type: NameError
  message: name '…' is not defined
  heading: is not defined
  older: [global name … is not defined]
  operations: [del, import]
  lesson: names#scope
  zh: 没有这个名字
  zh_means: Python 不认识 `x`。
  zh_cure: 先定义。
  en: Unknown name
  en_means: Python does not know `x`.
  en_cure: Define it first.
- id: soon-gone
  cell: warned
  type: UserWarning
  message: soon gone
  operations: [import]
  zh: 快没了
  zh_means: 警告。
  zh_cure: 换掉。
  en: Soon gone
  en_means: A warning.
  en_cure: Replace it.
- id: nothing-happens
  zh: 什么也没有
  zh_means: 没有报错。
  zh_cure: 看一看。
  zh_symptoms: [没有反应]
  en: Nothing happens
  en_means: No error.
  en_cure: Look.
  en_symptoms: [it does nothing at all]
"""
PAGE = """\
# Names

[ENTRY unknown-name]

```python exec="on" cell="errors/names:unknown"
```

[ENTRY soon-gone]

```python exec="on" cell="errors/names:warned"
```

[ENTRY nothing-happens]
"""


def project(root: Path, listed: str = LIST, page: str = PAGE, snippet: str = SNIPPET) -> Settings:
    """A small site with this atlas."""
    files = {"snippets/errors/names.py": snippet, "docs/atlas/names.yml": listed}
    for language in LANGUAGES:
        files[f"docs/{language}/errors/names.md"] = page
        files[f"docs/{language}/names.md"] = "# All names\n\n## Scope {#scope}\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Settings.from_table(root, {"languages": list(LANGUAGES)})


def ran(
    message: str, stderr: str = "names.py:6: UserWarning: soon gone\n  warnings.warn(…)\n"
) -> Any:
    """What gives the result of the snippet, with this message and these warnings."""
    error = {"output_type": "error", "ename": "NameError", "evalue": message, "traceback": []}
    warned = {"output_type": "stream", "name": "stderr", "text": stderr}
    cells = [
        CellResult("unknown", "nobody", 2, raises="NameError", outputs=[error]),
        CellResult("warned", "import warnings", 5, outputs=[warned]),
    ]
    return lambda stem: Result(stem, cells)


def problems(settings: Settings) -> list[str]:
    return [error.problem for error in check.static(settings)]


def test_a_good_atlas_gives_no_error(tmp_path: Path) -> None:
    settings = project(tmp_path)
    assert problems(settings) == []
    assert check.site(settings, ran("name 'nobody' is not defined")) == []


def test_a_site_need_not_have_one(tmp_path: Path) -> None:
    settings = project(tmp_path, page=PAGE.replace("[ENTRY", "ENTRY"))
    (tmp_path / "docs/atlas/names.yml").unlink()
    assert atlas.load(settings) is None
    assert problems(settings) == []


@pytest.mark.parametrize(
    ("folded", "read"),
    [
        ("先定义，\n    再用。", "先定义，再用。"),
        ("先定\n    义“它”\n    再用。", "先定义“它”再用。"),
        ("先定义\n    `x`，\n    再用\n    （`x`）。", "先定义 `x`，再用（`x`）。"),
        ("torch\n    “x”\n    y", "torch “x” y"),
    ],
)
def test_a_folded_line_leaves_no_space_where_chinese_has_none(folded: str, read: str) -> None:
    listed = LIST.replace("zh_cure: 先定义。", f"zh_cure: >-\n    {folded}")
    entries, errors = atlasfile.parse(listed, "names", ("zh", "en"))
    assert errors == ()
    assert entries[0].cures["zh"] == read


@pytest.mark.parametrize(
    ("old", "new", "line", "problem", "hint"),
    [
        ("  en_cure: Look.\n", "", 26, "has no 'en_cure'", "every language needs"),
        ("  zh: 没有这个名字\n", "", 1, "has no 'zh'", "every language needs"),
        ("id: soon-gone", "id: Soon gone", 15, "an entry has no proper id", "lower-case"),
        ("id: soon-gone", "id: unknown-name", 15, "is given twice", "line 1"),
        ("  cell: unknown\n", "", 1, "is half an error", "cell, type and message"),
        ("heading: is not", "heading: is never", 1, "is not in it", "to the letter"),
        ("  en_symptoms: [it does nothing at all]\n", "", 26, "neither a message nor", "put it"),
        ("operations: [del,", "operation: [del,", 7, "has no field 'operation'", "operations or"),
        ("older: [global name … is not defined]", "older: x", 6, "of the wrong kind", "a list"),
        ("lesson: names#scope", "lesson: name#scope", 1, "leads to a lesson that is not", "name"),
        ("lesson: names#scope", "lesson: names#scop", 1, "leads to a lesson that is not", "scope?"),
        ("cell: unknown", "cell: unknwon", 1, "has no cell 'unknwon'", "unknown?"),
        ("type: NameError", "type: KeyError", 1, "name different errors", "KeyError"),
        ("type: UserWarning", "type: NameError", 15, "name different errors", "NameError"),
        (LIST, "x: y\n", None, "the file is no list of entries", "- id"),
        (LIST, "- [\n", 2, "is not valid YAML", ""),
    ],
)
def test_a_list_in_error_is_told(
    old: str, new: str, line: int | None, problem: str, hint: str, tmp_path: Path
) -> None:
    assert old in LIST
    settings = project(tmp_path, LIST.replace(old, new, 1))
    told = [e for e in check.static(settings) if problem in e.problem]
    assert told
    assert told[0].file == tmp_path / "docs/atlas/names.yml"
    assert line is None or told[0].line == line
    assert hint in str(told[0])


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("[ENTRY soon-gone]\n", "", None, "'soon-gone' must stand once on"),
        ("[ENTRY soon-gone]", "[ENTRY soon-gone]\n\n[ENTRY soon-gone]", None, "must stand once"),
        ("[ENTRY soon-gone]", "[ENTRY sun-gone]", 8, "the atlas has no entry 'sun-gone'"),
    ],
)
def test_a_page_in_error_is_told(
    old: str, new: str, line: int | None, problem: str, tmp_path: Path
) -> None:
    assert old in PAGE
    settings = project(tmp_path, page=PAGE.replace(old, new, 1))
    told = [e for e in check.static(settings) if problem in e.problem]
    assert len(told) == 2  # once for each language
    assert line is None or told[0].line == line


def test_an_entry_on_another_page_is_told(tmp_path: Path) -> None:
    settings = project(tmp_path)
    for language in LANGUAGES:
        page = settings.docs / language / "names.md"
        page.write_text(page.read_text() + "\n[ENTRY soon-gone]\n")
    assert "'soon-gone' belongs on the page errors/names.md" in " ".join(problems(settings))


def test_pages_with_other_entries_are_no_twins(tmp_path: Path) -> None:
    settings = project(tmp_path)
    page = settings.docs / "en/errors/names.md"
    page.write_text(page.read_text().replace("[ENTRY nothing-happens]", "[ENTRY soon-gone]"))
    assert "the page differs in structure from its twin" in problems(settings)


def test_an_id_may_be_given_once_in_all_files(tmp_path: Path) -> None:
    settings = project(tmp_path)
    again = LIST[LIST.index("- id: nothing") :]
    (tmp_path / "docs/atlas/more.yml").write_text(again, encoding="utf-8")
    assert "the id 'nothing-happens' is given twice" in problems(settings)


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    settings = project(tmp_path)
    (tmp_path / "docs/atlas/more.yml").write_bytes("- 错".encode("gb18030"))
    assert "the list of errors cannot be read" in problems(settings)


@pytest.mark.parametrize(
    ("result", "entry"),
    [
        (ran("name 'nobody' is unknown"), "unknown-name"),
        (ran("name 'nobody' is not defined, really"), "unknown-name"),
        (ran("name 'nobody' is not defined", "UserWarning: long gone"), "soon-gone"),
        (ran("name 'nobody' is not defined", "FutureWarning: soon gone"), "soon-gone"),
    ],
)
def test_a_message_that_the_run_did_not_give_is_told(
    result: Any, entry: str, tmp_path: Path
) -> None:
    (error,) = check.site(project(tmp_path), result)
    assert f"the message of the entry '{entry}' is not the one" in error.problem
    assert error.found
    assert error.expected


# ------------------------------------------------------------------ on a page
def show(markdown: str, root: Path, language: str = "en", here: str = "errors/names") -> Any:
    settings = project(root)
    rendering.site(language=language, atlas=atlas.load(settings))
    assert fence.site is not None
    fence.site.page = settings.docs / language / f"{here}.md"
    converter = rendering.converter()
    converter.registerExtensions(["livecell.atlaspage"], {})
    return rendering.render(markdown)


def test_an_entry_begins_with_its_message(tmp_path: Path) -> None:
    page = show("[ENTRY unknown-name]", tmp_path)
    heading = page.one("h2")
    assert heading.attributes["id"] == "unknown-name"
    assert heading.one("code").text == "is not defined"
    box = page.one(css="lc-entry")
    assert "Unknown name" in box.text
    assert "Python does not know x." in box.text
    assert "global name … is not defined" in [code.text for code in box.all("code")]
    assert box.one("a").attributes["href"] == "../names.md#scope"
    assert box.one("a").text == "All names"
    assert [item["name"] for item in rendering.converter().toc_tokens] == ["Unknown name"]  # type: ignore[attr-defined]


def test_an_entry_without_a_message_begins_with_its_title(tmp_path: Path) -> None:
    page = show("[ENTRY nothing-happens]", tmp_path, "zh")
    assert page.one("h2").text.startswith("什么也没有")
    assert "看一看。" in page.one(css="lc-entry").text


def test_the_lists_lead_to_every_entry(tmp_path: Path) -> None:
    page = show("[ATLAS message]\n\n[ATLAS symptom]\n\n[ATLAS operation]", tmp_path, here="a/b")
    links = [link.attributes["href"] for link in page.all("a")]
    for name in "unknown-name", "soon-gone", "nothing-happens":
        assert f"../errors/names.md#{name}" in links
    assert [term.text for term in page.one(css="lc-operations").all("dt")] == ["del", "import"]
    assert "it does nothing at all" in page.text


def test_the_box_is_hidden_without_a_script(tmp_path: Path) -> None:
    form = show("[ATLAS paste]", tmp_path).one("form")
    assert "hidden" in form.attributes
    assert form.one("label").all("textarea")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[ENTRY unknown]", "the atlas has no entry 'unknown'"),
        ("[ATLAS massage]", "the atlas has no list 'massage'"),
    ],
)
def test_an_unknown_marker_ends_the_build(line: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(fence.Stop, match=problem):
        show(line, tmp_path)
    assert fence.site is not None
    fence.site.errors = []
    assert problem in rendering.render(line).text
    assert [error.problem for error in fence.site.errors] == [problem]


def test_without_an_atlas_the_line_stays_text(tmp_path: Path) -> None:
    show("", tmp_path)
    assert fence.site is not None
    fence.site.atlas = None
    assert rendering.render("[ENTRY unknown-name]").text.strip() == "[ENTRY unknown-name]"


def test_the_script_of_the_box_is_there() -> None:
    assert all(path.is_file() for path in assets.ATLAS.values())


# ------------------------------------------------------------------ in the terminal
@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = project(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.livecell]\nlanguages = ["zh", "en"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SITE_URL", raising=False)
    for name in "LC_ALL", "LC_MESSAGES", "LANG":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    return settings


def test_explain_answers(at_home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "NameError: name 'numpi' is not defined"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Unknown name\n")
    assert "Define it first." in said
    assert "docs/en/errors/names.md#unknown-name" in said
    assert "All names  docs/en/names.md#scope" in said


@pytest.mark.parametrize("name", ["LC_ALL", "LC_MESSAGES", "LANG"])
def test_explain_speaks_the_language_of_the_locale(
    name: str, at_home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(name, "zh_CN.UTF-8")
    monkeypatch.setenv("SITE_URL", "https://example.org/a/")
    assert cli.main(["explain", "name", "'numpi'", "is", "not", "defined"]) == 0
    said = capsys.readouterr().out
    assert "先定义。" in said
    assert "https://example.org/a/errors/names/#unknown-name" in said


def test_a_language_the_site_has_not_gets_english(
    at_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert explain.language(at_home) == "en"


def test_explain_reads_a_traceback_from_standard_input(
    at_home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'Traceback (most recent call last):\n  File "C:\\用户\\x.py", line 3\n    y\n    ^\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(text + "NameError: name 'y' is not\n  defined\n"))
    assert cli.main(["explain"]) == 0
    assert "Unknown name" in capsys.readouterr().out


def test_what_is_not_known_gets_the_nearest(
    at_home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "KeyError: the global name of the key is missing from the dictionary of settings"
    assert cli.main(["explain", text]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Not known for certain.")
    assert "docs/en/errors/names.md#unknown-name" in said


def test_what_resembles_nothing_is_said(
    at_home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", "segmentation fault"]) == 1
    assert capsys.readouterr().err == "Nothing here resembles that.\n"


def test_nothing_to_explain_is_an_error(at_home: Settings, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli.main(["explain"]) == 1
    assert "there is no message to explain" in capsys.readouterr().err


def test_a_site_without_an_atlas_says_so(at_home: Settings, capsys: Any) -> None:
    (at_home.atlas / "names.yml").unlink()
    assert cli.main(["explain", "x"]) == 1
    assert "this site explains no errors" in capsys.readouterr().err


def test_the_text_need_not_be_a_message(at_home: Settings) -> None:
    known = atlas.load(at_home)
    assert known is not None
    with pytest.raises(LivecellError, match="no message to explain"):
        explain.explain(" \n", known, "en")
