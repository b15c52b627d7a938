"""The notebooks of a lab: the reader's, with gaps; the solution; the one that its page shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from livecell import labfile, notebook
from livecell.comments import select
from livecell.errors import LivecellError
from livecell.notebook import Notebook
from livecell.prose import Look
from livecell.results import CellResult, Output, Result


def build(
    page: str,
    result: Result,
    language: str,
    languages: tuple[str, ...],
    look: Look,
    *,
    solved: bool = False,
    path: Path | None = None,
) -> Notebook:
    """A notebook of a lab, with the outputs of the run.

    Args:
        page: the lab as a page in one language, see `livecell.labfile.pages`.
        result: its run.
        language: the language.
        languages: every language of the comments.
        look: what the prose refers to. If it keeps the ids of headings, the notebook is for the
            page of a site: outputs are in the page's language, and code stands as in the file.
        solved: whether the gaps are filled.
        path: the file of the lab, for errors.

    Raises:
        LivecellError: a cell draws a figure and has no alt text.
    """
    alts = labfile.alts(page)
    sources = {cell.name: select(cell.source, language, languages) for cell in result.cells}
    cells = [
        replace(cell, source=labfile.shown(sources[cell.name], language, solved=solved))
        for cell in result.cells
    ]
    made = notebook.build(
        labfile.ALT.sub("", page), replace(result, cells=cells), language, (), look
    )
    by_name = {cell.name: cell for cell in cells}
    for code in made["cells"]:
        if code["cell_type"] != "code":
            continue
        cell = by_name[code["metadata"]["name"]]
        if labfile.has_gap(sources[cell.name]) and not solved:
            code["metadata"].setdefault("tags", []).append("your-turn")
        if any("image/svg+xml" in output.get("data", {}) for output in cell.outputs):
            code["metadata"]["alt"] = _alt(cell, alts, language, path)
        if look.keeps_ids:
            code["outputs"] = [_in_language(output, language) for output in cell.outputs]
        if look.keeps_ids or cell.name.startswith("check_"):
            code["source"] = cell.source  # a check returns nothing that a semicolon must hide
    return made


def _alt(cell: CellResult, alts: dict[str, str], language: str, path: Path | None) -> str:
    text = alts.get(cell.name)
    if not text:
        raise LivecellError(
            "the cell draws a figure, and does not say what it shows",
            path,
            cell.line,
            cell.name,
            expected=f'in the prose below it, lang="{language}": `# <!-- alt: … -->`',
            todo="describe the figure for readers who do not see it",
        )
    return text


def _in_language(output: Output, language: str) -> Output:
    if "data" not in output:
        return output
    data = {kind: text for kind, text in output["data"].items() if ";" not in kind}
    translated = output["data"].get(f"text/html;lang={language}")
    if translated is not None:
        data["text/html"] = translated
    return {**output, "data": data, "metadata": output.get("metadata", {})}
