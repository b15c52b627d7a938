"""Messages as patterns, and which pattern a pasted text holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecell import messages
from livecell.messages import Index

SIZE = "size of … must match the size of …"
PATTERNS = [
    ("size", f"The {SIZE}; got … instead"),
    ("twice", "Trying to backward through the graph a second time. Free it with retain_graph=True"),
    ("scalar", "grad can be implicitly created only for scalar outputs"),
    ("leaf", "a leaf Variable that requires grad is being used in an in-place operation."),
    (
        "view",
        "a view of a leaf Variable that requires grad is being used in an in-place operation.",
    ),
    ("zh", "梯度一直是 None"),
]
INDEX = Index(PATTERNS)
filler = st.text(min_size=1).filter(lambda text: text.strip() and "…" not in text)


@given(st.lists(filler, min_size=2, max_size=2))
def test_a_gap_takes_any_text(values: list[str]) -> None:
    assert messages.matches(SIZE, "size of {} must match the size of {}".format(*values))


@pytest.mark.parametrize(
    "text", ["size of  must match the size of 3", "a size of 2 must match the size of 3", ""]
)
def test_a_gap_takes_something_and_the_rest_must_fit(text: str) -> None:
    assert not messages.matches(SIZE, text)


def test_line_breaks_are_spaces() -> None:
    assert messages.matches("a b … d", "a\n  b\tc\n d")


def test_a_pattern_is_no_regular_expression() -> None:
    assert messages.matches("f(*args) [x]", "f(*args) [x]")
    assert not messages.matches("f(*args)", "fffargs")


@pytest.mark.parametrize(
    ("message", "heading"),
    [
        ("grad can be implicitly created only for scalar outputs", None),
        ("Trying to backward through the graph a second time (or …). More", "Trying to backward "
         "through the graph a second time (or"),
        ("Expected isFloatingType(grad.scalar_type()) to be true", None),
        ("one of the variables has been modified by an inplace operation: […], which", "one of the "
         "variables has been modified by an inplace operation"),
        ("short: but this is needed. More", "short: but this is needed"),
        ("ends with a full stop, and no more.", "ends with a full stop, and no more"),
    ],
)  # fmt: skip
def test_a_heading_is_the_beginning(message: str, heading: str | None) -> None:
    expected = (heading or message).removesuffix(" (or") if heading else message
    assert messages.heading(message).removesuffix(" (or") == expected


@pytest.mark.parametrize(("key", "pattern"), PATTERNS)
def test_every_pattern_finds_itself_first(key: str, pattern: str) -> None:
    first = INDEX.rank(pattern.replace("…", "7"))[0]
    assert first.key == key
    assert first.is_known


NOISE = """\
Traceback (most recent call last):
  File "C:\\Users\\张三\\train.py", line 812, in <module>
    loss = model(x.to("cuda:0"), y)[0]
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: {}
"""


@pytest.mark.parametrize(("key", "pattern"), PATTERNS[:-1])
def test_noise_around_it_does_no_harm(key: str, pattern: str) -> None:
    first = INDEX.rank(NOISE.format(pattern.replace("…", "[3, 4096]")))[0]
    assert (first.key, first.is_known) == (key, True)


@given(st.sampled_from(PATTERNS[:-1]), st.integers(20, 60))
def test_lines_may_be_broken_anywhere(pattern: tuple[str, str], width: int) -> None:
    text = NOISE.format(pattern[1].replace("…", "5"))
    broken = "\n".join(text[n : n + width] for n in range(0, len(text), width))
    first = INDEX.rank(broken)[0]
    assert (first.key, first.is_known) == (pattern[0], True)


def test_a_part_of_a_message_is_enough() -> None:
    assert INDEX.rank("backward through the graph a second time")[0].key == "twice"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
        "ModuleNotFoundError: No module named 'torch'",
        "",
        "12 0xdeadbeef ...",
    ],
)
def test_other_errors_are_not_known(text: str) -> None:
    assert not any(match.is_known for match in INDEX.rank(text))


@given(st.text())
def test_any_text_can_be_ranked(text: str) -> None:
    for match in INDEX.rank(text):
        assert 0 < match.score <= 1 + 1e-9


def test_nothing_is_found_in_nothing() -> None:
    assert Index([]).rank("anything at all") == []
