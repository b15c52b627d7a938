"""Twin passages that somebody has held side by side and found to say the same.

`livecell accept` records them, one file per page, as pairs of hashes. A pair is accepted if it is
in the record, wherever it stands: so sections may move, and records merge line by line. A passage
whose twin has changed while it has not is stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from livecell.errors import LivecellError
from livecell.passages import Group
from livecell.settings import Settings
from livecell.sources import Source

HEADER = (
    "# Passages of this page that say the same in every language, by the hashes of their texts.\n"
    "# Written by `livecell accept`; the words behind the hashes are for readers of diffs only.\n"
)
HASHES = re.compile(r"(?:[0-9a-f]{10}(?:\+[0-9a-f]{10})*|-)")
NOTHING = "-"
"""Stands in the record for no passage at all."""
EXCERPT = 24

Key = tuple[str, ...]
"""The hashes of twin passages, one entry per language."""


@dataclass(frozen=True)
class Pair:
    """Twin passages.

    Attributes:
        groups: the passages, per language.
        state: `accepted`; `stale`, where some have changed and some have not; `new`, where all
            have changed, or nobody has recorded any.
        changed: the languages, by number, whose passages are not in the record.
    """

    groups: tuple[Group, ...]
    state: str
    changed: tuple[int, ...] = ()

    @property
    def key(self) -> Key:
        """Its entry in the record."""
        return tuple("+".join(p.hash for p in group) or NOTHING for group in self.groups)

    @property
    def stale(self) -> tuple[int, ...]:
        """The languages, by number, that have not kept up with another."""
        if self.state != "stale":
            return ()
        every = range(len(self.groups))
        return tuple(n for n in every if n not in self.changed) if self.changed else tuple(every)

    def line(self, number: int) -> int | None:
        """The line that it begins in, in this language."""
        return self.groups[number][0].line if self.groups[number] else None

    def holds(self, number: int, line: int) -> bool:
        """Whether the line belongs to it, in this language."""
        spans = ((p.line, p.line + p.text.count("\n")) for p in self.groups[number])
        return any(first <= line <= last for first, last in spans)

    @property
    def section(self) -> str:
        """The id of the heading above it."""
        return next((passage.section for group in self.groups for passage in group), "")

    def excerpt(self, number: int) -> str:
        """Its first words in this language."""
        words = " ".join(" ".join(p.text for p in self.groups[number]).split())
        return words[:EXCERPT] + ("…" if len(words) > EXCERPT else "")


class Page:
    """A page, a lab or a list in all its languages, and the record of it.

    Args:
        settings: the settings of the site.
        source: what is written in several languages.
    """

    def __init__(self, settings: Settings, source: Source) -> None:
        self.name = source.name
        self.source = source
        self.files = source.files
        self.record = settings.twins / f"{source.name}.txt"
        self._languages = settings.languages

    @cached_property
    def pairs(self) -> list[Pair]:
        """Its twin passages, in order.

        Raises:
            LivecellError: a file is not what it should be, or the record cannot be read.
        """
        return list(judge(self.source.twins(), self._entries))

    @cached_property
    def _entries(self) -> list[tuple[Key, str]]:
        """What is recorded: hashes, and the line they stand in."""
        if not self.record.is_file():
            return []
        return list(self._read())

    def _read(self, *, careful: bool = True) -> Iterator[tuple[Key, str]]:
        count = len(self._languages)
        lines = self.record.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if not line or line.startswith("#"):
                continue
            key = tuple(line.split(" ", count)[:count])
            if len(key) == count and all(map(HASHES.fullmatch, key)):
                yield key, line
            elif careful:
                raise LivecellError(
                    "the record of twin passages cannot be read",
                    self.record,
                    number,
                    found=line[:60],
                    todo=f"mend it, or record the page anew: livecell accept {self.name}",
                )

    def accept(self, languages: Sequence[int] = (0,), line: int | None = None) -> int:
        """Record the twin passages as they are now; how many were not recorded before.

        Args:
            languages: the languages, by number, that the file has of which `line` is a line.
            line: accept only what stands in this line, and leave the rest as it is.

        Raises:
            LivecellError: nothing stands in that line.
        """
        if line is None and self.record.is_file():
            self._entries = list(self._read(careful=False))  # what cannot be read goes
        chosen = [p for p in self.pairs if line is None or any(p.holds(n, line) for n in languages)]
        if not chosen:
            raise LivecellError("no passage stands in this line", self.files[languages[0]], line)
        self._write([p for p in self.pairs if p.state == "accepted" or p in chosen])
        return sum(pair.state != "accepted" for pair in chosen)

    def _write(self, accepted: list[Pair]) -> None:
        lines, section = [HEADER, f"# {' '.join(self._languages)}\n"], None
        for pair in accepted:
            if pair.section != section:
                section = pair.section
                lines.append(f"\n# {section}\n" if section else "\n")
            lines.append(f"{' '.join(pair.key)} {pair.excerpt(0)}\n")
        if kept := self._still_needed(accepted):
            lines += ["\n# to be accepted again\n", *(f"{line}\n" for line in kept)]
        text = "".join(lines)
        self.record.parent.mkdir(parents=True, exist_ok=True)
        if not self.record.is_file() or self.record.read_text(encoding="utf-8") != text:
            self.record.write_text(text, encoding="utf-8", newline="\n")

    def _still_needed(self, accepted: list[Pair]) -> list[str]:
        """Old entries that tell which side of what is not accepted has changed.

        And those of single passages that are taken together now, because one side has more of
        them: they will be single again once the other side has as many.
        """
        written = {pair.key for pair in accepted}
        unsettled, together = (
            _hashes(pair.key for pair in pairs)
            for pairs in (
                [pair for pair in self.pairs if pair not in accepted],
                [pair for pair in accepted if len({len(group) for group in pair.groups}) > 1],
            )
        )
        return [
            line
            for key, line in self._entries
            if key not in written and (_hashes([key]) & unsettled or _hashes([key]) <= together)
        ]


def _hashes(keys: Iterable[Key]) -> set[tuple[int, str]]:
    """The hashes in these entries, each with the number of its language."""
    return {(n, h) for key in keys for n, part in enumerate(key) for h in part.split("+")}


def judge(twins: Iterable[tuple[Group, ...]], entries: Sequence[tuple[Key, str]]) -> Iterator[Pair]:
    """Twin passages, held to what is recorded."""
    recorded = {key for key, _ in entries}
    known = _hashes(recorded)
    for groups in twins:
        pair = Pair(groups, "accepted")
        if pair.key in recorded:
            yield pair
            continue
        changed = tuple(
            n for n, group in enumerate(groups) if any((n, p.hash) not in known for p in group)
        )
        yield Pair(groups, "new" if len(changed) == len(groups) else "stale", changed)
