"""The errors that a site explains: pages of entries, an index of them, and a box to paste one into.

How an entry is listed: see `livecell.atlasfile`. On a page, the line `[ENTRY id]` stands for its
heading and what the list says of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from livecell import atlasfile, messages, pages
from livecell.atlasfile import FOLDER, Entry
from livecell.cells import Cell
from livecell.errors import LivecellError, nearest, relative
from livecell.pages import Block
from livecell.results import CellResult
from livecell.settings import Settings

Marker = tuple[str, int]
"""An entry that a page shows, and the number of its line."""


def load(settings: Settings) -> Atlas | None:
    """The atlas of the site, if it has one."""
    listed: list[Entry] = []
    errors: list[LivecellError] = []
    files = sorted(settings.atlas.glob("*.yml"))
    languages = settings.languages or ("en",)
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            errors.append(
                LivecellError("the list of errors cannot be read", file, found=str(error))
            )
            continue
        entries, wrong = atlasfile.parse(text, file.stem, languages)
        listed += entries
        errors += [replace(error, file=file) for error in wrong]
    if not files:
        return None
    return Atlas(settings.atlas, tuple(listed), settings.folders, tuple(errors))


def no_entry(name: str, atlas: Atlas) -> LivecellError:
    """The error that the atlas has no such entry."""
    known = [entry.id for entry in atlas.listed]
    return LivecellError(f"the atlas has no entry {name!r}", todo=nearest(name, known))


@dataclass(frozen=True, eq=False)
class Atlas:
    """The errors that a site explains.

    Attributes:
        folder: where they are listed.
        listed: the entries that have all they need, by file, in the order of the file.
        folders: the folder of pages of each language.
        errors: what is wrong with the files.
    """

    folder: Path
    listed: tuple[Entry, ...]
    folders: Mapping[str, Path]
    errors: tuple[LivecellError, ...] = ()

    @cached_property
    def index(self) -> messages.Index:
        """Finds the entry that a pasted text is about."""
        return messages.Index((e.id, pattern) for e in self.listed for pattern in e.patterns())

    def get(self, name: str) -> Entry | None:
        """The entry with this id."""
        return next((entry for entry in self.listed if entry.id == name), None)

    def file(self, entry: Entry) -> Path:
        """The file that lists the entry."""
        return self.folder / f"{entry.family}.yml"


def check(
    settings: Settings,
    read: Mapping[Path, list[Block]],
    code_of: Mapping[str, Sequence[Cell | CellResult]],
) -> list[LivecellError]:
    """What is wrong with the atlas: its lists, its pages and, given the runs, its messages.

    Args:
        settings: the settings of the site.
        read: the blocks of every page.
        code_of: the cells of every snippet that is whole, as they ran if they have.
    """
    atlas = load(settings)
    if atlas is None:
        return []
    errors = [*atlas.errors, *_twice(atlas)]
    shown = {page: _markers(page) for page in read}
    stems = settings.stems()
    for entry in atlas.listed:
        found = [*_places(atlas, entry, read, shown), *_cell(entry, stems, code_of)]
        errors += [replace(e, file=atlas.file(entry), line=entry.line) for e in found]
    for page, markers in shown.items():
        errors += _strangers(atlas, page, markers)
    return errors


def _twice(atlas: Atlas) -> Iterator[LivecellError]:
    seen: dict[str, Entry] = {}
    for entry in atlas.listed:
        first = seen.setdefault(entry.id, entry)
        if first is not entry:
            yield LivecellError(
                f"the id {entry.id!r} is given twice",
                atlas.file(entry),
                entry.line,
                found=f"the first one is in {relative(atlas.file(first))}:{first.line}",
            )


def _places(
    atlas: Atlas,
    entry: Entry,
    read: Mapping[Path, list[Block]],
    shown: Mapping[Path, list[Marker]],
) -> Iterator[LivecellError]:
    """Whether the entry stands on its page, and its lesson exists, in every language."""
    for folder in atlas.folders.values():
        page = folder / FOLDER / f"{entry.family}.md"
        times = [name for name, _ in shown.get(page, ())].count(entry.id)
        if times != 1:
            yield LivecellError(
                f"the entry {entry.id!r} must stand once on {relative(page)}",
                found=f"{times} times",
                todo=f"write the line [ENTRY {entry.id}] there",
            )
        if entry.lesson:
            name, _, heading = entry.lesson.partition("#")
            lesson = folder / f"{name}.md"
            ids = {
                block.key.partition(" #")[2]
                for block in read.get(lesson, ())
                if block.kind == "heading"
            }
            if lesson not in read or (heading and heading not in ids):
                yield LivecellError(
                    f"the entry {entry.id!r} leads to a lesson that is not there",
                    found=entry.lesson,
                    expected=f"a page, and a heading on {relative(lesson)}",
                    todo=nearest(heading, sorted(ids)) if lesson in read else None,
                )


def _cell(
    entry: Entry, stems: list[str], code_of: Mapping[str, Sequence[Cell | CellResult]]
) -> Iterator[LivecellError]:
    """Whether the cell raises what the entry says."""
    if not entry.cell:
        return
    stem, _ = pages.split_reference(entry.reference)
    if stem not in stems:
        yield pages.no_snippet(entry.reference, stems)
    known = code_of.get(stem)
    if known is None:
        return  # what is wrong with a snippet is told where the snippets are checked
    cell = next((cell for cell in known if cell.name == entry.cell), None)
    if cell is None:
        yield pages.no_cell(entry.reference, [cell.name for cell in known])
    elif cell.raises != ("" if entry.is_warning else entry.type):
        yield LivecellError(
            f"the entry {entry.id!r} and its cell name different errors",
            found=f'raises="{cell.raises}"' if cell.raises else "a cell that raises nothing",
            expected=entry.type,
        )
    elif isinstance(cell, CellResult) and not said(entry, cell):
        yield LivecellError(
            f"the message of the entry {entry.id!r} is not the one that its cell gave",
            found=f"{entry.type}: {entry.message}",
            expected=_given(cell),
            todo=f"copy it from the run, and write {messages.GAP} for what varies",
        )


def _given(cell: CellResult) -> str:
    error = cell.error
    return f"{error['ename']}: {error['evalue']}" if error else cell.text("stderr").strip()


def said(entry: Entry, cell: CellResult) -> bool:
    """Whether the cell gave the entry's message: as its error, or in a warning."""
    pattern = f"{entry.type}: {entry.message}"
    if not entry.is_warning:
        return messages.matches(pattern, _given(cell))
    # Python prints file and line before a warning, and the line of code after it.
    around = (pattern, f"{messages.GAP} {pattern}")
    return any(
        messages.matches(start + end, _given(cell))
        for start in around
        for end in ("", messages.GAP)
    )


def _markers(page: Path) -> list[Marker]:
    """The entries that a page shows."""
    text = pages.text_of(page)
    return [
        (match["id"], number)
        for number, line in enumerate(pages.markdown(text).split("\n"), start=1)
        if (match := pages.ENTRY.fullmatch(line))
    ]


def _strangers(atlas: Atlas, page: Path, markers: list[Marker]) -> Iterator[LivecellError]:
    for name, line in markers:
        entry = atlas.get(name)
        if entry is None:
            yield replace(no_entry(name, atlas), file=page, line=line)
        elif page.stem != entry.family or page.parent.name != FOLDER:
            yield LivecellError(
                f"the entry {name!r} belongs on the page {FOLDER}/{entry.family}.md", page, line
            )
