"""What a run leaves behind: outputs in the notebook format's own types, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Output = dict[str, Any]
"""An output as nbformat 4.5 defines it: `stream`, `error` or `display_data`."""


@dataclass
class CellResult:
    """A cell and what it produced.

    Attributes:
        name: the cell's name.
        source: its code, with the comments of every language.
        line: line number of its first line in the snippet file.
        raises: the exception it must raise (and did), or "".
        volatile: whether its output may differ from run to run.
        outputs: what it produced, in order.
        seconds: how long it ran.
    """

    name: str
    source: str
    line: int
    raises: str = ""
    volatile: bool = False
    outputs: list[Output] = field(default_factory=list)
    seconds: float = 0.0

    def text(self, stream: str = "stdout") -> str:
        """Everything it printed to `stream`."""
        return "".join(
            output["text"]
            for output in self.outputs
            if output["output_type"] == "stream" and output["name"] == stream
        )

    @property
    def error(self) -> Output | None:
        """The exception that ended the cell, if one did."""
        return next((o for o in self.outputs if o["output_type"] == "error"), None)


@dataclass
class Result:
    """One successful run of a snippet file.

    Attributes:
        stem: the snippet's stem.
        cells: its cells with their outputs, in file order.
        seconds: duration of the run.
        peak_mb: peak resident memory of the process, in MiB.
        versions: versions of Python and of the packages the snippet imports.
        reads: hashes of the project's files it turned out to depend on, by relative path;
            None stands for a file it looked for and did not find.
        stored: whether it was taken from the store (not part of the stored data).
    """

    stem: str
    cells: list[CellResult]
    seconds: float = 0.0
    peak_mb: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    reads: dict[str, str | None] = field(default_factory=dict)
    stored: bool = False

    def cell(self, name: str) -> CellResult | None:
        """The cell called `name`."""
        return next((cell for cell in self.cells if cell.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON data."""
        data = asdict(self)
        del data["stored"]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Result:
        """The result that `to_dict` made into `data`."""
        return cls(**{**data, "cells": [CellResult(**cell) for cell in data["cells"]]})
