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
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from livecell import listfile
from livecell.errors import LivecellError

LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""Small letters for capitals, one for one: places in a text stay what they are."""
LISTS = ("also", "avoid", "except")


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
        reader.read(listfile.compose(text))
    except LivecellError as error:
        return (), (error,)
    return tuple(reader.terms), tuple(reader.errors)


class _Reader(listfile.Reader):
    """Reads the topics of the file."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        names = [f"{language}{end}" for language in languages for end in ("", "_def")]
        lists = [f"{language}_{kind}" for language in languages for kind in LISTS]
        why = "every language needs a name and a definition"
        super().__init__("term", ["page", *names], lists, dict.fromkeys(names, why))
        self.terms: list[Term] = []
        self._languages = languages
        self._words: dict[tuple[str, str], int] = {}

    def read(self, root: Any) -> None:
        if not isinstance(root, yaml.MappingNode):
            self.wrong(root, "the list of terms names no topics", expected="topic: [term, …]")
            return
        for topic, listed in root.value:
            if not isinstance(listed, yaml.SequenceNode):
                self.wrong(listed, f"the topic {topic.value!r} is no list of terms")
                continue
            for node, values in self.entries(listed):
                self._term(topic.value, node, values)

    def _term(self, topic: str, node: Any, values: dict[str, Any]) -> None:
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

    def _unique(self, term: Term, node: Any) -> None:
        for language in self._languages:
            for word in (*term.words(language), *term.words(language, "avoid")):
                line = self._words.setdefault((language, key(word)), term.line)
                if line != term.line:
                    found = f"the first one is in line {line}"
                    self.wrong(node, f"{word!r} stands for two terms", found=found)
