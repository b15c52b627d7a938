"""The terms of a site: one list that feeds the glossary, its cards, the search and a check.

How the file looks: see `livecell.termfile`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from livecell import termfile
from livecell.errors import LivecellError, nearest
from livecell.settings import Settings
from livecell.termfile import LOWER, Term, key

GLOSSARY = "glossary.md"
"""Name of the page, in the folder of each language, that every term links to."""
MARKER = re.compile(r"\[TERMS(?: (?P<topic>[\w-]+))?\] *")
"""The line of the glossary that the terms (of one topic) take the place of."""
HAN = re.compile(r"[\u3400-\u9fff]+")

T = TypeVar("T")


def load(settings: Settings) -> Terms | None:
    """The terms of the site, if it has any."""
    listed: tuple[Term, ...] = ()
    errors: tuple[LivecellError, ...]
    try:
        text = settings.terms.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        errors = (LivecellError("the list of terms cannot be read", found=str(error)),)
    else:
        listed, errors = termfile.parse(text, settings.languages or ("en",))
    placed = tuple(replace(error, file=settings.terms) for error in errors)
    return Terms(settings.terms, listed, settings.folders, placed)


def no_topic(topic: str, terms: Terms) -> LivecellError:
    """The error that the list of terms has no such topic."""
    return LivecellError(
        f"the list of terms has no topic {topic!r}",
        found=f"[TERMS {topic}]",
        todo=nearest(topic, terms.topics),
    )


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of a site.

    Attributes:
        file: where they are listed.
        listed: the terms that have all they need, in the order of the file.
        folders: the folder of pages of each language.
        errors: what is wrong with the file.
    """

    file: Path
    listed: tuple[Term, ...]
    folders: Mapping[str, Path]
    errors: tuple[LivecellError, ...] = ()

    @property
    def topics(self) -> list[str]:
        """The topics, in the order of the file."""
        return list(dict.fromkeys(term.topic for term in self.listed))

    @functools.cached_property
    def chinese_words(self) -> tuple[str, ...]:
        """The Chinese words of all names, which a search must not take to pieces."""
        # A phrase that does not mean the term is one word as well: 非标量.
        names = (
            name
            for t in self.listed
            for lang in t.names
            for name in (*t.words(lang), *t.words(lang, "except"))
        )
        words = {word for name in names for word in HAN.findall(name) if len(word) > 1}
        return tuple(sorted(words))

    @functools.lru_cache(maxsize=8)  # noqa: B019 -- a build has one list, and needs it to its end
    def mentions(self, language: str) -> Finder[Term | None]:
        """Finds the terms in a text; None where a word does not mean the term."""
        forms: dict[str, Term | None] = {}
        for term in self.listed:
            forms |= dict.fromkeys(_forms(term.words(language), language), term)
        for term in self.listed:
            forms |= dict.fromkeys(_forms(term.words(language, "except"), language))
        return Finder(forms)

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def avoided(self, language: str) -> Finder[str]:
        """Finds the variants that pages must not use, and says what to write; "" if it is right."""
        forms: dict[str, str] = {}
        for term in self.listed:
            bad = _forms(term.words(language, "avoid"), language)
            forms |= dict.fromkeys(bad, term.names[language])
        for term in self.listed:
            good = term.words(language) + term.words(language, "except")
            forms |= dict.fromkeys(_forms(good, language), "")
        return Finder(forms)


class Finder(Generic[T]):
    """Finds words in a text, longer ones first, whatever their case and the breaks of lines.

    A word that begins or ends with a Latin letter must begin or end there in the text as well;
    Chinese is written without spaces, so there a word may begin anywhere.

    Args:
        forms: the words, and what each of them stands for.
    """

    def __init__(self, forms: Mapping[str, T]) -> None:
        self._meaning = {key(form): meaning for form, meaning in forms.items()}
        self._pattern = re.compile(_pattern(list(self._meaning)))

    def find(self, text: str) -> Iterator[tuple[slice, T]]:
        """Where in `text` the words stand, from left to right, and what they stand for."""
        for match in self._pattern.finditer(text.translate(LOWER)):
            yield slice(*match.span()), self._meaning[key(match[0])]


def _pattern(forms: list[str]) -> str:
    """A pattern for all the words, grouped by their first letter: it is tried at every place."""
    groups: dict[str, list[str]] = {}
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        after = "(?![a-z0-9_-])" if re.search("[a-z0-9_]$", form) else ""
        rest = r"\s+".join(map(re.escape, form[1:].split(" "))) + after
        groups.setdefault(form[0], []).append(rest)
    return (
        "|".join(
            f"{'(?<![a-z0-9_.-])' if re.match('[a-z0-9_]', first) else ''}{re.escape(first)}"
            f"(?:{'|'.join(rests)})"
            for first, rests in groups.items()
        )
        or "(?!)"
    )


def _forms(words: tuple[str, ...], language: str) -> Iterator[str]:
    """The forms in which these words are looked for in running text."""
    for word in words:
        if "`" in word or (len(word) == 1 and HAN.match(word)):
            continue  # one Han character is found inside of other words: 边 in 旁边
        yield word
        if language == "en":
            yield _plural(word)


def _plural(word: str) -> str:
    if word.endswith("ix"):
        return word[:-2] + "ices"
    if re.search("[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search("(s|x|z|ch|sh)$", word) else "s")
