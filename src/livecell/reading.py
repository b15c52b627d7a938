"""How long a page takes: to read it, to try its cells, to do its exercises. From its HTML."""

from __future__ import annotations

import re

HAN, LATIN = 250, 180
"""How many Chinese characters, or other words, of a technical text are read in a minute."""
CELL, QUESTION, EXERCISE = 1, 1, 5
"""Minutes for a cell, for a question to answer before the output shows, and for an exercise."""
STEP = 5
"""What minutes are rounded to: nobody reads to the minute."""

NO_WORDS = re.compile(r'<math.*?</math>|<span class="lc-card".*?</span>|<[^>]*>', re.DOTALL)
HAN_CHARACTER = re.compile("[\u3400-\u9fff]")
WORD = re.compile(r"[A-Za-z][\w'’-]*")


def minutes(prose: str) -> int:
    """How long a page takes whose HTML, but for code and outputs, is `prose`."""
    text = NO_WORDS.sub(" ", prose)
    took = len(HAN_CHARACTER.findall(text)) / HAN + len(WORD.findall(text)) / LATIN
    took += CELL * prose.count('<div class="livecell')
    took += QUESTION * prose.count("lc-predict")
    took += EXERCISE * prose.count('id="exercise-')
    return max(STEP, round(took / STEP) * STEP)
