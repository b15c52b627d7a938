"""The files that list the errors an atlas explains, one file per page.

    - id: unknown-name
      cell: unknown_name              # raises it; left out for a failure without a message
      type: NameError                 # what is raised, or warned
      message: name … is not defined  # with … for what varies
      heading: is not defined         # a piece of it, if its beginning is no good title
      older: [global name … is not defined]  # other wordings of it
      operations: [del]               # names to look it up under
      lesson: names#scope             # page, or page#heading, that tells the whole story
      en: Unknown name
      en_means: Python knows no variable of this name.
      en_cure: Check the spelling, or define it first.
      en_symptoms: [a variable is gone]  # how to say it without the message

with the fields of `en` once for every language. Backticks mark code. The file `docs/atlas/x.yml`
belongs to the page `errors/x.md` and the snippet `errors/x.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from livecell import listfile, messages
from livecell.errors import LivecellError

FOLDER = "errors"
"""Folder of the pages and snippets, next to `docs/<language>` and `snippets`."""
PER_LANGUAGE = ("", "_means", "_cure")
TEXTS = ("cell", "type", "message", "heading", "lesson")
LISTS = ("older", "operations")


@dataclass(frozen=True, eq=False)
class Entry:
    """One error, or a failure that raises none.

    Attributes:
        id: its anchor on the page.
        family: the page it stands on: `inplace` for `errors/inplace.md`.
        line: line number in the file, counted from 1.
        cell: name of the cell that raises it; "" for a failure without a message.
        type: name of the exception or warning.
        message: the whole message, with … for what varies.
        heading: the piece of the message that is its title.
        older: other wordings.
        operations: names to look it up under.
        lesson: `page` or `page#heading`.
        titles, means, cures, symptoms: by language.
    """

    id: str
    family: str
    line: int
    cell: str = ""
    type: str = ""
    message: str = ""
    heading: str = ""
    older: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    lesson: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)
    means: Mapping[str, str] = field(default_factory=dict)
    cures: Mapping[str, str] = field(default_factory=dict)
    symptoms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_warning(self) -> bool:
        """Whether it is warned of, not raised."""
        return self.type.endswith("Warning")

    @property
    def reference(self) -> str:
        """The cell that raises it, as pages cite it."""
        return f"{FOLDER}/{self.family}:{self.cell}"

    @property
    def address(self) -> str:
        """Where it stands: page and anchor."""
        return f"{FOLDER}/{self.family}#{self.id}"

    def patterns(self) -> list[str]:
        """All that a paste may hold of it, in any language."""
        symptoms = [text for texts in self.symptoms.values() for text in texts]
        named = [self.message, self.heading, *self.older] if self.message else []
        return [*named, *symptoms, *self.titles.values()]


@functools.lru_cache(maxsize=64)
def parse(
    text: str, family: str, languages: tuple[str, ...]
) -> tuple[tuple[Entry, ...], tuple[LivecellError, ...]]:
    """The entries in a file with this text, and what is wrong with it.

    Args:
        text: the text of the file.
        family: its name, without the suffix.
        languages: the tags of the languages that every entry needs.
    """
    names = [f"{language}{end}" for language in languages for end in PER_LANGUAGE]
    lists = [*LISTS, *(f"{language}_symptoms" for language in languages)]
    why = "every language needs a title, a meaning and a cure"
    reader = listfile.Reader("entry", [*TEXTS, *names], lists, dict.fromkeys(names, why))
    entries: list[Entry] = []
    try:
        root = listfile.compose(text)
        if not isinstance(root, yaml.SequenceNode):
            raise LivecellError("the file is no list of entries", expected="- id: …")
    except LivecellError as error:
        return (), (error,)
    for node, values in reader.entries(root):
        before = len(reader.errors)
        _hold(reader, node, values, languages)
        if len(reader.errors) == before:
            entries.append(_entry(values, family, listfile.line_of(node), languages))
    return tuple(entries), tuple(reader.errors)


def _hold(
    reader: listfile.Reader, node: Any, values: dict[str, Any], languages: tuple[str, ...]
) -> None:
    """Note what of an entry does not go together."""
    title = f"the entry {values['id']!r}"
    with_message = [name for name in ("cell", "type", "message") if values.get(name)]
    if with_message and len(with_message) < 3:
        expected = "cell, type and message, or none of them"
        reader.wrong(node, f"{title} is half an error", found=str(with_message), expected=expected)
    elif not with_message:
        for language in languages:
            if not values.get(f"{language}_symptoms"):
                todo = f"say in {language}_symptoms how a reader would put it"
                reader.wrong(node, f"{title} has neither a message nor symptoms", todo=todo)
    part = values.get("heading", "")
    if part not in values.get("message", ""):
        expected = "a piece of the message, to the letter"
        reader.wrong(node, f"the heading of {title} is not in it", found=part, expected=expected)


def _entry(values: dict[str, Any], family: str, line: int, languages: tuple[str, ...]) -> Entry:
    message = values.get("message", "")
    return Entry(
        id=values["id"],
        family=family,
        line=line,
        heading=values.get("heading") or messages.heading(message),
        titles={language: values[language] for language in languages},
        means={language: values[f"{language}_means"] for language in languages},
        cures={language: values[f"{language}_cure"] for language in languages},
        symptoms={language: values.get(f"{language}_symptoms", ()) for language in languages},
        **{name: values[name] for name in ("cell", "type", "message", "lesson") if name in values},
        **{name: values[name] for name in LISTS if name in values},
    )
