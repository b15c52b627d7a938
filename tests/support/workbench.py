"""A lab on the bench: its cells run one by one, with other answers in place of its solutions."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from livecell.cells import Cell, read

ROOT = Path(__file__).parents[2]
GAP = re.compile(r"^(?P<indent> *)# solution:\n(?P<body>.*?)^ *# end$", re.MULTILINE | re.DOTALL)
OPEN = "..."
Answer = str | list[str]


class Failed(Exception):
    """A cell of the lab has raised; `cell` is its name, and the cause is what it raised."""

    def __init__(self, cell: str, error: Exception) -> None:
        super().__init__(f"{cell}: {type(error).__name__}: {error}")
        self.cell, self.error = cell, error


class Lab:
    """A lab's cells, read from its file."""

    def __init__(self, name: str) -> None:
        self.path = ROOT / "snippets" / "labs" / f"{name}.py"
        self.cells: list[Cell] = read(self.path, ("zh", "en"))

    @property
    def turns(self) -> list[str]:
        """Names of the cells with a gap for the reader."""
        return [cell.name for cell in self.cells if GAP.search(cell.source)]

    def prose(self, language: str) -> str:
        """All prose of one language."""
        header = re.escape(f'# %% [markdown] lang="{language}"')
        cells = re.findall(
            rf"^{header}\n(.*?)(?=^# %%|\Z)", self.path.read_text("utf-8"), re.M | re.S
        )
        return re.sub(r"^# ?", "", "".join(cells), flags=re.M)

    def solution(self, cell: str) -> str:
        """What stands in the gap of a cell, without its indent."""
        source = next(c.source for c in self.cells if c.name == cell)
        found = GAP.search(source)
        assert found, f"{cell} has no gap"
        return textwrap.dedent(found["body"])

    def check_of(self, turn: str) -> str:
        """Name of the first check below a cell with a gap."""
        names = [cell.name for cell in self.cells]
        return next(n for n in names[names.index(turn) :] if n.startswith("check_"))

    def run(self, until: str, answers: dict[str, Answer] | None = None) -> dict[str, Any]:
        """Run the cells from the top to `until`; the names that they have made.

        Args:
            until: the last cell to run.
            answers: cells with a gap, and what to write there, or a list if there are several;
                `OPEN` leaves all of them open.

        Raises:
            Failed: a cell has raised.
        """
        names: dict[str, Any] = {"__name__": "__main__"}
        for cell in self.cells:
            source = _filled(cell.source, (answers or {}).get(cell.name))
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(source, f"{self.path.name}:{cell.name}", "exec"), names)
            except Exception as error:
                raise Failed(cell.name, error) from error
            finally:
                plt.close("all")
            if cell.name == until:
                return names
        raise LookupError(f"{self.path.name} has no cell {until!r}")

    def failure(self, until: str, answers: dict[str, Answer]) -> Failed:
        """Where and how the lab fails with these answers, as it must."""
        with pytest.raises(Failed) as caught:
            self.run(until, answers)
        return caught.value


def _filled(source: str, answer: Answer | None) -> str:
    if answer is None:
        return source
    gaps = len(GAP.findall(source))
    answers = iter(
        answer if isinstance(answer, list) else [answer] * (gaps if answer == OPEN else 1)
    )

    def fill(found: re.Match[str]) -> str:
        return textwrap.indent(textwrap.dedent(next(answers)).strip("\n"), found["indent"])

    filled = GAP.sub(fill, source)
    assert not [*answers], f"{gaps} gaps, and more answers"
    return filled
