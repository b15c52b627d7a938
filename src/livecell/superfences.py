"""The fences of a page's source, found by pymdownx.superfences itself.

What superfences leaves as plain text shows no cell, and what stands inside a fence is no fence. A
search of our own would differ from it in the odd case: a quotation, a tab, a list.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from markdown import Markdown
from pymdownx.superfences import SuperFencesBlockPreprocessor

LANGUAGES = ("python", "py")
"""Languages of the fences that can show cells."""
OFF = ("", "no", "off", "false", "0")
"""Values of `exec=` that markdown-exec takes for no."""


@dataclass(frozen=True)
class Fence:
    """A fence on a page.

    Attributes:
        start: number of its first line, counted from 0.
        end: number of the line after its last one.
        language: its language.
        options: its options.
    """

    start: int
    end: int
    language: str
    options: dict[str, str]

    @property
    def shows_cell(self) -> bool:
        """Whether markdown-exec hands it to `livecell.fence`, to show a cell."""
        executed = self.options.get("exec", "no").lower() not in OFF
        return executed and "cell" in self.options and self.language in LANGUAGES


def fences(lines: list[str]) -> list[Fence]:
    """The fences on a page with these lines, in order."""
    finder = _finder()
    finder.found = []
    finder.run(lines)
    return finder.found


class _Finder(SuperFencesBlockPreprocessor):  # type: ignore[misc]
    """Notes the fences instead of formatting them."""

    found: list[Fence]

    def process_nested_block(self, ws: str, content: str, start: int, end: int) -> None:
        self.found.append(Fence(start, end, self.lang or "", self.options))
        self.clear()


def _accept_all(
    language: str, inputs: dict[str, str], options: dict[str, str], attrs: object, md: object
) -> bool:
    """A validator for every language: another fence's options are no business of ours."""
    options.update((name, value or "") for name, value in inputs.items())
    return True


@functools.cache
def _finder() -> _Finder:
    every = {"name": "*", "class": "", "validator": _accept_all}
    md = Markdown(
        extensions=["pymdownx.superfences"],
        extension_configs={"pymdownx.superfences": {"custom_fences": [every]}},
    )
    original: Any = md.preprocessors["fenced_code_block"]
    finder = _Finder(md)
    finder.config, finder.extension = original.config, original.extension
    return finder
