"""A snippet file taken apart into its cells (Jupytext's percent format)."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from livecell.comments import check_twins
from livecell.errors import LivecellError

HEADER = re.compile(r"^# ?%%(?!%)")
NAME = re.compile(r"^[a-z][a-z0-9_]*$")
OPTIONS = ("raises", "volatile")


@dataclass(frozen=True)
class Cell:
    """One code cell of a snippet.

    Attributes:
        name: unique in its file; pages cite the cell by it.
        source: the code, without the header line, trailing blank lines cut.
        line: line number of the first line of `source` in the file, counted from 1.
        raises: name of the exception the cell must raise, or "".
        volatile: the output differs from run to run (a timing, say).
    """

    name: str
    source: str
    line: int
    raises: str = ""
    volatile: bool = False


def read(path: Path, languages: tuple[str, ...] = ()) -> list[Cell]:
    """The code cells of the snippet file at `path`.

    Args:
        path: a Python file in percent format.
        languages: tags of comments that must stand in pairs.

    Raises:
        LivecellError: the file is missing, empty, not UTF-8 or not Python, or a cell has
            no name, a name used before, an unknown option, or a comment without its twin.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise LivecellError(
            "there is no such snippet file",
            path,
            todo=f"create it with `livecell new {path.stem}`, or mend the name on the page",
        ) from None
    except UnicodeDecodeError as error:
        raise LivecellError(
            "the file is not UTF-8",
            path,
            line=error.object[: error.start].count(b"\n") + 1,
            found=f"byte 0x{error.object[error.start]:02x}",
            todo="save the file as UTF-8",
        ) from None
    return parse(text, path, languages)


def parse(text: str, path: Path, languages: tuple[str, ...] = ()) -> list[Cell]:
    """The code cells of the snippet `text`, which stands in the file `path`.

    Raises:
        LivecellError: as in `read`.
    """
    try:
        cells = _cells(text, path)
        _check_syntax(text, path, cells)
        for cell in cells:
            try:
                check_twins(cell.source, cell.line, languages)
            except LivecellError as error:
                error.cell = cell.name
                raise
    except LivecellError as error:
        error.file = path
        raise
    return cells


def _cells(text: str, path: Path) -> list[Cell]:
    import jupytext  # 0.4 s; a build that finds every result in the store never needs it

    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if HEADER.match(line)]
    preamble = "\n".join(lines[: starts[0]] if starts else lines)
    code = re.sub(r"^\s*#.*$", "", preamble, flags=re.MULTILINE)
    if not starts or code.strip():
        raise LivecellError(
            "there is code before the first cell" if code.strip() else "the file has no cell",
            line=next((n for n, line in enumerate(code.splitlines(), 1) if line.strip()), 1),
            expected="a header such as `# %% leaves` above the first line of code",
            todo="add the header; a page cites the cell by that name",
        )
    body = "\n".join(lines[starts[0] :]) + "\n"
    parsed = jupytext.reads(body, fmt="py:percent").cells
    if len(parsed) != len(starts):
        raise LivecellError(
            "the cells cannot be told apart",
            found=f"{len(starts)} header lines, {len(parsed)} cells",
            todo="do not begin a line inside a string with `# %%`",
        )
    cells: list[Cell] = []
    for start, end, node in zip(starts, [*starts[1:], len(lines)], parsed, strict=True):
        if node.cell_type != "code":
            continue
        options = dict(node.metadata)
        name = str(options.pop("title", ""))
        header = lines[start].strip()
        _check_header(name, options, header, start + 1, cells)
        source = "\n".join(lines[start + 1 : end])
        blank = len(source) - len(source.lstrip("\n"))
        if not re.sub(r"^\s*#.*$", "", source, flags=re.MULTILINE).strip():
            raise LivecellError(
                "the cell has no code", line=start + 1, cell=name, todo="fill or delete the cell"
            )
        cells.append(
            Cell(
                name=name,
                source=source.strip("\n").rstrip(),
                line=start + 2 + blank,
                raises=str(options.get("raises", "")),
                volatile=bool(options.get("volatile", False)),
            )
        )
    if not cells:
        raise LivecellError("the file has no code cell", line=1, todo="add one: `# %% name`")
    return cells


def _check_header(
    name: str, options: dict[str, object], header: str, line: int, before: list[Cell]
) -> None:
    if not NAME.match(name):
        raise LivecellError(
            "the cell has no usable name" if name else "the cell has no name",
            line=line,
            found=header,
            expected="lower-case letters, digits and underscores: `# %% second_backward`",
            todo="give the cell a name that says what it shows",
        )
    for cell in before:
        if cell.name == name:
            raise LivecellError(
                f"the cell name {name!r} is used twice",
                line=line,
                cell=name,
                found=f"the same name above the cell at line {cell.line}",
                todo="rename one of the two",
            )
    for option in options:
        if option not in OPTIONS:
            raise LivecellError(
                f"the cell option {option!r} is unknown",
                line=line,
                cell=name,
                found=header,
                expected=" or ".join(OPTIONS),
            )


def _check_syntax(text: str, path: Path, cells: list[Cell]) -> None:
    try:
        ast.parse(text, filename=path.name)
    except SyntaxError as error:
        line = error.lineno or 1
        inside = [cell.name for cell in cells if cell.line <= line]
        raise LivecellError(
            f"the code is not Python: {error.msg}",
            line=line,
            cell=inside[-1] if inside else None,
            found=(error.text or "").strip() or None,
            todo="mend the syntax; no cell of this file has run",
        ) from None
    except ValueError as error:  # a NUL character
        raise LivecellError(f"the code is not Python: {error}", line=1) from None
