"""The file that lists the names of a library whose use the pages of a site show.

    topic:
      - name: torch.autograd.grad
        also: [torch.grad]            # further paths to the same object
        as: .grad                     # looked for as this use instead, on any object: see `uses`
        url: https://…                # the official documentation
        en: Returns gradients instead of storing them.

with the field `en` once for every language. Backticks mark code.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from livecell import listfile
from livecell.errors import LivecellError

NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, eq=False)
class Name:
    """A name, and what there is to say of it.

    Attributes:
        name: the dotted path that it is documented under.
        topic: the group that it stands in.
        line: line number in the file, counted from 1.
        patterns: uses of it: dotted paths, `base.attribute`, or `.attribute` on any object.
        url: the address of its documentation.
        said: what it is for, in one line, by language.
    """

    name: str
    topic: str
    line: int
    patterns: tuple[str, ...]
    url: str
    said: Mapping[str, str]

    @property
    def anchor(self) -> str:
        """Its place on the page that lists all names."""
        return self.name


@functools.lru_cache(maxsize=4)
def parse(
    text: str, languages: tuple[str, ...]
) -> tuple[tuple[Name, ...], tuple[LivecellError, ...]]:
    """The names in a file with this text, and what is wrong with it.

    Args:
        text: the text of the file.
        languages: the tags of the languages in which every name is explained.
    """
    needed = dict.fromkeys(languages, "every language needs a line")
    needed["url"] = "say where the official documentation is"
    identity = ("name", NAME, "a dotted path")
    reader = listfile.Reader("name", ["as", "url", *languages], ["also"], needed, identity)
    names: list[Name] = []
    try:
        root = listfile.compose(text)
        if not isinstance(root, yaml.MappingNode):
            raise LivecellError("the list of names has no topics", expected="topic: [name, …]")
    except LivecellError as error:
        return (), (error,)
    for topic, listed in root.value:
        if isinstance(listed, yaml.SequenceNode):
            for node, values in reader.entries(listed):
                names.append(_name(topic.value, listfile.line_of(node), values, languages))
        else:
            reader.wrong(listed, f"the topic {topic.value!r} is no list of names")
    return tuple(names), tuple(reader.errors)


def _name(topic: str, line: int, values: dict[str, Any], languages: tuple[str, ...]) -> Name:
    patterns = (values.get("as") or values["name"], *values.get("also", ()))
    said = {language: values[language] for language in languages}
    return Name(values["name"], topic, line, patterns, values["url"], said)
