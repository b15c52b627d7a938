"""Errors that teach: where, what was found, what was expected, what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class LivecellError(Exception):
    """Something an author can put right.

    Every field but `problem` may be left out. `str(error)` is the text shown in the
    terminal, on the page under `mkdocs serve`, and in the log of a failed build.

    Attributes:
        problem: one sentence that says what is wrong.
        file: the file to open, shown relative to the working directory.
        line: line number in that file, counted from 1.
        cell: name of the cell the problem lies in.
        found: what was found there.
        expected: what should have been there.
        todo: what to do about it.
        details: further text, such as a traceback, shown last.
    """

    problem: str
    file: str | Path | None = None
    line: int | None = None
    cell: str | None = None
    found: str | None = None
    expected: str | None = None
    todo: str | None = None
    details: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__init__(self.problem)

    @property
    def where(self) -> str:
        """`file:line (cell name)`, as far as known, in the form editors make clickable."""
        place = relative(self.file) if self.file is not None else ""
        if place and self.line is not None:
            place += f":{self.line}"
        if self.cell is not None:
            place += f" (cell {self.cell})" if place else f"cell {self.cell}"
        return place

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.problem}" if self.where else self.problem]
        for label in ("found", "expected", "todo"):
            value = getattr(self, label)
            if value:
                lines.append(f"  {label.replace('todo', 'to do') + ':':<10}{value}")
        if self.details:
            lines += ["  " + line for line in self.details.rstrip().splitlines()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The error as plain JSON data, to hand it from one process to another."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return data | {"file": None if self.file is None else str(self.file)}


def relative(path: str | Path) -> str:
    """`path` relative to the working directory where it lies below it."""
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(path).as_posix()


MANY = 20
"""How many known names a hint lists."""


def nearest(name: str, known: list[str]) -> str:
    """A hint that names the known names most like `name`."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    more = f" and {len(known) - MANY} more" if len(known) > MANY else ""
    return "known names: " + (", ".join(known[:MANY]) + more if known else "none")
