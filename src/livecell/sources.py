"""What the site says in more than one language: pages, labs, and lists in YAML.

Pages have a file per language; a lab and a list hold every language in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from livecell import cells, labfile, listfile, pages, passages
from livecell.errors import LivecellError, nearest
from livecell.passages import Group, Passage
from livecell.settings import Settings

LIST = ".yml"


@dataclass(frozen=True)
class Source:
    """Something written in several languages.

    Attributes:
        name: what authors and records call it: `errors/leaf`, `labs/memory_against_time`,
            `terms.yml`.
        files: the file of each language.
        languages: the languages.
    """

    name: str
    files: tuple[Path, ...]
    languages: tuple[str, ...]

    @property
    def is_list(self) -> bool:
        """Whether it is a list in YAML, and no page."""
        return self.name.endswith(LIST)

    def markdown(self, number: int, held: str) -> str:
        """A page or a lab in this language, of what its file holds, or once held.

        Every line is where the file has it.

        Raises:
            LivecellError: the file is not what it should be.
        """
        if not labfile.is_lab(self.name):
            return held
        file = self.files[number]
        code = cells.parse(held, file, self.languages)
        return labfile.pages(held, file, self.name, code, self.languages)[self.languages[number]]

    def twins(self) -> Iterator[tuple[Group, ...]]:
        """The passages that say the same in every language, as the files are now.

        Raises:
            LivecellError: a file is not what it should be.
        """
        held = [pages.text_of(file) for file in self.files]
        if self.is_list:
            return _listed(held[0], self.languages)
        return passages.twins([self.markdown(n, text) for n, text in enumerate(held)])

    def hashes(self, number: int, held: str) -> set[str]:
        """The hashes of all passages in this language, of what the file holds, or once held.

        Raises:
            LivecellError: the file is not what it should be.
        """
        if self.is_list:
            groups = (twins[number] for twins in _listed(held, self.languages))
            return {passage.hash for group in groups for passage in group}
        return passages.hashes(self.markdown(number, held))


def _listed(held: str, languages: tuple[str, ...]) -> Iterator[tuple[Group, ...]]:
    """The twin passages of a list: a field of an entry is one in each language."""
    for entry, fields in listfile.said(listfile.compose(held), languages):
        name = str(entry.value[0][1].value)
        for field in fields.values():
            groups: list[Group] = []
            for language in languages:
                texts = field.get(language, [])
                said = " | ".join(map(listfile.unfolded, texts))
                groups.append((Passage(listfile.line_of(texts[0]), said, name),) if said else ())
            yield tuple(groups)


def find(settings: Settings, name: str) -> Source:
    """What is called `name`."""
    count = len(settings.languages)
    if labfile.is_lab(name):
        files = (settings.snippet(name),) * count
    elif name.endswith(LIST):
        files = (settings.docs / name,) * count
    else:
        files = tuple(folder / f"{name}.md" for folder in settings.folders.values())
    return Source(name, files, settings.languages)


def names(settings: Settings) -> list[str]:
    """What exists in every language; nothing in a site of one language."""
    if len(settings.languages) < 2:
        return []
    found = []
    for folder in settings.folders.values():
        paths = (path.relative_to(folder) for path in folder.rglob("*.md"))
        found.append({path.with_suffix("").as_posix() for path in paths})
    labs = [stem for stem in settings.stems() if labfile.is_lab(stem)]
    return sorted({*set.intersection(*found), *labs, *_lists(settings)})


def _lists(settings: Settings) -> list[str]:
    """The lists beside the pages that say something in every language."""
    found = []
    for path in settings.docs.rglob(f"*{LIST}"):
        if any(path.is_relative_to(folder) for folder in settings.folders.values()):
            continue
        try:
            root = listfile.compose(pages.text_of(path))
        except LivecellError:
            continue  # `livecell.check` says what is wrong with it
        if all(any(listfile.said(root, [language])) for language in settings.languages):
            found.append(path.relative_to(settings.docs).as_posix())
    return found


def target(
    settings: Settings, given: str, every: list[str]
) -> tuple[Source, tuple[int, ...], int | None]:
    """What an argument of a command means.

    Args:
        settings: the settings of the site.
        given: a name, as `errors/leaf`, a file, or a line of one, as `file:line`.
        every: the names of all there is.

    Returns:
        What it is, the numbers of the languages that the file holds, and the line.

    Raises:
        LivecellError: there is nothing of that name.
    """
    match = re.fullmatch(r"(?P<path>.+?)(?::(?P<line>\d+))?", given)
    assert match is not None
    line = int(match["line"]) if match["line"] else None
    path = Path(match["path"]).resolve()
    for name in every:
        source = find(settings, name)
        numbers = tuple(n for n, file in enumerate(source.files) if file.resolve() == path)
        if numbers:
            return source, numbers, line
    if line is not None:
        raise LivecellError(f"{given!r} is no page", expected="docs/en/page.md:12, say")
    name = given.removesuffix(".md")
    if name not in every:
        raise LivecellError(f"there is no page {given!r}", todo=nearest(name, every))
    return find(settings, name), tuple(range(len(settings.languages))), None
