"""A page as a Jupyter notebook, and its snippet as a program, in one language.

Prose becomes Markdown cells, cells become code cells with the outputs of the run. A notebook is
plain data in the format 4.5; nothing here needs Jupyter.
"""

from __future__ import annotations

import ast
import json
from typing import Any

from livecell import prose
from livecell.cells import syntax_tree
from livecell.comments import select
from livecell.prose import Look, Part
from livecell.results import CellResult, Output, Result

Notebook = dict[str, Any]


def build(
    page: str, result: Result, language: str, languages: tuple[str, ...], look: Look
) -> Notebook:
    """The notebook of a page.

    Every cell of the snippet becomes one code cell, in the order of the file, so that a kernel can
    run them from top to bottom; a cell stands where the page shows it first.

    Args:
        page: the page's Markdown.
        result: the run of its snippet.
        language: the page's language.
        languages: every language of the comments.
        look: what the prose refers to.
    """
    parts = prose.parts(page, look)
    own = [part for part in parts if part.cell.rpartition(":")[0] == result.stem]
    asked = {part.cell for part in own if "predict" in part.boxes}
    solved = {part.cell for part in own if "success" in part.boxes}
    waiting = list(result.cells)
    cells: list[dict[str, Any]] = []
    for part in parts:
        if part.text:
            cells.append(_markdown(part, len(cells)))
        for cell in _until(part, result, waiting):
            reference = f"{result.stem}:{cell.name}"
            source = select(cell.source, language, languages)
            code = _code(cell, source, language)
            if reference in asked:
                code["metadata"] |= {"collapsed": True, "jupyter": {"outputs_hidden": True}}
            if reference in solved:
                code["metadata"]["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
            cells.append(code)
    return of(cells)


def of(cells: list[dict[str, Any]]) -> Notebook:
    """The notebook that has these cells."""
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "file_extension": ".py"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def dumps(notebook: Notebook) -> str:
    """The text of the file, the same for the same notebook."""
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def program(result: Result, language: str, languages: tuple[str, ...]) -> str:
    """The snippet in percent format, with the comments of one language only."""
    cells = (
        f"# %% {cell.name}\n{select(cell.source, language, languages)}\n" for cell in result.cells
    )
    return "\n".join(cells)


def _until(part: Part, result: Result, waiting: list[CellResult]) -> list[CellResult]:
    """The cells up to the one that the page shows here, as far as they have not been written."""
    stem, _, name = part.cell.rpartition(":")
    names = [cell.name for cell in waiting]
    if stem != result.stem or name not in names:
        return []
    end = names.index(name) + 1
    found, waiting[:end] = waiting[:end], []
    return found


def _markdown(part: Part, number: int) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": f"text-{number}", "metadata": {}, "source": part.text}


def _code(cell: CellResult, source: str, language: str) -> dict[str, Any]:
    tags = ["raises-exception"] if cell.raises else []
    tags += ["volatile"] if cell.volatile else []
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell.name[:64].replace("_", "-"),
        "metadata": {"name": cell.name} | ({"tags": tags} if tags else {}),
        "outputs": [_output(output) for output in cell.outputs],
        "source": source if _is_rich(cell) else _silent(source),
    }


def _output(output: Output) -> Output:
    """An output without what only our own pages use."""
    if "data" not in output:
        return output
    data = {kind: text for kind, text in output["data"].items() if ";" not in kind}
    return {**output, "data": data, "metadata": output.get("metadata", {})}


def _is_rich(cell: CellResult) -> bool:
    """Whether its last value was shown; a figure that it drew was not its last value."""
    shown = [output["data"].get("text/plain", "") for output in cell.outputs if "data" in output]
    return any(text and not text.startswith(("Figure(", "<Figure")) for text in shown)


def _silent(source: str) -> str:
    """The code of a cell that shows nothing: a notebook would echo its last expression."""
    try:
        body = syntax_tree(source).body
    except SyntaxError:
        return source  # a cell that must fail so
    if not body or not isinstance(last := body[-1], ast.Expr) or _is_none(last.value):
        return source
    lines = source.split("\n")
    end = (last.end_lineno or 1) - 1
    column = len(lines[end].encode()[: last.end_col_offset].decode())
    lines[end] = lines[end][:column] + ";" + lines[end][column:]
    return "\n".join(lines)


def _is_none(value: ast.expr) -> bool:
    """Whether a call surely returns nothing, so that no semicolon is needed."""
    if not isinstance(value, ast.Call):
        return False
    name = value.func.id if isinstance(value.func, ast.Name) else getattr(value.func, "attr", "")
    return name in {"print", "backward", "show", "step", "zero_grad"}
