"""When a page came to say what it says: read from git, where there is git."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from functools import cached_property
from pathlib import Path

FARTHEST = 200
"""How many commits of a page are looked at; each costs a process."""


class History:
    """The states of a file, the newest first, each with the commit that made it.

    Args:
        file: the file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._texts: dict[str, str] = {}

    def since(self, holds: Callable[[str], bool]) -> str:
        """Since when the file is as it is, in words: a commit and its date, or a date.

        Args:
            holds: whether a text of the file already is as the present one, in what is asked about.
        """
        last = ""
        for commit, day in self._commits:
            text = self._at(commit)
            if text is None or not holds(text):
                break
            last = f"{commit} of {day}"
        if last:
            return last
        day = date.fromtimestamp(self._file.stat().st_mtime).isoformat()
        return f"{day}, not committed yet" if self._commits else day

    @cached_property
    def _commits(self) -> list[tuple[str, str]]:
        listed = self._git("log", f"-{FARTHEST}", "--format=%h %cs", "--", self._file.name) or ""
        return list(_pairs(listed))

    def _at(self, commit: str) -> str | None:
        """The file's text in a commit; None if it was not there."""
        if commit not in self._texts:
            text = self._git("show", f"{commit}:./{self._file.name}")
            if text is None:
                return None
            self._texts[commit] = text
        return self._texts[commit]

    def _git(self, *arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self._file.parent, capture_output=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.decode("utf-8", "replace")


def _pairs(listed: str) -> Iterator[tuple[str, str]]:
    for line in listed.splitlines():
        commit, _, day = line.partition(" ")
        yield commit, day
