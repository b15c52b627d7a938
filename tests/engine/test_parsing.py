"""In CPython 3.11 two threads must not parse at once: all that is ours parses under one lock."""

from __future__ import annotations

import re
from pathlib import Path

import livecell

ALLOWED = {"cells.py", "worker.py"}
"""`cells` holds the lock; a worker is a process of its own and has one thread that parses."""


def test_nobody_parses_past_the_lock() -> None:
    folder = Path(livecell.__file__).parent
    found = {
        path.name
        for path in folder.rglob("*.py")
        if re.search(r"\bast\.parse\(", path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED
