"""A snippet file taken apart into its cells (Jupytext's percent format)."""

from __future__ import annotations

import ast
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from livecell.comments import check_twins
from livecell.errors import LivecellError

HEADER = re.compile(r"^# ?%%(?!%)")
NAME = re.compile(r"^[a-z][a-z0-9_]*$")
OPTIONS = {"raises": 'raises="RuntimeError"', "volatile": "volatile=true"}
"""What a header may say besides the name, each with an example."""


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

    @property
    def last_line(self) -> int:
        """Line number of the last line of `source` in the file."""
        return self.line + self.source.count("\n")


_parsing = threading.Lock()


def syntax_tree(source: str | bytes) -> ast.Module:
    """What `ast.parse` returns; in CPython 3.11 two threads must not parse at the same time.

    Raises:
        SyntaxError, ValueError: as `ast.parse` does.
    """
    with _parsing:
        return ast.parse(source)


def read(path: Path, languages: tuple[str, ...] = ()) -> list[Cell]:
    """The code cells of the snippet file at `path`.

    Args:
        path: a Python file in percent format.
        languages: tags of comments that must stand in pairs.

    Raises:
        LivecellError: the file is missing, empty, not UTF-8 or not Python, or a cell has
            no name, a name used before, an unknown option, or a comment without its twin.
    """
    return parse(text(path), path, languages)


def text(path: Path) -> str:
    """The text of the snippet file at `path`, as Python reads it.

    Lines end in a line feed alone, and a byte order mark is left out.

    Raises:
        LivecellError: the file is missing or not UTF-8.
    """
    try:
        return _line_feeds(path.read_bytes().decode("utf-8").removeprefix("\ufeff"))
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
    except OSError as error:
        raise LivecellError("the file cannot be read", path, found=error.strerror) from None


def _line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str, path: Path, languages: tuple[str, ...] = ()) -> list[Cell]:
    """The code cells of the snippet `text`, which stands in the file `path`.

    Raises:
        LivecellError: as in `read`.
    """
    text = _line_feeds(text)
    try:
        cells = _cells(text)
        _check_code(text, path, cells)
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


def _cells(text: str) -> list[Cell]:
    lines = text.split("\n")  # not splitlines: Python's lines do not end at U+2028 or a form feed
    starts = [i for i, line in enumerate(lines) if HEADER.match(line)]
    preamble = lines[: starts[0]] if starts else lines
    code = next((n for n, line in enumerate(preamble, 1) if _is_code(line)), 0)
    if not starts or code:
        raise LivecellError(
            "there is code before the first cell" if code else "the file has no cell",
            line=code or 1,
            expected="a header such as `# %% leaves` above the first line of code",
            todo="add the header; a page cites the cell by that name",
        )
    cells: list[Cell] = []
    ends = [*starts[1:], len(lines)]
    headers = _headers([lines[start] for start in starts])
    for start, end, (kind, options) in zip(starts, ends, headers, strict=True):
        if kind != "code":
            continue
        name = str(options.pop("title", ""))
        _check_header(name, options, lines[start].strip(), start + 1, cells)
        source = lines[start + 1 : end]
        if not any(map(_is_code, source)):
            raise LivecellError(
                "the cell has no code", line=start + 1, cell=name, todo="fill or delete the cell"
            )
        blank = next(i for i, line in enumerate(source) if line.strip())
        cells.append(
            Cell(
                name=name,
                source="\n".join(source[blank:]).rstrip(),
                line=start + 2 + blank,
                raises=str(options.get("raises", "")),
                volatile=bool(options.get("volatile", False)),
            )
        )
    if not cells:
        raise LivecellError("the file has no code cell", line=1, todo="add one: `# %% name`")
    return cells


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _headers(lines: list[str]) -> list[tuple[str, dict[str, object]]]:
    """Kind of the cell and what its header says, for each header; `title` is the cell's name."""
    import jupytext  # 0.4 s; a build that finds every result in the store never needs it

    # Without the code: Jupytext would add metadata about the blank lines around it.
    said = [HEADER.sub("", line) for line in lines]
    said = [" ".join(text.split()) if text[:1].isspace() else "" for text in said]
    text = "\n".join(f"# %% {text}\n0\n" for text in said)
    nodes = jupytext.reads(text, fmt="py:percent").cells
    return [(node.cell_type, dict(node.metadata)) for node in nodes]


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
    for option, value in options.items():
        if option not in OPTIONS:
            raise LivecellError(
                "the cell's options cannot be read"
                if option == "incorrectly_encoded_metadata"
                else f"the cell option {option!r} is unknown",
                line=line,
                cell=name,
                found=header,
                expected=" or ".join(OPTIONS.values()),
            )
        good = isinstance(value, bool) if option == "volatile" else _is_name(value)
        if not good:
            raise LivecellError(
                f"the cell option {option!r} has no usable value",
                line=line,
                cell=name,
                found=header,
                expected=OPTIONS[option],
            )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier()


def _check_code(text: str, path: Path, cells: list[Cell]) -> None:
    """Hold that the file is Python, and that every statement lies in one cell."""
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise LivecellError(
            "the code is not Python: it holds a NUL character",
            line=line,
            cell=_cell_before(line, cells),
            todo="delete the character, or write \\0 in a string",
        )
    try:
        tree = syntax_tree(text)
    except SyntaxError as error:
        line = error.lineno or 1
        raise LivecellError(
            f"the code is not Python: {error.msg}",
            line=line,
            cell=_cell_before(line, cells),
            found=(error.text or "").strip() or None,
            todo="mend the syntax; no cell of this file has run",
        ) from None
    except (MemoryError, RecursionError):
        raise LivecellError("the code is nested too deeply for Python", line=1) from None
    for node in tree.body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        last = node.end_lineno or first
        home = next((cell for cell in cells if cell.line <= first <= cell.last_line), None)
        if home.last_line < last if home else not _is_string(node):
            raise LivecellError(
                "the statement does not lie in one code cell",
                line=first,
                cell=home.name if home else None,
                found=f"a statement from line {first} to line {last}",
                todo="put the cell's header before or after the whole statement"
                if home
                else "put the statement into a code cell (`# %% name`)",
            )


def _cell_before(line: int, cells: list[Cell]) -> str | None:
    return next((cell.name for cell in reversed(cells) if cell.line <= line), None)


def _is_string(node: ast.stmt) -> bool:
    """Whether it is a string by itself, as the prose of a Markdown cell may be."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
