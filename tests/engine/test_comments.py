"""Comments in several languages: what a reader of one language gets to see."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livecell import LivecellError
from livecell.comments import check_twins, select

LANGUAGES = ("zh", "en", "de")
PLAIN = st.sampled_from(
    [
        "x = 1",
        "# nothing",
        "",
        "if x:\n    y = 2",
        's = """\n# zh: in a string\n  # en: too\n"""',
        "t = '# en: in a string'",
        "u = 3  # behind code",
        "v = [\n    1,\n]",
        "w = '\u2028# zh: one string'",
    ]
)
TAGGED = st.tuples(
    st.sampled_from(LANGUAGES),
    st.sampled_from(["", "    "]),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])).filter(
        lambda text: "\0" not in text
    ),
)


@settings(deadline=None)
@given(st.lists(PLAIN | TAGGED), st.sampled_from(LANGUAGES))
def test_a_reader_sees_the_untagged_lines_and_the_own_language(
    parts: list[str | tuple[str, str, str]], language: str
) -> None:
    source = "".join(
        f"{part}\n" if isinstance(part, str) else f"{part[1]}# {part[0]}: {part[2]}\n"
        for part in parts
    )
    expected = "".join(
        f"{part}\n" if isinstance(part, str) else f"{part[1]}# {part[2]}\n"
        for part in parts
        if isinstance(part, str) or part[0] == language
    )
    assert select(source, language, LANGUAGES) == expected
    assert ast.dump(ast.parse(expected)) == ast.dump(ast.parse(source))


def test_without_languages_nothing_is_taken_out() -> None:
    assert select("# zh: x\ny = 1\n", "zh", ()) == "# zh: x\ny = 1\n"


def test_code_that_does_not_even_tokenize_is_kept() -> None:
    assert select("# zh: x\n# en: y\nz = (\n", "en", ("zh", "en")) == "# y\nz = (\n"


@pytest.mark.parametrize(
    "source",
    [
        "# zh: 一\n# en: one\n",
        "# en: one\n# zh: 一\n",
        "# zh: 一\n# zh: 二\n# en: one\n# en: two\n# en: three\n",
        "# zh: 一\n# en: one\n# zh: 二\n# en: two\n",
        "x = 1\n\n# zh: 一\n# en: one\ny = 2\n",
        "s = '# zh: 一'\n",
    ],
)
def test_twins_side_by_side_are_right(source: str) -> None:
    check_twins(source, 1, ("zh", "en"))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("# zh: 一\n", 10),
        ("x = 1\n# en: one\n", 11),
        ("# zh: 一\n\n# en: one\n", 10),
        ("# zh: 一\n# en: one\n# zh: 二\n", 10),
        ("# zh: 一\n# en: one\nx = 1\n# zh: 二\n", 13),
        ("x = 1  # zh: 一\n", 10),
        ('s = """\n"""  # zh: 一\n', 11),
        ("f(  # zh: 一\n  1)\n", 10),
    ],
)
def test_a_missing_twin_is_an_error_at_its_line(source: str, line: int) -> None:
    with pytest.raises(LivecellError) as caught:
        check_twins(source, 10, ("zh", "en"))
    assert caught.value.line == line
