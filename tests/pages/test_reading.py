"""How long a page takes."""

from __future__ import annotations

import pytest

from livecell import reading


@pytest.mark.parametrize(
    ("prose", "minutes"),
    [
        ("", 5),
        ("<p>" + "word " * 1800 + "</p>", 10),
        ("<p>" + "字" * 2500 + "</p>", 10),
        ('<div class="livecell" data-cell="a:b"></div>' * 10, 10),
        ('<div class="admonition predict lc-predict">' * 20, 20),
        ('<h3 id="exercise-1">x</h3><h3 id="exercise-2">y</h3><h3 id="exercise-3">z</h3>', 15),
        ("<math>" + "<mi>word</mi> " * 1800 + "</math>", 5),
        ('<span class="lc-card">' + "word " * 1800 + "</span>", 5),
    ],
)
def test_words_cells_questions_and_exercises_count(prose: str, minutes: int) -> None:
    assert reading.minutes(prose) == minutes
