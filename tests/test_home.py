"""What the home page, the page for authors and the two READMEs claim, tried out."""

from __future__ import annotations

import dataclasses
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from livecell import Runner, Settings, cells, check, cli, fence, pages

ROOT = Path(__file__).parents[1]
LANGUAGES = ("zh", "en")


def page(language: str, name: str) -> str:
    return (ROOT / "docs" / language / f"{name}.md").read_text(encoding="utf-8")


def readme(language: str) -> str:
    name = "README.md" if language == "en" else f"README.{language}.md"
    return (ROOT / name).read_text(encoding="utf-8")


# ------------------------------------------------------------------ the home page
@given(st.integers(-1000, 1000))
def test_the_derivative_of_x_squared_is_2_x(value: int) -> None:
    x = torch.tensor(float(value), requires_grad=True)
    (x**2).backward()
    assert x.grad == 2 * value


def test_the_versions_are_those_of_the_run(runner: Runner) -> None:
    built = runner.result("home").cell("built")
    assert built is not None
    printed = dict(line.split(" = ") for line in built.text().splitlines())
    assert printed["torch.__version__"] == torch.__version__
    assert printed["platform.python_version()"] == platform.python_version()
    assert date.fromisoformat(printed["date.today()"]) > date(2025, 1, 1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_leads_to_the_heading_it_names(language: str) -> None:
    links = re.findall(r"\[([^]]+)\]\((\w+)\.md#([\w-]+)\)", page(language, "index"))
    assert len(links) >= 6
    for text, name, anchor in links:
        assert f"## {text} {{#{anchor}}}" in page(language, name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_messages_quoted_are_those_of_torch(language: str, settings: Settings) -> None:
    rows = re.findall(r"^\| `([^`]{20,})` \|", page(language, "index"), flags=re.MULTILINE)
    approved = "".join(path.read_text() for path in settings.transcripts.glob("*.txt"))
    assert len(rows) == 7
    assert [row for row in rows if row not in approved] == []


# ------------------------------------------------------------------ the page for authors
def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_and_its_options_are_explained(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page(language, "how_it_works")
    commands = re.findall(r"^    (\w+)  ", help_of(capsys), flags=re.MULTILINE)
    assert {"run", "check", "diff", "new"} <= set(commands)
    for command in commands:
        row = next(line for line in text.splitlines() if line.startswith(f"| `livecell {command}"))
        options = re.findall(r"^  (--?[\w-]+)", help_of(capsys, command), flags=re.MULTILINE)
        assert [option for option in options if option != "-h" and f"`{option}" not in row] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_is_explained_with_its_default(language: str, runner: Runner) -> None:
    text = page(language, "how_it_works")
    ran = runner.result("how_it_works").cell("settings")
    assert ran is not None
    for field in dataclasses.fields(Settings):
        if field.name != "root":
            value = f"| `{field.name}` | `#!live how_it_works:settings {field.name}` |"
            assert value in text
            assert f"{field.name} = " in ran.text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_of_cells_and_fences_is_explained(language: str) -> None:
    text = page(language, "how_it_works")
    assert [option for option in cells.OPTIONS if f"{option}=" not in text] == []
    assert [value for value in fence.SHOW if f'show="{value}"' not in text] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_fence_that_is_only_shown_counts_as_no_cell(language: str) -> None:
    blocks = pages.read(ROOT / "docs" / language / "how_it_works.md")
    cited = [block.key for block in blocks if block.kind in ("cell", "value")]
    assert 'cell="sums:total"' in page(language, "how_it_works")
    assert [key for key in cited if not key.startswith("how_it_works:")] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_source_beside_the_fence_is_the_one_in_the_file(language: str) -> None:
    shown = re.search(r"```python\n(# %% total\n.*?)```", page(language, "how_it_works"), re.DOTALL)
    assert shown is not None
    assert shown[1] in (ROOT / "snippets" / "how_it_works.py").read_text(encoding="utf-8")


# ------------------------------------------------------------------ its example, carried out
def files(language: str, section: str) -> dict[str, str]:
    """The files that stand in a section of the page, by the titles of their fences."""
    text = page(language, "how_it_works")
    body = text.partition(f"{{#{section}}}")[2].partition("\n## ")[0]
    found = re.findall(r'^(`{3,})\w+ title="(.+?)"\n(.*?)^\1$', body, re.DOTALL | re.MULTILINE)
    assert found
    return {name: content for _, name, content in found}


def write(folder: Path, contents: dict[str, str]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_three_lines_make_a_live_site(language: str, tmp_path: Path) -> None:
    write(tmp_path, files(language, "setup"))
    built = run(tmp_path, "mkdocs", "build", "--strict")
    assert built.returncode == 0, built.stderr
    html = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "total = 6" in html
    assert "<code>2.0</code>" in html
    snippet = tmp_path / "snippets" / "sums.py"
    snippet.write_text(snippet.read_text().replace("# %% mean", "# %% means"))
    built = run(tmp_path, "mkdocs", "build")
    assert built.returncode != 0
    assert "did you mean" in built.stderr
    assert "total = 6" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_a_second_language_takes_two_files(tmp_path: Path) -> None:
    example = files("en", "setup")
    comments = "# %% total\n# zh: 求和\n# en: add up\n"
    example["snippets/sums.py"] = example["snippets/sums.py"].replace("# %% total\n", comments)
    example |= {f"docs/{tag}/index.md": example["docs/index.md"] for tag in LANGUAGES}
    del example["docs/index.md"]
    write(tmp_path, example | files("en", "languages"))
    assert files("zh", "languages") == files("en", "languages")
    built = run(tmp_path, "mkdocs", "build", "--strict")
    assert built.returncode == 0, built.stderr
    zh = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    en = (tmp_path / "site" / "en" / "index.html").read_text(encoding="utf-8")
    assert ("# 求和" in zh, "# add up" in zh) == (True, False)
    assert ("# 求和" in en, "# add up" in en) == (False, True)
    assert check.static(Settings.load(tmp_path)) == []


def test_two_files_make_pytest_hold_the_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, files("en", "setup") | files("en", "tests"))
    assert files("zh", "tests") == files("en", "tests")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert run(tmp_path, "pytest", "--update").returncode == 0
    assert run(tmp_path, "pytest").returncode == 0
    snippet = tmp_path / "snippets" / "sums.py"
    snippet.write_text(snippet.read_text().replace("[1, 2, 3]", "[1, 2, 4]"))
    assert run(tmp_path, "pytest").returncode == 1


# ------------------------------------------------------------------ the READMEs
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_readme_names_only_make_targets_that_exist(language: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)`", readme(language)))
    assert {"serve", "test", "build", "check"} <= named <= targets


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_readme_names_only_files_that_exist(language: str) -> None:
    text = readme(language)
    layout = text.rpartition("|---|---|")[2]
    named = set(
        re.findall(r"`((?:docs|snippets|src|tests|bench|tools|mkdocs|\.ci)[^`<>\s]*)`", layout)
    )
    named |= set(re.findall(r"\]\(((?!http|#)[^)]+)\)", text))
    assert len(named) > 12
    assert [name for name in named if not (ROOT / name.partition("#")[0]).exists()] == []


def test_both_readmes_have_the_same_commands() -> None:
    def commands(text: str) -> tuple[list[str], set[str]]:
        fences = re.findall(r"^```\w+\n.*?^```$", text, flags=re.DOTALL | re.MULTILINE)
        for block in fences:
            text = text.replace(block, "")
        return fences, set(re.findall(r"`([^`\n]+)`", text))

    assert commands(readme("zh")) == commands(readme("en"))


def test_both_readmes_have_the_same_tables() -> None:
    def rows(text: str) -> list[int]:
        tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
        return [len(table.splitlines()) for table in tables]

    assert rows(readme("zh")) == rows(readme("en"))
    assert len(rows(readme("en"))) == 3


def test_the_readme_pins_the_version_of_torch_that_the_project_pins() -> None:
    pinned = re.search(r'"(torch==[\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned is not None
    assert f"pip install {pinned[1]} --index-url" in readme("en")
