"""Lists that an author keeps in YAML, read as nodes that know their lines.

What is wrong is collected, not raised: an author sees all of it at once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from livecell.errors import LivecellError, nearest

ID = re.compile(r"[a-z0-9][a-z0-9_-]*")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Chinese has no space after its punctuation, nor between two characters: a folded line leaves one.
_FOLD = re.compile(
    "(?<=[，。；：？！、（）]) | (?=[，。；：？！、（）])"
    "|(?<=[\u4e00-\u9fff”]) (?=[\u4e00-\u9fff])|(?<=[\u4e00-\u9fff]) (?=“)"
)


@functools.lru_cache(maxsize=32)  # a check asks for every list several times
def compose(text: str) -> Any:
    """The root node of a file with this text; None if it is empty. To be read, not changed.

    Raises:
        LivecellError: it is not YAML.
    """
    try:
        return yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        said = str(getattr(error, "problem", "") or error)
        raise LivecellError("is not valid YAML", line=line, found=said) from None


class Reader:
    """Reads entries, mappings of texts and lists of words, and collects what is wrong.

    Args:
        kind: what an entry is called, such as `term`.
        texts: fields whose value is a text.
        lists: fields whose value is a list of texts.
        needed: fields that every entry needs, and why, by name.
        identity: the field that tells entries apart, what it looks like, and that in words.
    """

    def __init__(
        self,
        kind: str,
        texts: Sequence[str],
        lists: Sequence[str],
        needed: dict[str, str],
        identity: tuple[str, re.Pattern[str], str] = (
            "id",
            ID,
            "lower-case letters, digits, _ and -",
        ),
    ) -> None:
        self.kind = kind
        self.errors: list[LivecellError] = []
        self._identity = identity
        self._texts = [identity[0], *texts]
        self._lists = list(lists)
        self._needed = needed
        self._ids: dict[str, int] = {}

    @property
    def _name(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    def wrong(self, node: Any, problem: str, **rest: str | None) -> None:
        """Note that something is wrong at `node`."""
        line = line_of(node) if node is not None else None  # a file may be empty
        self.errors.append(LivecellError(problem, line=line, **rest))

    def entries(self, listed: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The entries of a list that are whole: each one's node, and its values by field."""
        for node in listed.value:
            before = len(self.errors)
            if not isinstance(node, yaml.MappingNode):
                self.wrong(node, f"{self._name} is no mapping", found=str(node.value)[:80])
                continue
            values = self._fields(node)
            identity = values.get(self._identity[0], "")
            for name, why in self._needed.items():
                if not values.get(name):
                    title = f"the {self.kind} {identity!r} has no {name!r}"
                    self.wrong(node, title, todo=why)
            self._identify(node, identity)
            if len(self.errors) == before:
                yield node, values

    def _identify(self, node: Any, given: str) -> None:
        field, pattern, words = self._identity
        if not pattern.fullmatch(given):
            problem = f"{self._name} has no proper {field}"
            self.wrong(node, problem, found=given, expected=f"a {field} of {words}")
        elif (line := self._ids.setdefault(given, line_of(node))) != line_of(node):
            found = f"the first one is in line {line}"
            self.wrong(node, f"the {field} {given!r} is given twice", found=found)

    def _fields(self, node: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value
            if name in values:
                self.wrong(key, f"{name!r} is given twice in one {self.kind}")
            elif name in self._texts and isinstance(value, yaml.ScalarNode):
                values[name] = unfolded(value)
            elif name in self._lists and isinstance(value, yaml.SequenceNode):
                values[name] = tuple(str(item.value) for item in value.value)
            elif name in self._texts or name in self._lists:
                expected = "a text" if name in self._texts else "a list: [word, word]"
                self.wrong(key, f"{name!r} has a value of the wrong kind", expected=expected)
            else:
                todo = nearest(str(name), self._texts + self._lists)
                self.wrong(key, f"{self._name} has no field {name!r}", todo=todo)
        return values


def unfolded(node: Any) -> str:
    """The text of a node in one line."""
    return _FOLD.sub("", " ".join(node.value.split()))


def said(
    node: Any, languages: Sequence[str]
) -> Iterator[tuple[Any, dict[str, dict[str, list[Any]]]]]:
    """The entries that say something in one of the languages, as nodes, and what they say.

    Which is: by field, without its language, and by language, the texts. The fields `zh` and `en`
    are one, called ""; `zh_def` and `en_def` are another. Lists of words as they are met with say
    nothing.
    """
    if isinstance(node, yaml.MappingNode):
        fields: dict[str, dict[str, list[Any]]] = {}
        for key, value in node.value:
            tag, _, what = key.value.partition("_")
            if tag in languages and what not in ("also", "avoid", "except"):
                texts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                fields.setdefault(what, {})[tag] = texts
        if fields:
            yield node, fields
        else:
            for _, value in node.value:
                yield from said(value, languages)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from said(value, languages)


def line_of(node: Any) -> int:
    """The line that a node begins in, counted from 1."""
    line: int = node.start_mark.line + 1
    return line
