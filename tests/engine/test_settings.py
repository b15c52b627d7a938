"""`[tool.livecell]`: what is wrong there is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from livecell import LivecellError, Preload, Settings


def load(folder: Path, text: str) -> Settings:
    (folder / "pyproject.toml").write_text(text)
    return Settings.load(folder)


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("[tool.livecell]\nsecnds = 3\n", "no setting 'secnds'", "did you mean seconds"),
        ("[tool.livecell]\nroot = '/'\n", "no setting 'root'", "known names"),
        ("[tool.livecell]\nseconds = 'long'\n", "a value of the wrong kind", "'long'"),
        ("[tool.livecell]\njobs = -1\n", "a value of the wrong kind", "jobs is less than 0"),
        ("[tool.livecell]\nsnippets = 3\n", "a value of the wrong kind", ""),
        ("[tool.livecell]\nlanguages = 'zh'\n", "a value of the wrong kind", "a list of strings"),
        ("[tool.livecell]\npreload = ['torch']\n", "a value of the wrong kind", ""),
        ("[[tool.livecell.preload]]\nmodules = 'torch'\n", "wrong kind", "a list of strings"),
        ("[[tool.livecell.preload]]\nwhen = 'x'\n", "wrong kind", "modules"),
        ("[[tool.livecell.preload]]\nmodules = []\nwhen = '('\n", "wrong kind", "position 0"),
        ("[tool]\nlivecell = 3\n", "is not a table", "3"),
        ("[tool.livecell\n", "is not valid TOML", "line 1"),
    ],
)
def test_a_wrong_setting_is_refused(tmp_path: Path, text: str, problem: str, hint: str) -> None:
    with pytest.raises(LivecellError) as caught:
        load(tmp_path, text)
    assert problem in caught.value.problem
    assert hint in str(caught.value)
    assert caught.value.file == tmp_path / "pyproject.toml"


def test_settings_are_found_from_any_folder_of_the_project(tmp_path: Path) -> None:
    load(tmp_path, "[tool.livecell]\nseconds = 3\nsnippets = 'code'\nlanguages = ['zh', 'en']\n")
    below = tmp_path / "docs" / "zh"
    below.mkdir(parents=True)
    settings = Settings.load(below)
    assert settings.root == tmp_path
    assert settings.snippets == tmp_path / "code"
    assert (settings.seconds, settings.languages) == (3.0, ("zh", "en"))


def test_without_settings_there_are_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, "[project]\nname = 'x'\n")
    assert settings.snippets == tmp_path / "snippets"
    assert settings.preload == ()
    assert settings.workers > 0


def test_stems_leave_out_modules(tmp_path: Path) -> None:
    settings = load(tmp_path, "[[tool.livecell.preload]]\nmodules = ['json']\n")
    assert settings.preload == (Preload(("json",)),)
    for name in ("b.py", "a/c.py", "_m.py", "_p/d.py", ".h/e.py", "a/_f.py", "g.txt"):
        (settings.snippets / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.snippets / name).touch()
    assert settings.stems() == ["a/c", "b"]
