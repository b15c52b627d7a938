"""Approved outputs as plain text, one file per snippet, to be reviewed like code."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from livecell.results import CellResult, Output, Result
from livecell.settings import Settings


def of(result: Result) -> str:
    """The transcript of a run: every cell's header and outputs, in order."""
    return "\n".join(_cell(cell) for cell in result.cells)


def path(settings: Settings, stem: str) -> Path:
    """The file of the approved transcript of a snippet."""
    return settings.transcripts / f"{stem}.txt"


def difference(settings: Settings, result: Result) -> str:
    """What changed against the approved transcript, as a unified diff; "" for nothing."""
    file = path(settings, result.stem)
    approved = file.read_text(encoding="utf-8") if file.is_file() else ""
    lines = difflib.unified_diff(
        approved.splitlines(keepends=True),
        of(result).splitlines(keepends=True),
        f"{result.stem}: approved",
        f"{result.stem}: now",
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def approve(settings: Settings, result: Result) -> None:
    """Make the outputs of this run the approved ones."""
    file = path(settings, result.stem)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(of(result), encoding="utf-8", newline="\n")


def orphans(settings: Settings) -> list[Path]:
    """Transcripts of snippets that are no more."""
    known = {path(settings, stem) for stem in settings.stems()}
    return sorted(file for file in settings.transcripts.rglob("*.txt") if file not in known)


def _cell(cell: CellResult) -> str:
    body = "".join(_output(output) for output in cell.outputs)
    if cell.volatile:
        body = "(volatile: differs from run to run)\n"
    return f"# %% {cell.name}\n{body}"


def _output(output: Output) -> str:
    if output["output_type"] == "stream":
        text = output["text"] if output["text"].endswith("\n") else output["text"] + "⏎\n"
        return text if output["name"] == "stdout" else _marked("stderr", text)
    if output["output_type"] == "error":
        # Which part of a line is underlined differs between Python versions.
        kept = [line for line in output["traceback"] if not re.fullmatch(r"[\s~^]+", line)]
        return _marked("error", "\n".join(kept) + "\n")
    data = output["data"]
    kinds = sorted({mime.partition(";")[0] for mime in data} - {"text/plain"})
    # What a terminal would show of it can be reviewed; markup cannot.
    plain = data["text/plain"].rstrip("\n") + "\n" if "text/plain" in data else ""
    return "".join(f"[{kind}]\n" for kind in kinds) + _marked("shown as", plain)


def _marked(mark: str, text: str) -> str:
    return "".join(f"[{mark}] {line}" for line in text.splitlines(keepends=True))
