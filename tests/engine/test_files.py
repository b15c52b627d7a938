"""Snippet files that cannot be taken apart: each is refused with file, line and cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.conftest import MakeProject
from tests.engine.project import failure

from livecell import LivecellError, cells

# name: (content, line, cell, part of the problem, part of the rest of the message)
BAD: dict[str, tuple[bytes, int, str | None, str, str]] = {
    "empty": (b"", 1, None, "the file has no cell", "# %% leaves"),
    "blank": (b"\n\n  \n", 1, None, "the file has no cell", "# %% leaves"),
    "only_comments": (b"# one\n# two\n", 1, None, "the file has no cell", "# %% leaves"),
    "only_prose": (b"# %% [markdown]\n# words\n", 1, None, "no code cell", "# %% name"),
    "not_utf8": (b"# %% a\nx = 1\ny = '\xe9'\n", 3, None, "is not UTF-8", "byte 0xe9"),
    "utf16": (
        "# %% a\nx = 1\n".encode("utf-16"),
        1,
        None,
        "is not UTF-8",
        "save the file as UTF-8",
    ),
    "duplicate_name": (
        b"# %% a\nx = 1\n\n# %% b\nx = 2\n\n# %% a\nx = 3\n",
        7,
        "a",
        "'a' is used twice",
        "the cell at line 2",
    ),
    "no_name": (b"# %% a\nx = 1\n# %%\nx = 2\n", 3, None, "has no name", "# %% second_backward"),
    "no_space": (b"# %%a\nx = 1\n", 1, None, "has no name", "found:    # %%a"),
    "bad_name": (b"# %% Two words\nx = 1\n", 1, None, "no usable name", "Two words"),
    "chinese_name": ("# %% 叶子\nx = 1\n".encode(), 1, None, "no usable name", "叶子"),
    "unknown_option": (b'# %% a rises="E"\nx = 1\n', 1, "a", "'rises' is unknown", "raises="),
    "unquoted_option": (b"# %% a raises=E\nx = 1\n", 1, "a", "cannot be read", 'raises="Runtime'),
    "unclosed_option": (b'# %% a raises="E\nx = 1\n', 1, "a", "cannot be read", 'raises="Runtime'),
    "empty_option": (b'# %% a raises=""\nx = 1\n', 1, "a", "no usable value", 'raises="Runtime'),
    "wrong_option": (b'# %% a volatile="no"\nx = 1\n', 1, "a", "no usable value", "volatile=true"),
    "code_before": (b"# hello\n\nimport os\n# %% a\nx = 1\n", 3, None, "before the first cell", ""),
    "no_cells": (b"import os\nprint(os)\n", 1, None, "before the first cell", "# %% leaves"),
    "no_code": (b"# %% a\n# zh: x\n\n# %% b\nx = 1\n", 1, "a", "the cell has no code", ""),
    "syntax": (b"# %% a\nx = 1\n\n# %% b\ny = 2\nx = = 3\n", 6, "b", "invalid syntax", "x = = 3"),
    "unclosed": (b"# %% a\nx = 1\n\n# %% b\ny = (2\n", 5, "b", "was never closed", "y = (2"),
    "indentation": (b"# %% a\nif True:\nx = 1\n", 3, "a", "expected an indented block", "x = 1"),
    "nul": (b"# %% a\nx = 1\n\n# %% b\ny = '\0'\n", 5, "b", "a NUL character", "\\0 in a string"),
    "split_statement": (
        b"# %% a\nfor i in range(2):\n    x = i\n# %% b\n    x = 2\ny = 1\n",
        2,
        "a",
        "does not lie in one code cell",
        "from line 2 to line 5",
    ),
    "split_decorator": (
        b"# %% a\nimport functools\n@functools.cache\n# %% b\ndef f():\n    pass\n",
        3,
        "a",
        "does not lie in one code cell",
        "from line 3 to line 6",
    ),
    "header_in_string": (
        b'# %% a\nx = """\n# %% b\n"""\ny = 1\n',
        2,
        "a",
        "does not lie in one code cell",
        "from line 2 to line 4",
    ),
    "code_in_prose": (
        b"# %% a\nx = 1\n\n# %% [markdown]\n# words\nx = 2\n",
        6,
        None,
        "does not lie in one code cell",
        "into a code cell",
    ),
    "twin_missing": (
        b"# %% a\nx = 1\n# zh: x\ny = 2\n",
        3,
        "a",
        "no twin in the other language",
        "`# zh:` then `# en:`",
    ),
    "twins_apart": (b"# %% a\n# zh: x\nx = 1\n# en: x\n", 2, "a", "no twin", "`# zh:`"),
    "twin_trailing": (
        b"# %% a\nx = 1\ny = 2  # en: two\n",
        3,
        "a",
        "stands behind code",
        "line above",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    content, line, cell, problem, rest = BAD[name]
    path = tmp_path / f"{name}.py"
    path.write_bytes(content)
    with pytest.raises(LivecellError) as caught:
        cells.read(path, ("zh", "en"))
    error = caught.value
    assert (error.file, error.line, error.cell) == (path, line, cell)
    assert problem in error.problem
    assert rest in str(error)
    assert str(error).startswith(f"{path}:{line}")


def test_bad_files_do_not_keep_good_ones_from_running(make: MakeProject) -> None:
    """The whole table at once, through the runner: same errors, and only the good are stored."""
    project = make({"good": "# %% a\nprint(1)\n"}, languages=["zh", "en"])
    for name, (content, *_) in BAD.items():
        project.write(name, content)
    outcomes = project.outcomes()
    good = outcomes.pop("good")
    assert not isinstance(good, LivecellError)
    assert good.cells[0].text() == "1\n"
    assert set(outcomes) == set(BAD)
    for name, outcome in outcomes.items():
        error = failure(outcome)
        assert (error.file, error.line) == (project.settings.snippet(name), BAD[name][1])
    assert len(project.entries()) == 1


UNUSUAL = {
    "bom_crlf": "\ufeff# %% a\r\nprint(1)\r\n\r\n\r\n# %% b\r\nprint(2)\r\n",
    "cr": "# %% a\rprint(1)\r# %% b\rprint(2)\r",
    "line_ends_of_others": "# %% a\nprint(len('\u2028\x0c\x85') - 2)\n# %% b\nprint(2)",
    "prose": "# %% [markdown]\n# words\n# %% a\nprint(1)\n"
    "# %% [markdown]\n'''\nwords\n'''\n# %% b\nprint(2)\n",
    "preamble": "# -*- coding: utf-8 -*-\n\n#%% a\nprint(1)\n#%% b\n\n\nprint(2)\n",
    "future": "# %% a\nfrom __future__ import annotations\nprint(1)\n"
    "# %% b\ndef f(x: y): ...\nprint(f.__annotations__['x'] == 'y' and 2)",
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_file_that_is_right_runs(make: MakeProject, name: str) -> None:
    project = make({})
    project.write("odd", UNUSUAL[name].encode())
    assert [cell.text() for cell in project.run("odd").cells] == ["1\n", "2\n"]


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(LivecellError, match=r"nowhere\.py: there is no such snippet file"):
        cells.read(tmp_path / "nowhere.py")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(LivecellError, match="cannot be read"):
        cells.read(tmp_path)


def test_unknown_stem_gets_the_nearest_names(make: MakeProject) -> None:
    project = make({"scalar_backward": "# %% a\nx = 1\n", "other": "# %% a\nx = 1\n"})
    with pytest.raises(LivecellError) as caught:
        project.run("scalar_backwards")
    assert "there is no snippet 'scalar_backwards'" in str(caught.value)
    assert "did you mean scalar_backward?" in str(caught.value)
    with pytest.raises(LivecellError, match="known names: other, scalar_backward"):
        project.run("zzz")


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
LINES = st.sampled_from(
    [
        "x = 1",
        "print('a')  # why",
        "# a comment",
        "",
        "for i in range(3):\n    print(i)\n\n    print('# %% no header')",
        's = """\n\n  # zh: no comment\n"""',
        "y = '\u2028 \x0c \x85 叶子 🙂'",
        "#%no header",
        "\x0c",
    ]
)
BODIES = st.lists(LINES, max_size=6).map(lambda lines: [*lines, "z = 0"])


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, BODIES, min_size=1, max_size=5),
    st.integers(0, 3),
    st.sampled_from(["\n", "\r\n"]),
)
def test_parse_finds_sources_and_lines_again(
    bodies: dict[str, list[str]], blank: int, newline: str
) -> None:
    text = "# preamble\n"
    for name, lines in bodies.items():
        text += f"# %% {name}\n" + "\n" * blank + "\n".join(lines) + "\n" * (blank + 1)
    parsed = cells.parse(text.replace("\n", newline), Path("x.py"))
    assert [cell.name for cell in parsed] == list(bodies)
    lines = text.split("\n")
    for cell in parsed:
        source = "\n".join(bodies[cell.name])
        first = next(line for line in source.split("\n") if line.strip())
        assert cell.source == source[source.index(first) :]
        assert lines[cell.line - 1 : cell.last_line] == cell.source.split("\n")
