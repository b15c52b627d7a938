"""The names of a library whose use the pages of a site show.

How they are listed: see `livecell.apifile`. Which cells use them: see `livecell.uses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from livecell import apifile, cells, pages, uses
from livecell.apifile import Name
from livecell.errors import LivecellError
from livecell.memo import Memo
from livecell.settings import Settings
from livecell.store import digest

PAGE = "api.md"
"""Name of the page, in the folder of each language, that lists the names."""
_OWN = digest(Path(uses.__file__).read_bytes())  # how uses are found is part of what is remembered


def load(settings: Settings) -> Api | None:
    """The names that the site lists, if it lists any."""
    try:
        text = settings.api.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        wrong = LivecellError("the list of names cannot be read", settings.api, found=str(error))
        return Api(settings, (), (wrong,))
    listed, errors = apifile.parse(text, settings.languages or ("en",))
    return Api(settings, listed, tuple(replace(error, file=settings.api) for error in errors))


def check(settings: Settings) -> list[LivecellError]:
    """What is wrong with the list of names."""
    api = load(settings)
    return list(api.errors) if api else []


@dataclass(frozen=True, eq=False)
class Api:
    """The names that a site lists.

    Attributes:
        settings: the settings of the site.
        listed: the names that have all they need, in the order of the file.
        errors: what is wrong with the file.
    """

    settings: Settings
    listed: tuple[Name, ...]
    errors: tuple[LivecellError, ...] = ()

    @property
    def topics(self) -> list[str]:
        """The topics, in the order of the file."""
        return list(dict.fromkeys(name.topic for name in self.listed))

    @cached_property
    def _by_pattern(self) -> dict[str, Name]:
        return {pattern: name for name in self.listed for pattern in name.patterns}

    def used(self, reference: str, memo: Memo) -> list[Name]:
        """The names that the cell called `stem:cell` uses, in the order of their first use.

        Args:
            reference: the cell.
            memo: remembers what a snippet with this text uses.
        """
        stem, cell = pages.split_reference(reference)
        found = map(self._name, self._uses(stem, memo).get(cell, ()))
        return list(dict.fromkeys(name for name in found if name is not None))

    def _name(self, use: str) -> Name | None:
        base, _, attribute = use.partition(" ")
        known = self._by_pattern
        return known.get(base + attribute) or (known.get(attribute) if attribute else None)

    def _uses(self, stem: str, memo: Memo) -> Mapping[str, list[str]]:
        try:
            text = _text(self.settings.snippet(stem))
            found: Mapping[str, list[str]] = memo.get((text, _OWN), lambda: uses.cells(text))
        except (LivecellError, SyntaxError, ValueError):
            return {}  # what is wrong with a snippet is told where the snippets are checked
        return found


def _text(file: Path) -> str:
    """The text of a snippet, read once as long as it stays the same: many cells ask for it."""
    try:
        stat = file.stat()
    except OSError:
        return cells.text(file)  # says what is wrong
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=512)
def _read(file: Path, mtime: int, size: int) -> str:
    return cells.text(file)
