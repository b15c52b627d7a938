"""The file that lists the terms of a site.

    topic:
      - id: leaf
        en: leaf tensor
        en_def: A tensor that no recorded operation made.
        en_also: [leaf]               # further accepted spellings
        en_avoid: [end tensor]        # spellings that no page may use
        en_except: [leaf node]        # phrases in which the word does not mean the term
        page: scalar_backward#leaves  # where it is explained; may be left out

with the fields of `en` once for every language. Backticks in names and definitions mark code;
a name in backticks is not looked for in running text, where it is code anyway.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from livecell.errors import LivecellError, nearest

ID = re.compile(r"[a-z0-9][a-z0-9_-]*")
LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""Small letters for capitals, one for one: places in a text stay what they are."""
LISTS = ("also", "avoid", "except")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, eq=False)
class Term:
    """One term; what there is of it per language is found by the language's tag.

    Attributes:
        id: its anchor in the glossary.
        topic: the group that it stands in.
        line: line number in the file, counted from 1.
        names: what it is called.
        definitions: what it is.
        others: further words, by field: `zh_also`, `en_avoid`, …
        page: the page that explains it, or `page#heading`, or nothing.
    """

    id: str
    topic: str
    line: int
    names: Mapping[str, str]
    definitions: Mapping[str, str]
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    page: str = ""

    def words(self, language: str, kind: str = "") -> tuple[str, ...]:
        """Its accepted spellings in `language`; with a kind, those `also`, to `avoid`, …"""
        if kind:
            return self.others.get(f"{language}_{kind}", ())
        return (self.names[language], *self.words(language, "also"))


def key(word: str) -> str:
    """What makes two words the same, whatever their case and the space in them."""
    return " ".join(word.translate(LOWER).split())


@functools.lru_cache(maxsize=4)
def parse(
    text: str, languages: tuple[str, ...]
) -> tuple[tuple[Term, ...], tuple[LivecellError, ...]]:
    """The terms in a file with this text, and what is wrong with it.

    Args:
        text: the text of the file.
        languages: the tags of the languages that every term needs.
    """
    reader = _Reader(languages)
    try:
        reader.read(yaml.compose(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        said = str(getattr(error, "problem", "") or error)
        return (), (LivecellError("is not valid YAML", line=line, found=said),)
    return tuple(reader.terms), tuple(reader.errors)


class _Reader:
    """Reads the nodes of the file, which know their lines, and collects what is wrong."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        self.terms: list[Term] = []
        self.errors: list[LivecellError] = []
        self._languages = languages
        self._ids: dict[str, int] = {}
        self._words: dict[tuple[str, str], int] = {}

    def read(self, root: Any) -> None:
        if not isinstance(root, yaml.MappingNode):
            self._wrong(root, "the list of terms names no topics", expected="topic: [term, …]")
            return
        for topic, entries in root.value:
            if not isinstance(entries, yaml.SequenceNode):
                self._wrong(entries, f"the topic {topic.value!r} is no list of terms")
                continue
            for entry in entries.value:
                self._term(topic.value, entry)

    def _wrong(self, node: Any, problem: str, **rest: str | None) -> None:
        line = node.start_mark.line + 1 if node is not None else None
        self.errors.append(LivecellError(problem, line=line, **rest))

    def _term(self, topic: str, node: Any) -> None:
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, "a term is no mapping", found=str(node.value)[:80])
            return
        before = len(self.errors)
        values = self._fields(node)
        for language in self._languages:
            for name in (language, f"{language}_def"):
                if not values.get(name):
                    title = f"the term {values.get('id', '')!r} has no {name!r}"
                    self._wrong(node, title, todo="every language needs a name and a definition")
        if not ID.fullmatch(values.get("id", "")):
            expected = "an id of lower-case letters, digits, _ and -"
            self._wrong(node, "a term has no proper id", found=values.get("id"), expected=expected)
        elif (line := self._ids.setdefault(values["id"], node.start_mark.line + 1)) != (
            node.start_mark.line + 1
        ):
            found = f"the first one is in line {line}"
            self._wrong(node, f"the id {values['id']!r} is given twice", found=found)
        if len(self.errors) > before:
            return
        term = Term(
            values["id"],
            topic,
            node.start_mark.line + 1,
            {language: values[language] for language in self._languages},
            {language: values[f"{language}_def"] for language in self._languages},
            {name: value for name, value in values.items() if isinstance(value, tuple)},
            values.get("page", ""),
        )
        self._unique(term, node)
        self.terms.append(term)

    def _fields(self, node: Any) -> dict[str, Any]:
        texts = ["id", "page", *(f"{tag}{end}" for tag in self._languages for end in ("", "_def"))]
        lists = [f"{language}_{kind}" for language in self._languages for kind in LISTS]
        values: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value
            if name in values:
                self._wrong(key, f"{name!r} is given twice in one term")
            elif name in texts and isinstance(value, yaml.ScalarNode):
                values[name] = " ".join(value.value.split())
            elif name in lists and isinstance(value, yaml.SequenceNode):
                values[name] = tuple(str(item.value) for item in value.value)
            elif name in texts or name in lists:
                expected = "a text" if name in texts else "a list: [word, word]"
                self._wrong(key, f"{name!r} has a value of the wrong kind", expected=expected)
            else:
                todo = nearest(str(name), texts + lists)
                self._wrong(key, f"a term has no field {name!r}", todo=todo)
        return values

    def _unique(self, term: Term, node: Any) -> None:
        for language in self._languages:
            for word in (*term.words(language), *term.words(language, "avoid")):
                line = self._words.setdefault((language, key(word)), term.line)
                if line != term.line:
                    found = f"the first one is in line {line}"
                    self._wrong(node, f"{word!r} stands for two terms", found=found)
